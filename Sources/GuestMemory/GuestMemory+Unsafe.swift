internal import CGuestMemory
public import LinuxKernel

/// The physical memory of a guest.
///
/// The guest changes it at any time. So it is never handed out as a reference: single values are
/// fetched once, everything else is copied, and each access is checked. Any thread may use it.
@safe public final class GuestMemory: @unchecked Sendable {
    /// Guest memory in one piece.
    public struct Region: Hashable, Sendable {
        public let start: GuestAddress
        public let count: UInt64
        /// Where it begins in the mapping and in the file behind it.
        public let offset: UInt64
    }

    /// Where a machine keeps its devices: memory goes around it.
    public static let gapStart = GuestAddress(rawValue: 0xc000_0000)
    public static let gapEnd = GuestAddress(rawValue: 0x1_0000_0000)

    public let regions: [Region]
    let mapping: MemoryMapping
    let base: UnsafeMutableRawPointer
    /// The end of the first region, which most accesses are in: it begins at zero.
    private let lowEnd: UInt64

    /// New memory, zeroed, taken from the host as the guest touches it: in huge pages where the
    /// host has some, for each page costs the guest an exit and a boot touches thousands of small
    /// ones.
    ///
    /// - Parameter hugePages: of those that the host has set aside, and of no others, which are
    ///   taken at once.
    public static func make(
        bytes: UInt64, hugePages: Bool = false
    ) throws(SystemCallError) -> GuestMemory {
        guard hugePages else {
            return try GuestMemory(MemoryMapping.inHugePages(count: Int(bytes)))
        }
        let file = try MemoryFile.make("guest-memory", hugePages: true)
        try file.setSize(bytes)
        return try GuestMemory(MemoryMapping.shared(with: file, count: Int(bytes)))
    }

