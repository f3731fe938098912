import Foundation
import SandboxModel
import Testing

/// The tables of `docs/jail.md` are the plans of a made-up node. With `ALCOVE_WRITE_DOCS=1` in the
/// environment the test writes them anew:
/// `ALCOVE_WRITE_DOCS=1 swift test --disable-xctest --filter JailDocumentTests`.
@Suite struct JailDocumentTests {
    @Test("the plans in docs/jail.md are those that the code makes")
    func plans() throws {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("docs/jail.md")
        let written = try String(contentsOf: url, encoding: .utf8)
        var page = written
        for table in DocumentedPlan.allCases {
            let replaced = Self.replace(table, in: page)
            #expect(
                replaced != nil,
                "docs/jail.md lacks `\(table.begin)`, or `\(DocumentedPlan.end)` after it")
            page = replaced ?? page
        }
        for name in Self.names(in: page) {
            #expect(DocumentedPlan(rawValue: name) != nil, "no plan is called `\(name)`")
        }
        if ProcessInfo.processInfo.environment["ALCOVE_WRITE_DOCS"] == "1" {
            try page.write(to: url, atomically: true, encoding: .utf8)
            return
        }
        let changed = zip(page.split(separator: "\n"), written.split(separator: "\n"))
            .first { $0 != $1 }
        #expect(
            page == written,
            """
            docs/jail.md is not what the code does, run this test with ALCOVE_WRITE_DOCS=1; \
            first difference: \(changed.map { "\($0.0)" } ?? "the length")
            """)
    }

    @Test("each other plan differs from the first one", arguments: DocumentedPlan.allCases)
    func differs(_ plan: DocumentedPlan) {
        guard plan != .writable else { return }
        #expect(plan.text.contains("| child |") || plan.text.contains("| host |"))
    }

    /// The page with this table in its place; nil without one.
    private static func replace(_ table: DocumentedPlan, in page: String) -> String? {
        guard let begin = page.range(of: table.begin + "\n"),
            let end = page.range(
                of: DocumentedPlan.end, range: begin.upperBound..<page.endIndex)
        else { return nil }
        let before = page[..<begin.upperBound]
        return before + table.text + page[end.lowerBound...]
    }

    private static func names(in page: String) -> [String] {
        page.components(separatedBy: DocumentedPlan.prefix).dropFirst().map {
            String($0.prefix { $0 != " " })
        }
    }
}

/// A plan that `docs/jail.md` shows: the first one whole, of the others what is different.
enum DocumentedPlan: String, CaseIterable {
    case writable, readOnly = "read-only", disk, new, pooled, network, users, terminal, limits,
        errno

    static let prefix = "<!-- plan: "
    static let end = "<!-- end -->"

    var begin: String { Self.prefix + rawValue + " -->" }

    var text: String {
        guard self != .writable else { return PlanDocument.table(of: plan) }
        let first = Self.lines(of: Self.writable.plan)
        let own = Self.lines(of: plan)
        let known = Set(first.map(Self.withoutNumber))
        let kept = Set(own.map(Self.withoutNumber))
        let header = own.prefix(2)
        let added = own.dropFirst(2).filter { !known.contains(Self.withoutNumber($0)) }
        // A step that only says something else is there in another form.
        let kinds = Set(plan.steps.map(Self.kind))
        let lost = zip(first.dropFirst(2), Self.writable.plan.steps)
            .filter { !kept.contains(Self.withoutNumber($0.0)) && !kinds.contains(Self.kind($0.1)) }
            .map { "- Not there: \($0.1)." }
        let list = lost.isEmpty ? [] : [""] + lost
        return (header + added + list).map { $0 + "\n" }.joined()
    }

    private static func lines(of plan: SandboxPlan) -> [String] {
        PlanDocument.table(of: plan).split(separator: "\n").map(String.init)
    }

    /// The first two words of a step.
    private static func kind(_ step: PlanStep) -> String {
        "\(step)".split(separator: " ").prefix(2).joined(separator: " ")
    }

    /// A row without its first cell.
    private static func withoutNumber(_ row: String) -> String {
        row.split(separator: "|", maxSplits: 1, omittingEmptySubsequences: true).last
            .map(String.init) ?? row
    }

    /// A node with version 2 cgroups alone, every controller, and all that is ever masked.
    private static let node = NodeCapabilities(
        memoryBytes: 8 << 30, milliCPUs: 4000, limitKinds: Set(Limits.Kind.allCases),
        cgroupParent: "/sys/fs/cgroup/alcove", cgroupMode: "unified",
        maskedPaths: MaskedPath.candidates, readOnlyPaths: MaskedPath.readOnlyCandidates,
        imageDisk: "259:0")

    private var plan: SandboxPlan {
        SandboxPlan(
            for: spec, on: Self.node, cgroup: "/sys/fs/cgroup/alcove/sandbox-4711-1",
            network: network, boundingSet: self == .users ? .child : .host)
    }

    private var network: SandboxPlan.Network {
        switch self {
        case .pooled, .network, .disk: .pooled
        case .new, .users: .new
        case .writable, .readOnly, .terminal, .limits, .errno: .begun
        }
    }

    private var spec: SandboxSpec {
        var spec = SandboxSpec(image: "build/rootfs/base", command: ["/bin/app"])
        switch self {
        case .writable, .new, .pooled: break
        case .readOnly: spec.root = .readOnly
        case .disk: spec.scratchPlace = .disk
        case .network: spec.nameFile = "/var/lib/alcove/resolv.conf"
        case .users:
            spec.identityMaps = [
                SandboxSpec.IdentityMap(inside: 0, outside: 100_000, count: 65_536)
            ]
        case .terminal: spec.terminal = true
        case .limits:
            spec.limits.memoryBytes = 128 << 20
            spec.limits.milliCPUs = 500
            spec.limits.pids = 64
            spec.limits.readBytesPerSecond = 10 << 20
        case .errno: spec.deniedCalls = .errno
        }
        return spec
    }
}
