internal import CKVM
internal import GuestMemory
public import LinuxKernel

/// A virtual CPU. Only the thread that runs it touches it.
public struct VirtualCPU: ~Copyable, Sendable {
    let descriptor: Descriptor
    /// Corresponds to `struct kvm_run`.
    private let shared: MemoryMapping

    init(descriptor: consuming Descriptor, shared: consuming MemoryMapping) {
        self.descriptor = descriptor
        self.shared = shared
    }

    /// Lets this signal, which the thread blocks otherwise, come while the guest runs.
    /// Corresponds to `KVM_SET_SIGNAL_MASK`.
    public borrowing func interrupt(by signal: Signal) throws(SystemCallError) {
        let mask = ~(UInt64(1) << UInt64(signal.rawValue - 1))
        var value = alcove_kvm_signal_mask()
        value.size = 8
        value.set = (
            UInt8(truncatingIfNeeded: mask), UInt8(truncatingIfNeeded: mask >> 8),
            UInt8(truncatingIfNeeded: mask >> 16), UInt8(truncatingIfNeeded: mask >> 24),
            UInt8(truncatingIfNeeded: mask >> 32), UInt8(truncatingIfNeeded: mask >> 40),
            UInt8(truncatingIfNeeded: mask >> 48), UInt8(truncatingIfNeeded: mask >> 56)
        )
        try descriptor.request(
            UInt64(alcove_kvm_set_signal_mask), with: &value, name: "ioctl KVM_SET_SIGNAL_MASK")
    }

    /// Tells the guest's clock that it was paused, so that its watchdogs do not bark.
    /// Corresponds to `KVM_KVMCLOCK_CTRL`.
    public borrowing func tellOfPause() {
        // A guest without that clock has nothing to be told.
        _ = try? descriptor.control(
            UInt64(alcove_kvm_clock_control), name: "ioctl KVM_KVMCLOCK_CTRL")
    }

    /// Lets the guest run until it needs something, or a signal comes. Corresponds to `KVM_RUN`.
    public borrowing func run() throws(SystemCallError) -> VirtualCPUExit {
        do throws(SystemCallError) {
            try descriptor.control(UInt64(alcove_kvm_run), name: "ioctl KVM_RUN")
        } catch {
            // A CPU that was not started yet says EAGAIN when it is woken for nothing.
            if error.errorNumber == .interrupted || error.errorNumber == .wouldBlock {
                return .interrupted
            }
            throw error
        }
        return exit
    }

    /// Whether the next run gives back before the guest's next instruction.
    borrowing func setImmediateExit(_ isWanted: Bool) {
        shared.store(isWanted ? 1 as UInt8 : 0, at: Int(alcove_kvm_run_immediate_exit))
    }

    private var exit: VirtualCPUExit {
        let reason = shared.load(at: Int(alcove_kvm_run_exit_reason), as: UInt32.self)
        switch Int32(truncatingIfNeeded: reason) {
        case KVM_EXIT_HLT: return .halt
        case KVM_EXIT_SHUTDOWN: return .shutdown
        case KVM_EXIT_INTR: return .interrupted
        case KVM_EXIT_IO:
            return .port(
                VirtualCPUExit.PortAccess(
                    port: shared.load(at: Int(alcove_kvm_run_io_port)),
                    isWrite: shared.load(at: Int(alcove_kvm_run_io_direction), as: UInt8.self) == 1,
                    size: shared.load(at: Int(alcove_kvm_run_io_size)),
                    count: shared.load(at: Int(alcove_kvm_run_io_count)),
                    dataOffset: shared.load(at: Int(alcove_kvm_run_io_data))))
        case KVM_EXIT_MMIO: return .memory(memoryAccess)
        case KVM_EXIT_SYSTEM_EVENT:
            return .systemEvent(kind: shared.load(at: Int(alcove_kvm_run_event)))
        case KVM_EXIT_FAIL_ENTRY:
            return .entryFailed(hardwareReason: shared.load(at: Int(alcove_kvm_run_entry_failure)))
        case KVM_EXIT_INTERNAL_ERROR:
            return .internalError(kind: shared.load(at: Int(alcove_kvm_run_internal_error)))
        default: return .other(reason: reason)
        }
    }

    private var memoryAccess: VirtualCPUExit.MemoryAccess {
        let count = Int(
            min(8, shared.load(at: Int(alcove_kvm_run_mmio_count), as: UInt32.self)))
        let isWrite = shared.load(at: Int(alcove_kvm_run_mmio_is_write), as: UInt8.self) != 0
        var value: UInt64?
        if isWrite {
            let bytes = shared.load(at: Int(alcove_kvm_run_mmio_data), as: UInt64.self)
            value = count == 8 ? bytes : bytes & (1 << UInt64(count * 8) - 1)
        }
        return VirtualCPUExit.MemoryAccess(
            address: GuestAddress(
                rawValue: shared.load(at: Int(alcove_kvm_run_mmio_address))),
            count: count, value: value)
    }

    /// What the guest reads where no memory is, after such an exit.
    public borrowing func answerMemory(_ value: UInt64) {
        shared.store(value, at: Int(alcove_kvm_run_mmio_data))
    }

    /// A byte that the guest writes to a port.
    public borrowing func portByte(
        _ access: VirtualCPUExit.PortAccess, at index: Int
    ) -> UInt8 {
        shared.load(at: Int(access.dataOffset) + index)
    }

    /// A byte that the guest reads of a port.
    public borrowing func answerPort(
        _ access: VirtualCPUExit.PortAccess, _ byte: UInt8, at index: Int
    ) {
        shared.store(byte, at: Int(access.dataOffset) + index)
    }
}
