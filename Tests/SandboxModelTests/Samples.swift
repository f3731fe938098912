import SandboxModel

/// What the tests of the model take for a node and a sandbox.
enum Sample {
    /// Has every controller, and a few paths to hide.
    static let node = NodeCapabilities(
        memoryBytes: 8 << 30, milliCPUs: 4000, limitKinds: Set(Limits.Kind.allCases),
        cgroupParent: "/cgroups/alcove", cgroupMode: "unified",
        maskedPaths: [MaskedPath("/proc/acpi", .directory), MaskedPath("/proc/keys", .file)],
        readOnlyPaths: ["/proc/bus", "/proc/sys"], imageDisk: "8:0")

    /// Has no controller at all.
    static let hybridNode: NodeCapabilities = {
        var node = Sample.node
        node.limitKinds = []
        node.cgroupMode = "hybrid"
        return node
    }()

    static func spec(_ change: (inout SandboxSpec) -> Void = { _ in }) -> SandboxSpec {
        var spec = SandboxSpec(image: "/images/base", command: ["/bin/app", "--serve"])
        change(&spec)
        return spec
    }

    static func plan(
        _ network: SandboxPlan.Network = .new, on node: NodeCapabilities = node,
        _ change: (inout SandboxSpec) -> Void = { _ in }
    ) -> SandboxPlan {
        SandboxPlan(
            for: spec(change), on: node, cgroup: "/cgroups/alcove/sandbox-1", network: network)
    }
}
