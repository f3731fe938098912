public import LinuxKernel
public import SandboxModel

extension CgroupHierarchy {
    /// Limits that cgroups of this host enforce: those with a controller.
    public var limitKinds: Set<Limits.Kind> {
        Set(Limits.Kind.allCases.filter { controllers.contains($0.rawValue) })
    }

    /// Which limits of a sandbox they would enforce.
    public func limitStatuses(of spec: SandboxSpec) -> [LimitStatus] {
        spec.limitStatuses(on: .detect(hierarchy: self))
    }
}
