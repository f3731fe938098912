/// How a sandbox is kept apart from the node. What asked for either is one of these once chosen.
public enum IsolationKind: String, CaseIterable, Hashable, Sendable {
    /// Namespaces, cgroups, no capabilities and a filter, on the node's kernel.
    case process
    /// A kernel of its own, under KVM.
    case microvm
}
