internal import GuestMemory
internal import LinuxKernel

/// What a driver is told of its request. Corresponds to `VIRTIO_BLK_S_…`.
enum BlockStatus: UInt8, Sendable {
    case good = 0
    case failed = 1
    case unsupported = 2
}

/// What a disk is like while it works, against which requests are checked.
struct BlockShape: Sendable {
    static let sectorBytes: UInt64 = 512
    static let serialBytes = 20
    /// One request gives back, or clears, no more than so many parts of so many sectors.
    static let mostSegments = 16
    static let mostDiscardSectors: UInt32 = 1 << 21
    static let mostZeroSectors: UInt32 = 1 << 16

    let sectors: UInt64
    let isReadOnly: Bool
    /// Whether the driver flushes. One that does not finds its writes on the disk.
    var canFlush = false
    var canDiscard = false
    var canZero = false

    /// Where sectors begin in the file, if they are all there.
    func offset(of sector: UInt64, bytes: UInt64) -> UInt64? {
        guard bytes % Self.sectorBytes == 0, sector <= sectors,
            bytes / Self.sectorBytes <= sectors - sector
        else { return nil }
        return sector * Self.sectorBytes
    }
}

/// A part of a disk to give back or to clear.
struct BlockExtent: Hashable, Sendable {
    let offset: UInt64
    let count: UInt64
    /// Whether its room in the file may be given back.
    let mayUnmap: Bool
}

/// A request of a driver, all of which was copied or checked: the guest's memory is not read again
/// but for the data itself.
struct BlockRequest: Sendable {
    enum Action: Sendable {
        case read(at: UInt64, into: [MemoryPart])
        case write(at: UInt64, from: [MemoryPart])
        case discard([BlockExtent])
        case zero([BlockExtent])
        case flush
        case identify(room: [GuestRange])
        case refuse(BlockStatus)
    }

    let head: UInt16
    /// Where the status goes: the last byte of what is to be written.
    let statusPlace: GuestAddress
    let action: Action
    /// What it moves, as the limits count it.
    let bytes: UInt64

    var isChange: Bool {
        switch action {
        case .write, .discard, .zero: true
        case .read, .flush, .identify, .refuse: false
        }
    }

    /// - Throws: when it has no room for a status, so that nobody can be told anything.
    init(
        _ chain: DescriptorChain, of shape: BlockShape, in memory: GuestMemory
    ) throws(DeviceFault) {
        guard let last = chain.writable.last else {
            throw .badRequest("a request to a disk has no room for its status")
        }
        head = chain.head
        statusPlace = last.start.advanced(by: UInt64(last.count - 1))
        let header = try chain.read(Header.size, from: memory)
        guard header.count == Header.size else {
            action = .refuse(.failed)
            bytes = 0
            return
        }
        (action, bytes) = try Self.parse(Header(header), chain, shape, memory)
    }

    private static func parse(
        _ header: Header, _ chain: DescriptorChain, _ shape: BlockShape, _ memory: GuestMemory
    ) throws(DeviceFault) -> (Action, UInt64) {
        switch header.kind {
        case .read:
            let count = chain.writableCount - 1
            guard let offset = shape.offset(of: header.sector, bytes: UInt64(count)) else {
                return (.refuse(.failed), 0)
            }
            let room = DescriptorChain.part(of: chain.writable, skipping: 0, count: count)
            return (.read(at: offset, into: try parts(room, memory)), UInt64(count))
        case .write:
            let count = chain.readableCount - Header.size
            guard !shape.isReadOnly,
                let offset = shape.offset(of: header.sector, bytes: UInt64(count))
            else { return (.refuse(.failed), 0) }
            let data = DescriptorChain.part(
                of: chain.readable, skipping: Header.size, count: count)
            return (.write(at: offset, from: try parts(data, memory)), UInt64(count))
        case .flush:
            return (shape.canFlush ? .flush : .refuse(.unsupported), 0)
        case .identify:
            let count = chain.writableCount - 1
            guard count >= BlockShape.serialBytes else { return (.refuse(.failed), 0) }
            let room = DescriptorChain.part(
                of: chain.writable, skipping: 0, count: BlockShape.serialBytes)
            return (.identify(room: room), 0)
        case .discard:
            guard shape.canDiscard else { return (.refuse(.unsupported), 0) }
            let extents = try BlockExtents(
                chain, of: shape, in: memory, mayBeUnmapped: false,
                most: BlockShape.mostDiscardSectors)
            return (extents.refusal.map(Action.refuse) ?? .discard(extents.list), 0)
        case .zero:
            guard shape.canZero else { return (.refuse(.unsupported), 0) }
            let extents = try BlockExtents(
                chain, of: shape, in: memory, mayBeUnmapped: true,
                most: BlockShape.mostZeroSectors)
            // Where the file system cannot clear them they are written.
            return (
                extents.refusal.map(Action.refuse) ?? .zero(extents.list),
                extents.list.reduce(0) { $0 + $1.count }
            )
        case nil: return (.refuse(.unsupported), 0)
        }
    }

