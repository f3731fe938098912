internal import CLinux

/// Mapped memory that is unmapped when its owner is gone.
///
/// It may be changed by somebody else at any time, a guest or the kernel: it is never handed out
/// as a reference, only copied in and out, within its bounds.
@safe public struct MemoryMapping: ~Copyable, @unchecked Sendable {
    private let start: UnsafeMutableRawPointer
    /// The size in bytes.
    public let count: Int

    /// New zeroed memory of this process alone.
    public static func anonymous(count: Int) throws(SystemCallError) -> MemoryMapping {
        // MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        try MemoryMapping(count: count, flags: 0x2 | 0x20 | 0x4000, descriptor: -1)
    }

    /// The same, at an address that the kernel's huge pages begin at, and of such pages where it
    /// has them: whoever touches much of it waits less often, and takes more than is touched.
    public static func inHugePages(count: Int) throws(SystemCallError) -> MemoryMapping {
        let page = 2 << 20
        let whole = try MemoryMapping(
            count: count + page, flags: 0x2 | 0x20 | 0x4000, descriptor: -1)
        let mapping = whole.trimmed(to: count, alignment: page)
        // MADV_HUGEPAGE, which a kernel without them refuses.
        _ = systemCall(__NR_madvise, mapping.address, UInt64(count), 14)
        return mapping
    }

    /// Memory that a device or a file shares, from its start. Of a file of huge pages all are this
    /// mapping's from now on, or it fails: to touch one that is not there ends a process.
    public static func shared(
        with file: borrowing Descriptor, count: Int
    ) throws(SystemCallError) -> MemoryMapping {
        // MAP_SHARED
        try MemoryMapping(count: count, flags: 0x1, descriptor: file.rawValue)
    }

