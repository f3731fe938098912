internal import CKVM
public import GuestMemory
public import LinuxKernel

/// A virtual CPU. Only the thread that runs it touches it.
public struct VirtualCPU: ~Copyable {
    private let descriptor: Descriptor
    /// Corresponds to `struct kvm_run`.
    private let shared: MemoryMapping

    init(descriptor: consuming Descriptor, shared: consuming MemoryMapping) {
        self.descriptor = descriptor
        self.shared = shared
    }

    /// Says what `cpuid` answers: before the first run. Corresponds to `KVM_SET_CPUID2`.
    public borrowing func setFeatures(_ features: borrowing CPUFeatures) throws(SystemCallError) {
        try descriptor.control(
            UInt64(alcove_kvm_set_cpuid), features.memory.address, name: "ioctl KVM_SET_CPUID2")
    }

    /// Prepares guest kernel mode of the plainest kind: 32-bit protected mode in ring 0, every
    /// segment flat, no paging, no interrupts.
    public borrowing func enterFlatKernelMode() throws(SystemCallError) {
        var registers = kvm_sregs()
        try descriptor.control(
            UInt64(alcove_kvm_get_special_registers), with: &registers,
            name: "ioctl KVM_GET_SREGS")
        registers.cs = Self.flatSegment(type: 0xb, selector: 0x8)
        let data = Self.flatSegment(type: 0x3, selector: 0x10)
        registers.ds = data
        registers.es = data
        registers.fs = data
        registers.gs = data
        registers.ss = data
        // CR0.PE
        registers.cr0 |= 1
        try descriptor.control(
            UInt64(alcove_kvm_set_special_registers), with: &registers,
            name: "ioctl KVM_SET_SREGS")
    }

    /// - Parameter type: 0xb for code that may be read, 0x3 for data that may be written.
    private static func flatSegment(type: UInt8, selector: UInt16) -> kvm_segment {
        kvm_segment(
            base: 0, limit: 0xffff_ffff, selector: selector, type: type, present: 1, dpl: 0, db: 1,
            s: 1, l: 0, g: 1, avl: 0, unusable: 0, padding: 0)
    }

    /// Sets where the guest goes on and its counter, `ecx`; every other register to zero.
    /// Corresponds to `KVM_SET_REGS`.
    public borrowing func setRegisters(
        instruction: GuestAddress, counter: UInt32
    ) throws(SystemCallError) {
        var registers = kvm_regs()
        registers.rip = instruction.rawValue
        registers.rcx = UInt64(counter)
        // The one flag that is always set.
        registers.rflags = 0x2
        try descriptor.control(
            UInt64(alcove_kvm_set_registers), with: &registers, name: "ioctl KVM_SET_REGS")
    }

    /// Lets the guest run until it needs something. Goes on over interruptions by signals.
    /// Corresponds to `KVM_RUN`.
    public borrowing func run() throws(SystemCallError) -> VirtualCPUExit {
        while true {
            do throws(SystemCallError) {
                try descriptor.control(UInt64(alcove_kvm_run), name: "ioctl KVM_RUN")
            } catch {
                if error.errorNumber == .interrupted { continue }
                throw error
            }
            return exit
        }
    }

    private var exit: VirtualCPUExit {
        let reason = shared.load(at: Int(alcove_kvm_run_exit_reason), as: UInt32.self)
        switch Int32(truncatingIfNeeded: reason) {
        case KVM_EXIT_HLT: return .halt
        case KVM_EXIT_SHUTDOWN: return .shutdown
        case KVM_EXIT_IO:
            return .io(port: shared.load(at: Int(alcove_kvm_run_io_port)))
        case KVM_EXIT_MMIO:
            return .memory(
                address: GuestAddress(
                    rawValue: shared.load(at: Int(alcove_kvm_run_mmio_address))))
        case KVM_EXIT_FAIL_ENTRY:
            return .entryFailed(hardwareReason: shared.load(at: Int(alcove_kvm_run_entry_failure)))
        case KVM_EXIT_INTERNAL_ERROR:
            return .internalError(kind: shared.load(at: Int(alcove_kvm_run_internal_error)))
        default: return .other(reason: reason)
        }
    }
}

/// Why a guest stopped running.
public enum VirtualCPUExit: Hashable, Sendable {
    /// Corresponds to `KVM_EXIT_HLT`.
    case halt
    /// Corresponds to `KVM_EXIT_IO`.
    case io(port: UInt16)
    /// Corresponds to `KVM_EXIT_MMIO`.
    case memory(address: GuestAddress)
    /// Corresponds to `KVM_EXIT_SHUTDOWN`.
    case shutdown
    /// Corresponds to `KVM_EXIT_FAIL_ENTRY`.
    case entryFailed(hardwareReason: UInt64)
    /// Corresponds to `KVM_EXIT_INTERNAL_ERROR`.
    case internalError(kind: UInt32)
    /// Any other `KVM_EXIT_…`.
    case other(reason: UInt32)
}

extension VirtualCPUExit: CustomStringConvertible {
    public var description: String {
        switch self {
        case .halt: "it halted"
        case .io(let port): "it used port 0x\(String(port, radix: 16))"
        case .memory(let address):
            "it reached for memory that it lacks, at 0x\(String(address.rawValue, radix: 16))"
        case .shutdown: "it shut down after a triple fault"
        case .entryFailed(let reason):
            "the CPU refused to enter it (hardware reason 0x\(String(reason, radix: 16)))"
        case .internalError(let kind): "KVM could not run it (internal error \(kind))"
        case .other(let reason): "KVM gave exit reason \(reason)"
        }
    }
}
