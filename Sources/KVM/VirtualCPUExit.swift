public import GuestMemory

/// Why a guest stopped running.
public enum VirtualCPUExit: Hashable, Sendable {
    /// A port of a device. Corresponds to `KVM_EXIT_IO`.
    public struct PortAccess: Hashable, Sendable {
        public let port: UInt16
        public let isWrite: Bool
        /// How many bytes each access has, and how many there are.
        public let size: UInt8
        public let count: UInt32
        /// Where the bytes are in the page that the kernel shares.
        let dataOffset: UInt64
    }

    /// An address where no memory is. Corresponds to `KVM_EXIT_MMIO`.
    public struct MemoryAccess: Hashable, Sendable {
        public let address: GuestAddress
        public let count: Int
        /// What it writes; nil where it reads.
        public let value: UInt64?
    }

    /// Corresponds to `KVM_EXIT_HLT`.
    case halt
    case port(PortAccess)
    case memory(MemoryAccess)
    /// Corresponds to `KVM_EXIT_SHUTDOWN`.
    case shutdown
    /// A signal came, which was asked to. Corresponds to `KVM_EXIT_INTR`.
    case interrupted
    /// Corresponds to `KVM_EXIT_SYSTEM_EVENT`.
    case systemEvent(kind: UInt32)
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
        case .port(let access): "it used port 0x\(String(access.port, radix: 16))"
        case .memory(let access):
            "it reached for memory that it lacks, at \(access.address)"
        case .shutdown: "it shut down after a triple fault"
        case .interrupted: "it was interrupted"
        case .systemEvent(let kind): "it asked for system event \(kind)"
        case .entryFailed(let reason):
            "the CPU refused to enter it (hardware reason 0x\(String(reason, radix: 16)))"
        case .internalError(let kind): "KVM could not run it (internal error \(kind))"
        case .other(let reason): "KVM gave exit reason \(reason)"
        }
    }
}
