import SandboxModel
import TestSupport
import Testing

/// Specs that nobody would write. Whatever comes, the answer is a plan that keeps its promises or
/// a refusal in words.
@Suite struct RandomSpecTests {
    @Test("any spec is planned in a safe order, or refused", arguments: 0..<8 as Range<UInt64>)
    func anySpec(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var planned = 0
        for round in 0..<400 {
            let spec = Self.spec(&random)
            let node = Self.node(&random)
            let network: SandboxPlan.Network = Bool.random(using: &random) ? .new : .pooled
            let comment: Comment = "seed \(seed), round \(round)"
            do throws(SandboxError) {
                let statuses = try spec.validate(on: node)
                #expect(statuses.map(\.kind) == spec.limits.kinds, comment)
                if spec.limitPolicy == .strict {
                    #expect(!statuses.contains { !$0.holds }, comment)
                }
                planned += 1
            } catch {
                #expect(!error.message.isEmpty && !error.message.hasSuffix("."), comment)
            }
            let cgroup = Bool.random(using: &random) ? "/cgroups/x" : nil
            expectSafe(
                SandboxPlan(
                    for: spec, on: node, cgroup: cgroup, network: network,
                    boundingSet: Bool.random(using: &random) ? .host : .child), comment)
        }
        #expect(planned > 20, "seed \(seed): the generator makes too few specs that are valid")
    }

    /// What holds for every plan.
    private func expectSafe(_ plan: SandboxPlan, _ comment: Comment) {
        let steps = plan.steps
        func place(_ matches: (PlanStep) -> Bool) -> Int { steps.firstIndex(where: matches) ?? -1 }
        func order(_ places: Int...) {
            #expect(!places.contains(-1) && places == places.sorted(), comment)
        }
        let created = place { if case .createProcess = $0 { true } else { false } }
        let mounted = place { $0 == .mountImage || $0 == .mountOverlay }
        let entered = place { $0 == .enterRoot }
        let proc = place { $0 == .mountProc }
        let masked = place { if case .mask = $0 { true } else { false } }
        let protected = place { if case .protect = $0 { true } else { false } }
        let bounding = place { if case .dropBoundingSet = $0 { true } else { false } }
        let groups = place { $0 == .dropGroups }
        let identity = place { if case .setIdentity = $0 { true } else { false } }
        let capabilities = place { $0 == .dropCapabilities }
        let directory = place { if case .changeDirectory = $0 { true } else { false } }
        let privileges = place { $0 == .forbidNewPrivileges }
        let closed = place { $0 == .closeDescriptors }
        let filter = place { if case .loadFilter = $0 { true } else { false } }
        let execute = place { if case .execute = $0 { true } else { false } }
        order(created, place { $0 == .makeMountsPrivate }, mounted, entered, proc, masked)
        order(proc, protected, groups, identity, capabilities, directory)
        order(bounding, groups)
        order(capabilities, privileges, closed, filter, execute)
        // Nothing happens between the filter and the program, and nothing after it.
        #expect(filter == steps.count - 2 && execute == steps.count - 1, comment)
        // The host's steps come before the child's.
        let performers = steps.map(\.performer)
        #expect(performers.prefix(created + 1).allSatisfy { $0 == .host }, comment)
        #expect(performers.dropFirst(created + 1).allSatisfy { $0 == .child }, comment)
        for step in steps {
            #expect(!"\(step)".isEmpty && !step.reason.isEmpty, comment)
            #expect(step.reason.hasSuffix("."), comment)
        }
    }
}

// What the specs are made of.
extension RandomSpecTests {
    private static let texts = [
        "", "/", "a", "/bin/sh", "..", "../..", "/a\0b", "ä€😀", "A=1", "=", "A=", "-x", "a b\n",
        String(repeating: "x", count: 5000), "/tmp/", "//", "host.name", "a-b",
    ]

    private static func text(_ random: inout SeededRandom) -> String {
        texts.randomElement(using: &random) ?? ""
    }

    private static func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ random: inout SeededRandom
    ) -> Number {
        let edges: [Number] = [0, 1, 2, 3, 10, 100, 1 << 12, 1 << 20, 1 << 30, .max - 1, .max]
        return Bool.random(using: &random)
            ? edges.randomElement(using: &random) ?? 0 : .random(in: 0...(.max), using: &random)
    }

    private static func sometimes<Value>(
        _ random: inout SeededRandom, _ value: (inout SeededRandom) -> Value
    ) -> Value? {
        Int.random(in: 0..<6, using: &random) == 0 ? value(&random) : nil
    }

    private static func spec(_ random: inout SeededRandom) -> SandboxSpec {
        var spec = SandboxSpec(image: "/image", command: ["/bin/true"])
        if let command = sometimes(&random, { [text(&$0), text(&$0)] }) { spec.command = command }
        if let entry = sometimes(&random, { text(&$0) }) { spec.environment.append(entry) }
        spec.workingDirectory = sometimes(&random) { text(&$0) } ?? "/"
        spec.root = Bool.random(using: &random) ? .readOnly : .writable
        spec.hostname = sometimes(&random) { text(&$0) } ?? "sandbox"
        spec.terminal = Bool.random(using: &random)
        if let user = sometimes(&random, { (number(&$0), number(&$0)) as (UInt32, UInt32) }) {
            spec.user = .init(user: user.0, group: user.1)
        }
        for _ in 0..<(sometimes(&random) { Int.random(in: 0..<4, using: &$0) } ?? 0) {
            spec.identityMaps.append(
                .init(inside: number(&random), outside: number(&random), count: number(&random)))
        }
        spec.limits.memoryBytes = sometimes(&random) { number(&$0) }
        spec.limits.milliCPUs = sometimes(&random) { number(&$0) }
        spec.limits.pids = sometimes(&random) { number(&$0) }
        spec.limits.readBytesPerSecond = sometimes(&random) { number(&$0) }
        spec.limits.writeBytesPerSecond = sometimes(&random) { number(&$0) }
        spec.limitPolicy = Bool.random(using: &random) ? .strict : .bestEffort
        spec.scratchPlace = Int.random(in: 0..<4, using: &random) == 0 ? .disk : .memory
        if let scratch: UInt64 = sometimes(&random, { number(&$0) }) { spec.scratchBytes = scratch }
        for resource in ProcessLimitSetting.Resource.allCases {
            if let limit = sometimes(&random, { (number(&$0), number(&$0)) as (UInt64, UInt64) }) {
                spec.processLimits.append(.init(resource, soft: limit.0, hard: limit.1))
            }
        }
        return spec
    }

    private static func node(_ random: inout SeededRandom) -> NodeCapabilities {
        let kinds = Limits.Kind.allCases.filter { _ in Bool.random(using: &random) }
        return NodeCapabilities(
            memoryBytes: sometimes(&random) { number(&$0) } ?? 8 << 30,
            milliCPUs: sometimes(&random) { number(&$0) } ?? 2000, limitKinds: Set(kinds),
            cgroupParent: "/cgroups", cgroupMode: "unified",
            maskedPaths: MaskedPath.candidates.filter { _ in Bool.random(using: &random) },
            readOnlyPaths: MaskedPath.readOnlyCandidates.filter { _ in Bool.random(using: &random)
            }, imageDisk: Bool.random(using: &random) ? "8:0" : nil)
    }
}
