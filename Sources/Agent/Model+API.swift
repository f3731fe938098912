internal import AgentAPI
internal import SandboxModel

extension SandboxLifecycle.State {
    /// Nothing for a state that this version does not know.
    init?(_ state: AgentAPI.SandboxState) {
        switch state {
        case .created: self = .created
        case .starting: self = .starting
        case .running: self = .running
        case .paused: self = .paused
        case .stopping: self = .stopping(removes: false)
        case .stopped: self = .stopped
        case .failed: self = .failed
        case .unspecified, .unrecognized: return nil
        }
    }
}

extension AgentAPI.SandboxState {
    /// Nothing for one that is being removed, which callers do not see.
    init?(_ state: SandboxLifecycle.State) {
        switch state {
        case .created: self = .created
        case .starting: self = .starting
        case .running: self = .running
        case .paused: self = .paused
        case .stopping: self = .stopping
        case .stopped: self = .stopped
        case .failed: self = .failed
        case .removing: return nil
        }
    }
}

extension AgentAPI.IsolationKind {
    init(_ kind: SandboxModel.IsolationKind) {
        switch kind {
        case .process: self = .process
        case .microvm: self = .microvm
        }
    }

    /// Nothing for AUTO, and for a kind that this version does not know.
    var model: SandboxModel.IsolationKind? {
        switch self {
        case .process: .process
        case .microvm: .microvm
        case .auto, .unrecognized: nil
        }
    }
}

extension AgentAPI.Resources {
    init(_ resources: SandboxModel.Resources) {
        self.init(
            milliCPUs: resources.milliCPUs, memoryBytes: resources.memoryBytes,
            pids: resources.pids, diskBytes: resources.diskBytes, addresses: resources.addresses,
            sandboxes: resources.sandboxes)
    }
}

extension AgentAPI.Resource {
    init(_ kind: SandboxModel.Resources.Kind) {
        switch kind {
        case .cpu: self = .milliCPUs
        case .memory: self = .memory
        case .pids: self = .pids
        case .disk: self = .disk
        case .addresses: self = .addresses
        case .sandboxes: self = .sandboxes
        }
    }
}

extension AgentAPI.Overhead {
    init(_ kind: SandboxModel.IsolationKind, _ overhead: SandboxModel.Overhead) {
        self.init(
            isolation: AgentAPI.IsolationKind(kind), fixed: Resources(overhead.fixed),
            milliCPUsPerCPU: overhead.milliCPUsPerCPU)
    }
}
