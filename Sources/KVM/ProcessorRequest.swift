internal import CKVM

/// What the thread of a virtual CPU asks of it, or of its machine, while the guest runs or is
/// paused. The name is the kernel's.
public enum ProcessorRequest: String, CaseIterable, Sendable {
    case run = "KVM_RUN"
    case tellOfPause = "KVM_KVMCLOCK_CTRL"
    case registers = "KVM_GET_REGS"
    case runState = "KVM_GET_MP_STATE"
    case specialRegisters = "KVM_GET_SREGS"
    case extendedState = "KVM_GET_XSAVE"
    case largeExtendedState = "KVM_GET_XSAVE2"
    case extendedControl = "KVM_GET_XCRS"
    case debugRegisters = "KVM_GET_DEBUGREGS"
    case localInterrupts = "KVM_GET_LAPIC"
    case events = "KVM_GET_VCPU_EVENTS"
    case modelRegisters = "KVM_GET_MSRS"
    case counterRate = "KVM_GET_TSC_KHZ"
    case interruptController = "KVM_GET_IRQCHIP"
    case intervalTimer = "KVM_GET_PIT2"
    case clock = "KVM_GET_CLOCK"

    public var number: UInt64 {
        switch self {
        case .run: UInt64(alcove_kvm_run)
        case .tellOfPause: UInt64(alcove_kvm_clock_control)
        case .registers: UInt64(alcove_kvm_get_registers)
        case .runState: UInt64(alcove_kvm_get_run_state)
        case .specialRegisters: UInt64(alcove_kvm_get_special_registers)
        case .extendedState: UInt64(alcove_kvm_get_xsave)
        case .largeExtendedState: UInt64(alcove_kvm_get_xsave2)
        case .extendedControl: UInt64(alcove_kvm_get_xcrs)
        case .debugRegisters: UInt64(alcove_kvm_get_debug_registers)
        case .localInterrupts: UInt64(alcove_kvm_get_lapic)
        case .events: UInt64(alcove_kvm_get_events)
        case .modelRegisters: UInt64(alcove_kvm_get_msrs)
        case .counterRate: UInt64(alcove_kvm_get_tsc_rate)
        case .interruptController: UInt64(alcove_kvm_get_irqchip)
        case .intervalTimer: UInt64(alcove_kvm_get_pit)
        case .clock: UInt64(alcove_kvm_get_clock)
        }
    }

    /// The same for an error.
    var name: StaticString {
        switch self {
        case .run: "ioctl KVM_RUN"
        case .tellOfPause: "ioctl KVM_KVMCLOCK_CTRL"
        case .registers: "ioctl KVM_GET_REGS"
        case .runState: "ioctl KVM_GET_MP_STATE"
        case .specialRegisters: "ioctl KVM_GET_SREGS"
        case .extendedState: "ioctl KVM_GET_XSAVE"
        case .largeExtendedState: "ioctl KVM_GET_XSAVE2"
        case .extendedControl: "ioctl KVM_GET_XCRS"
        case .debugRegisters: "ioctl KVM_GET_DEBUGREGS"
        case .localInterrupts: "ioctl KVM_GET_LAPIC"
        case .events: "ioctl KVM_GET_VCPU_EVENTS"
        case .modelRegisters: "ioctl KVM_GET_MSRS"
        case .counterRate: "ioctl KVM_GET_TSC_KHZ"
        case .interruptController: "ioctl KVM_GET_IRQCHIP"
        case .intervalTimer: "ioctl KVM_GET_PIT2"
        case .clock: "ioctl KVM_GET_CLOCK"
        }
    }
}
