internal import LinuxKernel

/// Looks directories up in the file of a layer, which this program wrote, without mounting it.
/// Whatever stands there, nothing is read beyond bounds.
struct ErofsReader: ~Copyable {
    /// What a layer has at a path.
    enum Found: Equatable {
        case directory(DirectoryAccess)
        /// Something else, or a whiteout, at the path or on the way there: what layers below have
        /// does not show.
        case hidden
        /// Nothing: what layers below have shows.
        case nothing
    }

    private struct Inode {
        let place: UInt64
        let layout: UInt16
        let attributeUnits: Int
        let mode: UInt16
        let size: UInt64
        let firstBlock: UInt32
        let user: UInt32
        let group: UInt32

        var isDirectory: Bool { mode & 0o170_000 == 0o040_000 }
        var attributeBytes: Int { attributeUnits == 0 ? 0 : 12 + (attributeUnits - 1) * 4 }
    }

    private let file: Descriptor
    /// Where inodes are numbered from.
    private let metadata: UInt64

    private static let largestDirectory: UInt64 = 256 << 20

    init(_ path: String) throws(ImageError) {
        let opened = try storing("open the layer `\(path)`") { () throws(SystemCallError) in
            try Files.open(path, .readOnly)
        }
        let block = try Self.read(opened, 128, at: 1024)
        guard Self.number(block, at: 0, as: UInt32.self) == ErofsFormat.magic else {
            throw Self.damaged
        }
        metadata =
            UInt64(Self.number(block, at: 40, as: UInt32.self)) * UInt64(ErofsFormat.blockSize)
        file = opened
    }

    private static let damaged = ImageError(
        .damaged, "the file system of a layer is not as it was written",
        hint: "`alcove image fsck` finds out which, and makes it anew with the next import")

    /// - Parameter path: from the root on, with a slash in front.
    borrowing func look(at path: String) throws(ImageError) -> Found {
        var inode = try self.inode(ErofsFormat.rootNumber)
        var isOpaque = try isOpaque(inode)
        for name in path.split(separator: "/") {
            guard inode.isDirectory else { return .hidden }
            guard let number = try find(Array(name.utf8), in: inode) else {
                return isOpaque ? .hidden : .nothing
            }
            inode = try self.inode(number)
            if inode.isDirectory, try self.isOpaque(inode) { isOpaque = true }
        }
        guard inode.isDirectory else { return .hidden }
        return .directory(
            DirectoryAccess(
                mode: UInt32(inode.mode & 0o7777), user: inode.user, group: inode.group))
    }

    private borrowing func inode(_ number: UInt64) throws(ImageError) -> Inode {
        let (offset, overflow) = number.multipliedReportingOverflow(
            by: UInt64(ErofsFormat.slotSize))
        guard !overflow, offset < 1 << 52 else { throw Self.damaged }
        let place = metadata + offset
        let bytes = try Self.read(file, ErofsFormat.inodeSize, at: place)
        return Inode(
            place: place, layout: Self.number(bytes, at: 0, as: UInt16.self) >> 1,
            attributeUnits: Int(Self.number(bytes, at: 2, as: UInt16.self)),
            mode: Self.number(bytes, at: 4, as: UInt16.self),
            size: Self.number(bytes, at: 8, as: UInt64.self),
            firstBlock: Self.number(bytes, at: 16, as: UInt32.self),
            user: Self.number(bytes, at: 24, as: UInt32.self),
            group: Self.number(bytes, at: 28, as: UInt32.self))
    }

    /// The number of what a directory has under a name.
    private borrowing func find(
        _ name: [UInt8], in directory: Inode
    ) throws(ImageError) -> UInt64? {
        guard directory.size <= Self.largestDirectory else { throw Self.damaged }
        let block = UInt64(ErofsFormat.blockSize)
        var done: UInt64 = 0
        while done < directory.size {
            let count = min(block, directory.size - done)
            let isTail =
                directory.layout == ErofsFormat.Layout.tailed.rawValue && count < block
            let place =
                isTail
                ? directory.place + UInt64(ErofsFormat.inodeSize + directory.attributeBytes)
                : UInt64(directory.firstBlock) * block + done
            let entries = try Self.read(file, Int(count), at: place)
            if let number = try Self.find(name, in: entries) { return number }
            done += count
        }
        return nil
    }

    private static func find(_ name: [UInt8], in block: [UInt8]) throws(ImageError) -> UInt64? {
        guard block.count >= 12 else { throw damaged }
        let count = Int(number(block, at: 8, as: UInt16.self)) / 12
        guard count > 0, count * 12 <= block.count else { throw damaged }
        for index in 0..<count {
            let start = Int(number(block, at: index * 12 + 8, as: UInt16.self))
            let end =
                index + 1 < count
                ? Int(number(block, at: index * 12 + 20, as: UInt16.self)) : block.count
            guard start <= end, end <= block.count else { throw damaged }
            if block[start..<end].prefix(while: { $0 != 0 }).elementsEqual(name) {
                return number(block, at: index * 12, as: UInt64.self)
            }
        }
        return nil
    }

    /// Whether nothing of layers below shows in a directory.
    private borrowing func isOpaque(_ inode: Inode) throws(ImageError) -> Bool {
        guard inode.attributeUnits > 1 else { return false }
        let bytes = try Self.read(
            file, inode.attributeBytes, at: inode.place + UInt64(ErofsFormat.inodeSize))
        var place = 12
        while place + 4 <= bytes.count {
            let nameEnd = place + 4 + Int(bytes[place])
            let end = nameEnd + Int(Self.number(bytes, at: place + 2, as: UInt16.self))
            guard end <= bytes.count else { throw Self.damaged }
            if bytes[place + 1] == ErofsFormat.trustedSpace,
                bytes[(place + 4)..<nameEnd].elementsEqual("overlay.opaque".utf8)
            {
                return true
            }
            place = (end + 3) / 4 * 4
        }
        return false
    }

    private static func read(
        _ file: borrowing Descriptor, _ count: Int, at offset: UInt64
    ) throws(ImageError) -> [UInt8] {
        let bytes = try storing("read a layer") { () throws(SystemCallError) in
            try file.read(atMost: count, at: offset)
        }
        guard bytes.count == count else { throw damaged }
        return bytes
    }

    private static func number<Number: FixedWidthInteger>(
        _ bytes: [UInt8], at place: Int, as type: Number.Type
    ) -> Number {
        (0..<(Number.bitWidth / 8)).reduce(0) {
            $0 | Number(truncatingIfNeeded: bytes[place + $1]) << Number(8 * $1)
        }
    }
}