    private static func parts(
        _ ranges: [GuestRange], _ memory: GuestMemory
    ) throws(DeviceFault) -> [MemoryPart] {
        var parts: [MemoryPart] = []
        parts.reserveCapacity(ranges.count)
        for range in ranges {
            do throws(GuestMemoryError) {
                parts.append(
                    MemoryPart(
                        address: try memory.hostAddress(of: range), count: UInt64(range.count)))
            } catch {
                throw .outsideMemory(error)
            }
        }
        return parts
    }
}

/// `struct virtio_blk_outhdr`
private struct Header {
    /// `VIRTIO_BLK_T_…`
    enum Kind: UInt32 {
        case read = 0
        case write = 1
        case flush = 4
        case identify = 8
        case discard = 11
        case zero = 13
    }

    static let size = 16

    let kind: Kind?
    let sector: UInt64

    /// - Parameter bytes: ``size`` of them.
    init(_ bytes: [UInt8]) {
        kind = Kind(rawValue: UInt32(littleEndian: bytes, at: 0))
        sector = UInt64(littleEndian: bytes, at: 8)
    }
}

/// What a request to give back or to clear names, or why it is refused. Corresponds to
/// `struct virtio_blk_discard_write_zeroes`.
private struct BlockExtents {
    private static let entryBytes = 16

    private(set) var list: [BlockExtent] = []
    private(set) var refusal: BlockStatus?

    init(
        _ chain: DescriptorChain, of shape: BlockShape, in memory: GuestMemory,
        mayBeUnmapped: Bool, most: UInt32
    ) throws(DeviceFault) {
        let count = chain.readableCount - Header.size
        guard !shape.isReadOnly, count > 0, count % Self.entryBytes == 0,
            count / Self.entryBytes <= BlockShape.mostSegments
        else {
            refusal = .failed
            return
        }
        let bytes = try chain.read(count, skipping: Header.size, from: memory)
        for start in stride(from: 0, to: count, by: Self.entryBytes) {
            let sectors = UInt32(littleEndian: bytes, at: start + 8)
            let flags = UInt32(littleEndian: bytes, at: start + 12)
            // VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
            guard flags & ~(mayBeUnmapped ? 1 : 0) == 0 else {
                refusal = .unsupported
                break
            }
            let size = UInt64(sectors) * BlockShape.sectorBytes
            guard sectors <= most,
                let offset = shape.offset(
                    of: UInt64(littleEndian: bytes, at: start), bytes: size)
            else {
                refusal = .failed
                break
            }
            guard sectors > 0 else { continue }
            list.append(
                BlockExtent(offset: offset, count: size, mayUnmap: !mayBeUnmapped || flags & 1 != 0)
            )
        }
        if refusal != nil { list = [] }
    }
}

extension FixedWidthInteger {
    /// The number that begins at a place in the bytes, which has room for it.
    init(littleEndian bytes: [UInt8], at start: Int) {
        var value: Self = 0
        for index in 0..<Self.bitWidth / 8 {
            value |= Self(truncatingIfNeeded: bytes[start + index]) << Self(index * 8)
        }
        self = value
    }

    /// Its bytes, the least first.
    var littleEndianBytes: [UInt8] {
        (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> Self($0 * 8)) }
    }
}
