import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

/// The kinds of sandboxes, each with steps that the others have not.
enum Variant: String, CaseIterable, Sendable {
    case writable, readOnly, userNamespace, terminal, pooled, failingCalls, otherUser

    func spec(image: String, command: [String]) -> SandboxSpec {
        var spec = SandboxSpec(image: image, command: command)
        switch self {
        case .writable, .pooled: break
        case .readOnly: spec.root = .readOnly
        case .userNamespace:
            spec.identityMaps = [.init(inside: 0, outside: 100_000, count: 65536)]
        case .terminal: spec.terminal = true
        case .failingCalls: spec.deniedCalls = .errno
        case .otherUser:
            spec.user = .init(user: 1000, group: 1000)
            spec.workingDirectory = "/tmp"
        }
        return spec
    }

    var network: SandboxPlan.Network { self == .pooled ? .pooled : .new }
}

/// Starts sandboxes by the library, in a process where nothing else happens, so that what is left
/// can be counted.
final class JailDriver {
    let host: SandboxHost
    private let image: String
    private let null: Descriptor
    /// Holds a network namespace.
    private let holder: TestSupport.ChildProcess
    private let network: Descriptor

    init() throws {
        image = try Products.baseImage()
        host = try SandboxHost(initProgram: InitProgram.path(), limits: [])
        null = try Files.open("/dev/null", .readWrite)
        holder = try TestSupport.ChildProcess("unshare", arguments: ["--net", "cat"])
        holder.write("made\n")
        try holder.waitForOutput("made\n")
        network = try Files.open("/proc/\(holder.pid)/ns/net", .readOnly)
    }

    func prepare(
        _ variant: Variant, command: [String] = ["true"],
        failing: LoweredPlan.InjectedFailure? = nil, change: (inout SandboxSpec) -> Void = { _ in }
    ) throws(SandboxError) -> PreparedSandbox {
        var spec = variant.spec(image: image, command: command)
        change(&spec)
        return try PreparedSandbox(
            spec, image: .open(image), on: host, network: variant.network,
            failing: failing)
    }

    func start(_ sandbox: PreparedSandbox) throws(SandboxError) -> RunningSandbox {
        try sandbox.start(
            streams: (null.rawValue, null.rawValue, null.rawValue), network: network.rawValue)
    }

    func finish(_ running: RunningSandbox) throws -> SandboxOutcome {
        while true {
            var interests = [Readiness.Interest(running.processDescriptor)]
            try Readiness.wait(for: &interests)
            if let outcome = try running.finish() { return outcome }
        }
    }

    func run(_ sandbox: PreparedSandbox) throws -> SandboxOutcome {
        try finish(try start(sandbox))
    }

    /// What this process has on the host: two of these are equal when nothing was left between.
    struct Belongings: Equatable, CustomStringConvertible {
        let descriptors: [String]
        let mounts: [String]
        let cgroups: [String]
        let children: String

        var description: String {
            "descriptors \(descriptors), mounts \(mounts), cgroups \(cgroups), children \(children)"
        }
    }

    func belongings() throws -> Belongings {
        let process = ThisProcess.identifier
        let parent = (host.hierarchy.root ?? "") + "/alcove"
        return Belongings(
            descriptors: Host.openDescriptors, mounts: try HostView.sandboxMounts(),
            cgroups: try DirectoryListing.names(in: parent)
                .filter { $0.hasPrefix("\(CgroupParent.sandboxPrefix)\(process)-") },
            children: try DirectoryListing.names(in: "/proc/self/task").map {
                (try? Files.read("/proc/self/task/\($0)/children")) ?? ""
            }.joined())
    }

    /// The comment tells both: of an expectation in another process it is all that comes back.
    func expectUnchanged(
        since before: Belongings, _ when: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let now = try belongings()
        #expect(
            now == before, "\(when): before \(before), now \(now)",
            sourceLocation: sourceLocation)
    }
}
