internal import CKVM

/// What the thread of a virtual CPU asks of it while the guest runs. The name is the kernel's.
public enum ProcessorRequest: String, CaseIterable, Sendable {
    case run = "KVM_RUN"
    case tellOfPause = "KVM_KVMCLOCK_CTRL"
    case registers = "KVM_GET_REGS"

    public var number: UInt64 {
        switch self {
        case .run: UInt64(alcove_kvm_run)
        case .tellOfPause: UInt64(alcove_kvm_clock_control)
        case .registers: UInt64(alcove_kvm_get_registers)
        }
    }
}
