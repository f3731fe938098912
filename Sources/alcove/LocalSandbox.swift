internal import Console
internal import ImageStore
internal import Jail
internal import LinuxKernel
internal import MicroVM
internal import SandboxModel

/// A sandbox that this process starts itself, and what it needs for that.
struct LocalSandbox {
    let prepared: PreparedSandbox
    let host: SandboxHost
    /// Which limits hold.
    let limits: [LimitStatus]

    /// File systems of the directories that microVMs were started from.
    private static let trees = "/var/cache/alcove/trees"

    /// - Parameter network: where a network namespace comes from, if it can be joined.
    init(
        _ spec: SandboxSpec, image: consuming ImageTree, isolation: IsolationKind,
        network: SandboxPlan.Network
    ) throws {
        switch isolation {
        case .process:
            host = try Self.host(limits: spec.limits)
            prepared = try PreparedSandbox(
                spec, image: image, on: host, network: spec.canJoinNetwork ? network : .new)
            limits = prepared.limits
        case .microvm:
            let hierarchy = CgroupHierarchy.detect()
            limits = GuestJail.statuses(hierarchy.limitStatuses(of: spec), of: spec.limits)
            try spec.accept(limits)
            let guests = try GuestJail(MonitorLocation.path())
            let jailed = try guests.spec(
                for: spec, number: GuestJail.number(ofProcess: ThisProcess.identifier),
                layers: [try Self.packed(image.path)], held: hierarchy.limitKinds, lasts: false)
            host = try Self.host(limits: jailed.limits)
            prepared = try PreparedSandbox(
                jailed, image: try ImageTree.open(guests.root), on: host, network: network)
        }
    }

    private static func host(limits: Limits) throws(SandboxError) -> SandboxHost {
        try SandboxHost(
            initProgram: InitLocation.path(), limits: Set(limits.kinds), isDedicated: true)
    }

    private static func packed(_ directory: String) throws(SandboxError) -> String {
        do throws(ImageError) {
            return try TreeCache(trees).file(of: directory) {
                guard Terminal.isTerminal(2) else { return }
                Messages.write("alcove: `\(directory)` is packed into \(trees), once")
            }
        } catch {
            throw SandboxError(
                error.code == .notPermitted ? .notPermitted : .imageMissing, error.message,
                hint: error.hint)
        }
    }
}