    /// - Parameter mapping: whole pages.
    public init(_ mapping: consuming MemoryMapping) throws(SystemCallError) {
        let count = UInt64(mapping.count)
        let low = min(count, Self.gapStart.rawValue)
        var regions = [Region(start: GuestAddress(rawValue: 0), count: low, offset: 0)]
        if count > low {
            regions.append(Region(start: Self.gapEnd, count: count - low, offset: low))
        }
        self.regions = regions
        lowEnd = low
        // SAFETY: a number as an address; what is done with it stays within the mapping.
        guard let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(mapping.address)) else {
            throw SystemCallError(call: "mmap", errorNumber: .invalid)
        }
        // SAFETY: the mapping lives as long as this object, which owns it.
        unsafe self.base = base
        self.mapping = mapping
    }

    /// In bytes.
    public var count: UInt64 { UInt64(mapping.count) }

    // MARK: - Places

    /// Where a range begins in the mapping. All of it is in one region.
    @inline(__always)
    private func offset(_ address: GuestAddress, _ count: Int) throws(GuestMemoryError) -> Int {
        let start = address.rawValue
        let (end, overflow) = start.addingReportingOverflow(UInt64(bitPattern: Int64(count)))
        if !overflow, count >= 0 {
            if end <= lowEnd { return Int(start) }
            if regions.count > 1, start >= Self.gapEnd.rawValue,
                end - Self.gapEnd.rawValue <= regions[1].count
            {
                return Int(start - Self.gapEnd.rawValue + lowEnd)
            }
        }
        throw GuestMemoryError(GuestRange(address, count: count))
    }

    /// The place of a number, which is where the processor can take it in one access.
    @inline(__always)
    private func place(
        _ address: GuestAddress, _ size: Int
    ) throws(GuestMemoryError) -> UnsafeMutableRawPointer {
        let offset = try offset(address, size)
        guard address.rawValue & UInt64(size - 1) == 0 else {
            throw GuestMemoryError(GuestRange(address, count: size))
        }
        // SAFETY: within the mapping, as checked above.
        return unsafe base + offset
    }

    public func contains(_ range: GuestRange) -> Bool {
        (try? offset(range.start, range.count)) != nil
    }

    public func check(_ range: GuestRange) throws(GuestMemoryError) {
        _ = try offset(range.start, range.count)
    }

    /// Where a range is in this process, for a system call that copies from or to it. Whoever makes
    /// it keeps this object.
    public func hostAddress(of range: GuestRange) throws(GuestMemoryError) -> UInt64 {
        mapping.address + UInt64(try offset(range.start, range.count))
    }

    // MARK: - Numbers

    public func load8(_ address: GuestAddress) throws(GuestMemoryError) -> UInt8 {
        // SAFETY: a place within the mapping, fetched once.
        unsafe alcove_guest_load8(try place(address, 1))
    }

    public func load16(_ address: GuestAddress) throws(GuestMemoryError) -> UInt16 {
        // SAFETY: an aligned place within the mapping, fetched once.
        unsafe alcove_guest_load16(try place(address, 2))
    }

    public func load32(_ address: GuestAddress) throws(GuestMemoryError) -> UInt32 {
        // SAFETY: as above.
        unsafe alcove_guest_load32(try place(address, 4))
    }

    public func load64(_ address: GuestAddress) throws(GuestMemoryError) -> UInt64 {
        // SAFETY: as above.
        unsafe alcove_guest_load64(try place(address, 8))
    }

    /// What is read afterwards is no older.
    public func load16Acquiring(_ address: GuestAddress) throws(GuestMemoryError) -> UInt16 {
        // SAFETY: as above.
        unsafe alcove_guest_load16_acquire(try place(address, 2))
    }

    public func store8(_ value: UInt8, _ address: GuestAddress) throws(GuestMemoryError) {
        // SAFETY: a place within the mapping.
        unsafe alcove_guest_store8(try place(address, 1), value)
    }

    public func store16(_ value: UInt16, _ address: GuestAddress) throws(GuestMemoryError) {
        // SAFETY: an aligned place within the mapping.
        unsafe alcove_guest_store16(try place(address, 2), value)
    }

    public func store32(_ value: UInt32, _ address: GuestAddress) throws(GuestMemoryError) {
        // SAFETY: as above.
        unsafe alcove_guest_store32(try place(address, 4), value)
    }

    public func store64(_ value: UInt64, _ address: GuestAddress) throws(GuestMemoryError) {
        // SAFETY: as above.
        unsafe alcove_guest_store64(try place(address, 8), value)
    }

    /// What was written before is seen by whoever sees this.
    public func store16Releasing(
        _ value: UInt16, _ address: GuestAddress
    ) throws(GuestMemoryError) {
        // SAFETY: as above.
        unsafe alcove_guest_store16_release(try place(address, 2), value)
    }

    /// What was written before is seen before anything is read that comes after.
    public static func fence() { alcove_guest_fence() }

    // MARK: - Bytes

    /// A copy of a range.
    public func bytes(in range: GuestRange) throws(GuestMemoryError) -> [UInt8] {
        var copy = [UInt8](repeating: 0, count: try checkedCount(range))
        try read(range, into: &copy, at: 0)
        return copy
    }

    private func checkedCount(_ range: GuestRange) throws(GuestMemoryError) -> Int {
        try check(range)
        return range.count
    }

    /// Copies a range into a part of the buffer, which has room for it.
    public func read(
        _ range: GuestRange, into buffer: inout [UInt8], at start: Int
    ) throws(GuestMemoryError) {
        let offset = try offset(range.start, range.count)
        precondition(start >= 0 && range.count <= buffer.count - start, "there is room for it")
        guard range.count > 0 else { return }
        // SAFETY: both within their bounds, as checked above; the guest's own changes meanwhile
        // change which bytes are copied and nothing else.
        unsafe buffer.withUnsafeMutableBytes { buffer in
            guard let target = buffer.baseAddress else { return }
            unsafe alcove_guest_copy(target + start, base + offset, UInt64(range.count))
        }
    }

    public func write(_ bytes: [UInt8], to start: GuestAddress) throws(GuestMemoryError) {
        try write(bytes, 0..<bytes.count, to: start)
    }

    /// Copies a part of the bytes.
    public func write(
        _ bytes: [UInt8], _ part: Range<Int>, to start: GuestAddress
    ) throws(GuestMemoryError) {
        precondition(part.lowerBound >= 0 && part.upperBound <= bytes.count, "a part of the bytes")
        let offset = try offset(start, part.count)
        guard !part.isEmpty else { return }
        // SAFETY: as above.
        unsafe bytes.withUnsafeBytes { bytes in
            guard let source = bytes.baseAddress else { return }
            unsafe alcove_guest_copy(
                base + offset, source + part.lowerBound, UInt64(part.count))
        }
    }

    // MARK: - Giving back

    /// Gives the pages of a range back to the host. They read as zero from now on, those of a file
    /// as it has them. What are no whole pages of it stays.
    public func discard(_ range: GuestRange) throws(SystemCallError) {
        guard let offset = try? offset(range.start, range.count) else {
            throw SystemCallError(call: "madvise", errorNumber: .invalid)
        }
        let page = 4096
        let start = (offset + page - 1) / page * page
        let end = (offset + range.count) / page * page
        guard end > start else { return }
        try mapping.discard(from: start, count: end - start)
    }
}