    /// The content of a file, from its start: what is changed is this process's own and not the
    /// file's. The file stays as it is meanwhile, and as long.
    public static func changedPrivately(
        of file: borrowing Descriptor, count: Int
    ) throws(SystemCallError) -> MemoryMapping {
        // MAP_PRIVATE | MAP_NORESERVE
        try MemoryMapping(count: count, flags: 0x2 | 0x4000, descriptor: file.rawValue)
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

    private init(start: UnsafeMutableRawPointer, count: Int) {
        // SAFETY: who calls this hands over what deinit unmaps.
        unsafe self.start = start
        self.count = count
    }

    /// Gives back what is before the first address of that alignment, and what is behind `count`
    /// bytes from there.
    private consuming func trimmed(to count: Int, alignment: Int) -> MemoryMapping {
        let offset = (alignment - Int(address) % alignment) % alignment
        let behind = self.count - offset - count
        precondition(behind >= 0, "there is room for it")
        if offset > 0 { _ = systemCall(__NR_munmap, address, UInt64(offset)) }
        if behind > 0 {
            _ = systemCall(__NR_munmap, address + UInt64(offset + count), UInt64(behind))
        }
        // SAFETY: what is left of the mapping, which `self` does not unmap any more.
        let rest = unsafe MemoryMapping(start: start + offset, count: count)
        discard self
        return rest
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

    /// Gives whole pages back to the kernel, those of the file behind them too: zeroes are read
    /// from now on.
    public borrowing func discard(from offset: Int, count: Int) throws(SystemCallError) {
        check(offset, count)
        // MADV_REMOVE, for shared memory of a file; MADV_DONTNEED for this process's own.
        let place = address + UInt64(offset)
        if systemCall(__NR_madvise, place, UInt64(count), 9) == 0 { return }
        try checked(systemCall(__NR_madvise, place, UInt64(count), 4), "madvise")
    }

    /// Puts the content of a file in the place of whole pages of the mapping, from the same place
    /// in the file, as ``changedPrivately(of:count:)`` maps it.
    public borrowing func replace(
        from offset: Int, count: Int, byContentOf file: borrowing Descriptor
    ) throws(SystemCallError) {
        check(offset, count)
        precondition(offset % 4096 == 0 && count % 4096 == 0, "whole pages")
        // PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
        try checked(
            systemCall(
                __NR_mmap, address + UInt64(offset), UInt64(count), 0x1 | 0x2,
                0x2 | 0x10 | 0x4000, UInt64(argument: file.rawValue), UInt64(offset)), "mmap")
    }

    /// Brings whole pages into memory: to be read, or this process's own to be written. It is
    /// advice. Corresponds to `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`.
    public borrowing func populate(from offset: Int, count: Int, toWrite: Bool) {
        check(offset, count)
        _ = systemCall(__NR_madvise, address + UInt64(offset), UInt64(count), toWrite ? 23 : 22)
    }

    private borrowing func check(_ offset: Int, _ size: Int) {
        precondition(
            offset >= 0 && size <= count && offset <= count - size,
            "an access stays within the mapping")
    }
}

/// Files without a name that are in memory.
public enum MemoryFile {
    /// An empty one.
    ///
    /// - Parameter hugePages: of the host's huge pages of 2 MiB, which it must have set aside.
    public static func make(
        _ name: String, hugePages: Bool = false
    ) throws(SystemCallError) -> Descriptor {
        // MFD_CLOEXEC, MFD_HUGETLB | MFD_HUGE_2MB
        let flags: UInt64 = hugePages ? 0x1 | 0x4 | 21 << 26 : 0x1
        return Descriptor(
            owning: Int32(
                try checked(
                    withAddress(of: name) { systemCall(__NR_memfd_create, $0, flags) },
                    "memfd_create")))
    }
}

/// Bytes of this process by their address: a part of what a call reads or writes at once.
/// Corresponds to `struct iovec`. Whoever makes one keeps the memory.
public struct MemoryPart: BitwiseCopyable, Hashable, Sendable {
    public var address: UInt64
    public var count: UInt64

    public init(address: UInt64, count: UInt64) {
        self.address = address
        self.count = count
    }
}

extension Descriptor {
    /// What becomes of a transfer between a file and memory that is named by its address.
    public enum PartsTransfer: Hashable, Sendable {
        /// None at the end of the file.
        case bytes(Int)
        /// It would have to wait, which it was asked not to.
        case wouldBlock
        case failed(ErrorNumber)
    }

    /// So many parts at most go into one call. Corresponds to `IOV_MAX`.
    public static let mostParts = 1024

    /// Reads from an offset of a file into the parts, in order. Corresponds to `preadv2`.
    ///
    /// - Parameter waits: false to take only what is in memory.
    public borrowing func read(
        into parts: [MemoryPart], at offset: UInt64, waits: Bool = true
    ) -> PartsTransfer {
        // RWF_NOWAIT
        transfer(__NR_preadv2, parts, offset, waits ? 0 : 0x8)
    }

    /// Writes the parts, in order, to an offset of a file. Corresponds to `pwritev2`.
    ///
    /// - Parameter isDurable: true to give back when it is on the disk.
    public borrowing func write(
        _ parts: [MemoryPart], at offset: UInt64, isDurable: Bool = false
    ) -> PartsTransfer {
        // RWF_DSYNC
        transfer(__NR_pwritev2, parts, offset, isDurable ? 0x2 : 0)
    }

    /// Reads into the parts what is there, a packet of a device for one. Corresponds to `readv`.
    public borrowing func read(into parts: [MemoryPart]) -> PartsTransfer {
        transfer(__NR_readv, parts, 0, 0)
    }

    /// Writes the parts as one piece. Corresponds to `writev`.
    public borrowing func write(_ parts: [MemoryPart]) -> PartsTransfer {
        transfer(__NR_writev, parts, 0, 0)
    }

    private borrowing func transfer(
        _ call: Int32, _ parts: [MemoryPart], _ offset: UInt64, _ flags: UInt64
    ) -> PartsTransfer {
        precondition(parts.count <= Self.mostParts, "no more parts than the kernel takes")
        let number = rawValue
        // SAFETY: the array lives until the call is over; its parts are kept by whoever made them.
        let result = unsafe parts.withUnsafeBytes { bytes in
            systemCall(
                call, UInt64(argument: number), UInt64(UInt(bitPattern: bytes.baseAddress)),
                UInt64(parts.count), offset, 0, flags)
        }
        switch result {
        case 0...: return .bytes(Int(result))
        case -Int64(ErrorNumber.wouldBlock.rawValue): return .wouldBlock
        default:
            return .failed(ErrorNumber(rawValue: Int32(truncatingIfNeeded: -result)))
        }
    }

    /// Writes a file's changes to its disk. Corresponds to `fdatasync`.
    public borrowing func synchronizeData() throws(SystemCallError) {
        try checked(systemCall(__NR_fdatasync, UInt64(argument: rawValue)), "fdatasync")
    }
}
