internal import CLinux

/// Mapped memory that is unmapped when its owner is gone.
///
/// It may be changed by somebody else at any time, a guest or the kernel: it is never handed out
/// as a reference, only copied in and out, within its bounds.
@safe public struct MemoryMapping: ~Copyable {
    private let start: UnsafeMutableRawPointer
    /// The size in bytes.
    public let count: Int

    /// New zeroed memory of this process alone.
    public static func anonymous(count: Int) throws(SystemCallError) -> MemoryMapping {
        // MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        try MemoryMapping(count: count, flags: 0x2 | 0x20 | 0x4000, descriptor: -1)
    }

    /// Memory that a device shares, from its start.
    public static func shared(
        with device: borrowing Descriptor, count: Int
    ) throws(SystemCallError) -> MemoryMapping {
        // MAP_SHARED
        try MemoryMapping(count: count, flags: 0x1, descriptor: device.rawValue)
    }

    private init(count: Int, flags: UInt64, descriptor: Int32) throws(SystemCallError) {
        // PROT_READ | PROT_WRITE
        let result = try checked(
            systemCall(
                __NR_mmap, 0, UInt64(bitPattern: Int64(count)), 0x1 | 0x2, flags,
                UInt64(argument: descriptor)),
            "mmap")
        // SAFETY: the kernel gave the address of `count` new bytes, which deinit alone unmaps.
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: Int(result)) else {
            throw SystemCallError(call: "mmap", errorNumber: .invalid)
        }
        // SAFETY: as above.
        unsafe self.start = start
        self.count = count
    }

    deinit {
        _ = systemCall(__NR_munmap, address, UInt64(count))
    }

    /// For a call that is told where the memory is. Whoever makes it keeps the mapping.
    public var address: UInt64 {
        // SAFETY: only the number is taken.
        UInt64(UInt(bitPattern: unsafe start))
    }

    /// A copy of the value at an offset.
    public borrowing func load<Value: BitwiseCopyable>(
        at offset: Int, as type: Value.Type = Value.self
    ) -> Value {
        check(offset, MemoryLayout<Value>.size)
        // SAFETY: within the bounds, as checked above; any bytes are a value of the plain numbers
        // that callers ask for.
        return unsafe start.loadUnaligned(fromByteOffset: offset, as: type)
    }

    public borrowing func store<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
        check(offset, MemoryLayout<Value>.size)
        // SAFETY: within the bounds, as checked above.
        unsafe start.storeBytes(of: value, toByteOffset: offset, as: Value.self)
    }

    public borrowing func store(_ bytes: [UInt8], at offset: Int) {
        check(offset, bytes.count)
        for (index, byte) in bytes.enumerated() {
            // SAFETY: as above.
            unsafe start.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
        }
    }

    private borrowing func check(_ offset: Int, _ size: Int) {
        precondition(
            offset >= 0 && size <= count && offset <= count - size,
            "an access stays within the mapping")
    }
}
