internal import CKVM

/// What a kernel's KVM may be able to do. Corresponds to `KVM_CAP_…`.
public enum KVMCapability: Hashable, Sendable {
    case interruptController, userMemory, taskStatePages, identityMap, extendedCPUID, ioEvents,
        irqEvents, intervalTimer, deadlineTimer, immediateExit, extendedState, largeExtendedState,
        processorEvents, debugRegisters, runState, clock, counterRate

    var number: UInt64 {
        let number: Int32 =
            switch self {
            case .interruptController: KVM_CAP_IRQCHIP
            case .userMemory: KVM_CAP_USER_MEMORY
            case .taskStatePages: KVM_CAP_SET_TSS_ADDR
            case .identityMap: KVM_CAP_SET_IDENTITY_MAP_ADDR
            case .extendedCPUID: KVM_CAP_EXT_CPUID
            case .ioEvents: KVM_CAP_IOEVENTFD
            case .irqEvents: KVM_CAP_IRQFD
            case .intervalTimer: KVM_CAP_PIT2
            case .deadlineTimer: KVM_CAP_TSC_DEADLINE_TIMER
            case .immediateExit: KVM_CAP_IMMEDIATE_EXIT
            case .extendedState: KVM_CAP_XSAVE
            case .largeExtendedState: KVM_CAP_XSAVE2
            case .processorEvents: KVM_CAP_VCPU_EVENTS
            case .debugRegisters: KVM_CAP_DEBUGREGS
            case .runState: KVM_CAP_MP_STATE
            case .clock: KVM_CAP_ADJUST_CLOCK
            case .counterRate: KVM_CAP_GET_TSC_KHZ
            }
        return UInt64(number)
    }

    /// Those without which no microVM runs.
    public static let needed: [KVMCapability] = [
        .interruptController, .userMemory, .taskStatePages, .identityMap, .extendedCPUID,
        .ioEvents, .irqEvents, .deadlineTimer,
    ]

    /// Those without which none is saved or put back.
    public static let neededForSnapshots: [KVMCapability] = [
        .immediateExit, .extendedState, .processorEvents, .debugRegisters, .runState, .clock,
        .counterRate,
    ]
}

extension KVMCapability: CustomStringConvertible {
    /// The kernel's name, and what it is for.
    public var description: String {
        switch self {
        case .interruptController: "KVM_CAP_IRQCHIP: an interrupt controller in the kernel"
        case .userMemory: "KVM_CAP_USER_MEMORY: memory of this process as the guest's"
        case .taskStatePages: "KVM_CAP_SET_TSS_ADDR: a place for pages of its own"
        case .identityMap: "KVM_CAP_SET_IDENTITY_MAP_ADDR: a place for a page table of its own"
        case .extendedCPUID: "KVM_CAP_EXT_CPUID: the features of the guest's processors"
        case .ioEvents: "KVM_CAP_IOEVENTFD: doorbells that do not leave the guest"
        case .irqEvents: "KVM_CAP_IRQFD: interrupts by descriptors"
        case .intervalTimer: "KVM_CAP_PIT2: an interval timer in the kernel"
        case .deadlineTimer: "KVM_CAP_TSC_DEADLINE_TIMER: a timer for each processor"
        case .immediateExit: "KVM_CAP_IMMEDIATE_EXIT: an end of what a guest asked for"
        case .extendedState: "KVM_CAP_XSAVE: the floating-point state"
        case .largeExtendedState: "KVM_CAP_XSAVE2: a large floating-point state"
        case .processorEvents: "KVM_CAP_VCPU_EVENTS: what is about to be delivered"
        case .debugRegisters: "KVM_CAP_DEBUGREGS: the debug registers"
        case .runState: "KVM_CAP_MP_STATE: whether a processor runs"
        case .clock: "KVM_CAP_ADJUST_CLOCK: the guest's clock"
        case .counterRate: "KVM_CAP_GET_TSC_KHZ: the rate of the time stamp counter"
        }
    }
}
