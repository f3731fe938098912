/// Where each inode of a layer's image lies, and what lies behind it: worked out before anything
/// of it is written, since directories name inodes by their place.
struct ErofsLayout {
    struct Directory {
        /// With `.` and `..`, sorted by their bytes.
        let names: [(name: [UInt8], node: Int32)]
        let size: Int
        /// Which of its content lies in blocks, and how much behind the inode.
        let tail: Int
        /// The first block, counted from the first of all directories.
        fileprivate(set) var firstBlock = 0

        var blockCount: Int { (size - tail + ErofsFormat.blockSize - 1) / ErofsFormat.blockSize }
    }

    /// In the order of nodes: the place from the first block of inodes on, in slots.
    private(set) var numbers: [UInt64]
    /// In the order of `LayerTree.directories`.
    private(set) var directories: [Directory?]
    private var directoryBlocks = 0
    /// Nodes that are written.
    private(set) var inodes: UInt64 = 0

    init(_ tree: LayerTree) {
        numbers = [UInt64](repeating: 0, count: tree.nodes.count)
        directories = [Directory?](repeating: nil, count: tree.directories.count)
        lookThrough(tree)
        var position = ErofsFormat.rootNumber * UInt64(ErofsFormat.slotSize)
        for (index, node) in tree.nodes.enumerated() where node.links > 0 {
            let header = Self.headerSize(of: node)
            let isPacked = node.content.packedBlocks > 0
            let tail = isPacked ? 0 : tail(of: node)
            position = Self.place(at: position, header: header, tail: tail)
            numbers[index] = position / UInt64(ErofsFormat.slotSize)
            position += UInt64(header + tail)
            if isPacked {
                position += UInt64(ErofsFormat.indexGap(behind: header))
                position += UInt64(node.content.tailCount)
            }
            inodes += 1
        }
    }

    /// Sorts all directories, and finds where their blocks lie.
    private mutating func lookThrough(_ tree: LayerTree) {
        var pending: [(node: Int32, parent: Int32)] = [(0, 0)]
        while let (place, parent) = pending.popLast() {
            let node = tree.nodes[Int(place)]
            var names: [(name: [UInt8], node: Int32)] = [
                ([0x2E], place), ([0x2E, 0x2E], parent),
            ]
            for (name, child) in tree.directories[Int(node.directory)] {
                names.append((name, child))
            }
            names.sort { $0.name.lexicographicallyPrecedes($1.name) }
            for (name, child) in names where tree.nodes[Int(child)].kind == .directory {
                if name != [0x2E], name != [0x2E, 0x2E] { pending.append((child, place)) }
            }
            let size = ErofsFormat.directorySize(names.lazy.map(\.name))
            let tail = Self.tailCount(of: UInt64(size), header: Self.headerSize(of: node))
            directories[Int(node.directory)] = Directory(names: names, size: size, tail: tail)
        }
        // In the order in which they are written.
        for index in directories.indices {
            directories[index]?.firstBlock = directoryBlocks
            directoryBlocks += directories[index]?.blockCount ?? 0
        }
    }

    static func attributes(of node: LayerTree.Node) -> [LayerEntry.Attribute] {
        guard node.kind == .directory, node.isOpaque else { return node.attributes }
        let opaque = LayerEntry.Attribute(
            name: Array("trusted.overlay.opaque".utf8), value: Array("y".utf8))
        return node.attributes + [opaque]
    }

    static func headerSize(of node: LayerTree.Node) -> Int {
        ErofsFormat.inodeSize + ErofsFormat.attributes(attributes(of: node)).count
    }

    /// How much of content of a size is kept behind the inode: what is left after full blocks,
    /// where that is not much and fits one block with what is in front of it.
    static func tailCount(of size: UInt64, header: Int) -> Int {
        let rest = Int(size % UInt64(ErofsFormat.blockSize))
        let fits = header % ErofsFormat.blockSize + rest <= ErofsFormat.blockSize
        return rest <= ErofsFormat.blockSize / 2 && fits ? rest : 0
    }

    func tail(of node: LayerTree.Node) -> Int {
        switch node.kind {
        case .regular: Int(node.content.tailCount)
        case .symbolicLink:
            Self.tailCount(of: node.size, header: Self.headerSize(of: node))
        case .directory: directories[Int(node.directory)]?.tail ?? 0
        case .characterDevice, .blockDevice, .fifo: 0
        }
    }

    /// The next place in which neither the inode nor its tail crosses into another block.
    private static func place(at position: UInt64, header: Int, tail: Int) -> UInt64 {
        let slot = UInt64(ErofsFormat.slotSize)
        let block = UInt64(ErofsFormat.blockSize)
        var place = (position + slot - 1) / slot * slot
        let next = (place + block - 1) / block * block
        if place % block + UInt64(ErofsFormat.inodeSize) > block { place = next }
        let offset = (place + UInt64(header)) % block
        if tail > 0, offset + UInt64(tail) > block { place = (place + block - 1) / block * block }
        return place
    }
}
