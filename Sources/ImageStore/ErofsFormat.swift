/// The structures of an EROFS image on disk, little-endian. Documented by the kernel's
/// `fs/erofs/erofs_fs.h`.
enum ErofsFormat {
    static let blockSize = 4096
    /// A slot: the unit in which inodes are numbered.
    static let slotSize = 32
    static let inodeSize = 64
    /// The number of the root's inode. The first inode is not 0: some programs take an entry
    /// with that number for a removed one.
    static let rootNumber: UInt64 = 2
    static let magic: UInt32 = 0xE0F5_E1E2
    /// The namespace of attributes that overlayfs reads.
    static let trustedSpace: UInt8 = 4

    enum Layout: UInt16 {
        /// All content in blocks.
        case blocks = 0
        /// Content packed in blocks, with an index of them behind the inode.
        case packed = 1
        /// The content beyond the last full block lies behind the inode.
        case tailed = 2
    }

    struct Inode {
        var layout: Layout
        var attributeBytes: Int
        var mode: UInt16
        var size: UInt64
        /// The first block of the content, how many there are of packed content, or the device.
        var place: UInt32
        var number: UInt32
        var metadata: LayerTree.Metadata
        var links: UInt32
    }

    /// An extended inode: the compact one has no time of its own.
    static func append(_ inode: Inode, to bytes: inout [UInt8]) {
        bytes.put(inode.layout.rawValue << 1 | 1)
        // The header counts as one, each 4 bytes behind it as another.
        let units = inode.attributeBytes == 0 ? 0 : (inode.attributeBytes - 12) / 4 + 1
        bytes.put(UInt16(units))
        bytes.put(inode.mode)
        bytes.put(UInt16(0))
        bytes.put(inode.size)
        bytes.put(inode.place)
        bytes.put(inode.number)
        bytes.put(inode.metadata.user)
        bytes.put(inode.metadata.group)
        bytes.put(UInt64(bitPattern: inode.metadata.seconds))
        bytes.put(inode.metadata.nanoseconds)
        bytes.put(inode.links)
        bytes += [UInt8](repeating: 0, count: 16)
    }

    /// The namespaces of extended attributes, by number.
    private static let namespaces: [(index: UInt8, prefix: String)] = [
        (1, "user."), (trustedSpace, "trusted."), (6, "security."),
    ]

    /// The attributes as they lie behind an inode; none take no room.
    static func attributes(_ attributes: [LayerEntry.Attribute]) -> [UInt8] {
        guard !attributes.isEmpty else { return [] }
        var bytes = [UInt8](repeating: 0, count: 12)
        for attribute in attributes {
            guard
                let space = namespaces.first(where: { attribute.name.starts(with: $0.prefix.utf8) })
            else { preconditionFailure("an attribute of a layer has a namespace that is kept") }
            let name = attribute.name.dropFirst(space.prefix.utf8.count)
            bytes.put(UInt8(name.count))
            bytes.put(space.index)
            bytes.put(UInt16(attribute.value.count))
            bytes += name
            bytes += attribute.value
            while bytes.count % 4 != 0 { bytes.append(0) }
        }
        return bytes
    }

    /// The size of a directory with these names, which include `.` and `..`, sorted.
    static func directorySize(_ names: some Sequence<[UInt8]>) -> Int {
        var full = 0
        var used = 0
        for name in names {
            let size = 12 + name.count
            if used + size > blockSize {
                full += blockSize
                used = 0
            }
            used += size
        }
        return full + used
    }

    struct DirectoryEntry {
        let name: [UInt8]
        let number: UInt64
        let kind: UInt8
    }

    /// A directory's content: in each block the entries, then their names.
    static func directory(_ entries: [DirectoryEntry]) -> [UInt8] {
        var bytes: [UInt8] = []
        var first = 0
        while first < entries.count {
            var end = first
            var used = 0
            while end < entries.count, used + 12 + entries[end].name.count <= blockSize {
                used += 12 + entries[end].name.count
                end += 1
            }
            var offset = (end - first) * 12
            for entry in entries[first..<end] {
                bytes.put(entry.number)
                bytes.put(UInt16(offset))
                bytes.put(entry.kind)
                bytes.put(UInt8(0))
                offset += entry.name.count
            }
            for entry in entries[first..<end] { bytes += entry.name }
            if end < entries.count {
                bytes += [UInt8](repeating: 0, count: blockSize - used)
            }
            first = end
        }
        return bytes
    }

    /// What lies between an inode with packed content, its attributes counted in, and its index: a
    /// header that says LZ4, in clusters of a block, by being zero.
    static func indexGap(behind header: Int) -> Int { (8 - header % 8) % 8 + 16 }

    struct Superblock {
        let inodes: UInt64
        let blocks: UInt32
        /// The block that inodes are numbered from.
        let metadata: UInt32
        let hasPacked: Bool
        /// 16 bytes.
        let identifier: [UInt8]
    }

    /// The first block of an image.
    static func firstBlock(_ superblock: Superblock) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(magic)
        bytes.put(UInt32(0))
        // The checksum is kept; each inode has a time.
        bytes.put(UInt32(0x1 | 0x2))
        bytes.put(UInt8(12))
        bytes.put(UInt8(0))
        bytes.put(UInt16(rootNumber))
        bytes.put(superblock.inodes)
        bytes.put(UInt64(0))
        bytes.put(UInt32(0))
        bytes.put(superblock.blocks)
        bytes.put(superblock.metadata)
        bytes.put(UInt32(0))
        bytes += superblock.identifier.prefix(16)
        bytes += [UInt8](repeating: 0, count: 16)
        // Packed blocks begin with zeros.
        bytes.put(UInt32(superblock.hasPacked ? 1 : 0))
        bytes += [UInt8](repeating: 0, count: 3072 - bytes.count)
        let checksum = crc32c(bytes)
        for place in 0..<4 { bytes[4 + place] = UInt8(truncatingIfNeeded: checksum >> (8 * place)) }
        return [UInt8](repeating: 0, count: 1024) + bytes
    }

    /// CRC-32C without the inversion at the end.
    static func crc32c(_ bytes: [UInt8]) -> UInt32 {
        var value = UInt32.max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        return value
    }
}

extension [UInt8] {
    /// Appends a number, its lowest byte first.
    mutating func put<Number: FixedWidthInteger>(_ number: Number) {
        for place in 0..<(Number.bitWidth / 8) {
            append(UInt8(truncatingIfNeeded: number >> (8 * place)))
        }
    }
}
