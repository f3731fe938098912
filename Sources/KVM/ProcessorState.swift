internal import CKVM
public import LinuxKernel

/// All that a virtual CPU is between two runs, in the kernel's own structures, to be put into
/// another one.
public struct ProcessorState: Hashable, Sendable {
    /// A structure of the kernel's. The order is that of saving: what comes first may change what
    /// comes later, and never the other way round.
    public enum Part: UInt32, CaseIterable, Sendable {
        /// Whether it runs, halts or waits to be started. Corresponds to `struct kvm_mp_state`.
        case runState = 1
        /// Corresponds to `struct kvm_regs`.
        case registers = 2
        /// Corresponds to `struct kvm_sregs`.
        case specialRegisters = 3
        /// Floating point and vectors. Corresponds to `struct kvm_xsave`.
        case extendedState = 4
        /// Corresponds to `struct kvm_xcrs`.
        case extendedControl = 5
        /// Corresponds to `struct kvm_debugregs`.
        case debugRegisters = 6
        /// Corresponds to `struct kvm_lapic_state`.
        case localInterrupts = 7
        /// What is about to be delivered. Corresponds to `struct kvm_vcpu_events`.
        case events = 8
    }

    /// A model-specific register. Corresponds to `struct kvm_msr_entry`.
    public struct ModelRegister: Hashable, Sendable {
        public let number: UInt32
        public let value: UInt64

        public init(number: UInt32, value: UInt64) {
            self.number = number
            self.value = value
        }
    }

    public static let mostModelRegisters = 4096
    /// More than the largest extended state there is.
    public static let mostExtendedBytes = 1 << 16

    /// By ``Part``, in its order.
    public let parts: [[UInt8]]
    public let modelRegisters: [ModelRegister]
    /// Those that the kernel names and does not tell.
    public let untold: [UInt32]
    /// How fast its time stamp counter counts, in kHz.
    public let counterRate: UInt32

    /// Nil where a part has a size that the kernel's structure has not.
    public init?(
        parts: [[UInt8]], modelRegisters: [ModelRegister], untold: [UInt32], counterRate: UInt32
    ) {
        guard parts.count == Part.allCases.count,
            modelRegisters.count <= Self.mostModelRegisters,
            zip(Part.allCases, parts).allSatisfy({ $0.takes($1.count) })
        else { return nil }
        self.parts = parts
        self.modelRegisters = modelRegisters
        self.untold = untold
        self.counterRate = counterRate
    }

    public subscript(part: Part) -> [UInt8] { parts[Int(part.rawValue) - 1] }
}

extension ProcessorState.Part {
    var size: Int {
        switch self {
        case .runState: Int(alcove_kvm_run_state_size)
        case .registers: Int(alcove_kvm_registers_size)
        case .specialRegisters: Int(alcove_kvm_special_registers_size)
        case .extendedState: Int(alcove_kvm_xsave_size)
        case .extendedControl: Int(alcove_kvm_xcrs_size)
        case .debugRegisters: Int(alcove_kvm_debug_registers_size)
        case .localInterrupts: Int(alcove_kvm_lapic_size)
        case .events: Int(alcove_kvm_events_size)
        }
    }

    /// Extended state is larger where a guest has more of it than the first structure holds.
    func takes(_ count: Int) -> Bool {
        guard self == .extendedState else { return count == size }
        return count >= size && count <= ProcessorState.mostExtendedBytes && count % 4 == 0
    }

    var getRequest: ProcessorRequest {
        switch self {
        case .runState: .runState
        case .registers: .registers
        case .specialRegisters: .specialRegisters
        case .extendedState: .extendedState
        case .extendedControl: .extendedControl
        case .debugRegisters: .debugRegisters
        case .localInterrupts: .localInterrupts
        case .events: .events
        }
    }

    var setRequest: (number: UInt64, name: StaticString) {
        switch self {
        case .runState: (UInt64(alcove_kvm_set_run_state), "ioctl KVM_SET_MP_STATE")
        case .registers: (UInt64(alcove_kvm_set_registers), "ioctl KVM_SET_REGS")
        case .specialRegisters: (UInt64(alcove_kvm_set_special_registers), "ioctl KVM_SET_SREGS")
        case .extendedState: (UInt64(alcove_kvm_set_xsave), "ioctl KVM_SET_XSAVE")
        case .extendedControl: (UInt64(alcove_kvm_set_xcrs), "ioctl KVM_SET_XCRS")
        case .debugRegisters: (UInt64(alcove_kvm_set_debug_registers), "ioctl KVM_SET_DEBUGREGS")
        case .localInterrupts: (UInt64(alcove_kvm_set_lapic), "ioctl KVM_SET_LAPIC")
        case .events: (UInt64(alcove_kvm_set_events), "ioctl KVM_SET_VCPU_EVENTS")
        }
    }
}

/// What a machine has beside its processors, its memory and its devices.
public struct MachineState: Hashable, Sendable {
    /// The two old interrupt controllers and the one that took their place. Corresponds to three
    /// times `struct kvm_irqchip`.
    public let interruptControllers: [[UInt8]]
    /// Corresponds to `struct kvm_pit_state2`.
    public let intervalTimer: [UInt8]?
    /// The nanoseconds of the guest's clock. Corresponds to `struct kvm_clock_data`.
    public let clock: UInt64

    public static let controllers = 3

    /// Nil where a part has a size that the kernel's structure has not.
    public init?(interruptControllers: [[UInt8]], intervalTimer: [UInt8]?, clock: UInt64) {
        guard interruptControllers.count == Self.controllers,
            interruptControllers.enumerated().allSatisfy({ index, bytes in
                // The number of the controller comes first.
                bytes.count == Int(alcove_kvm_irqchip_size) && bytes[0] == UInt8(index)
                    && bytes[1...3].allSatisfy { $0 == 0 }
            }),
            intervalTimer.map({ $0.count == Int(alcove_kvm_pit_size) }) ?? true
        else { return nil }
        self.interruptControllers = interruptControllers
        self.intervalTimer = intervalTimer
        self.clock = clock
    }
}

/// Why a virtual CPU cannot become what another one was.
public enum ProcessorStateError: Error, Hashable, Sendable {
    case systemCall(SystemCallError)
    /// This kernel does not take a register, and has another value there.
    case refusedRegister(UInt32)
}

extension ProcessorStateError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .systemCall(let error): "\(error)"
        case .refusedRegister(let number):
            "this kernel's KVM does not take model-specific register 0x"
                + String(number, radix: 16)
        }
    }
}
