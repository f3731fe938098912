internal import LinuxKernel

/// The image of one layer while it is made: content goes to the file as it comes, the tree stays
/// in memory until the end.
final class LayerFile {
    private(set) var tree: LayerTree
    private let writer: ImageFileWriter
    private let tails: TailStore
    private let packing: LayerPacking
    private var hasPacked = false
    /// Bytes of all files.
    private(set) var contentBytes: UInt64 = 0

    /// - Parameter directory: where temporary files without a name may be.
    init(
        _ file: consuming Descriptor, directory: borrowing Descriptor, policy: LayerPolicy,
        limits: ImageLimits, packing: LayerPacking, room: UInt64
    ) throws(ImageError) {
        self.packing = packing
        tree = LayerTree(policy: policy, limits: limits)
        // Inodes and directories come on top of the content.
        writer = ImageFileWriter(
            file, limit: limits.layerBytes + UInt64(limits.entries) * 8192, room: room)
        tails = try TailStore(in: directory)
    }

    /// Takes all files in that a source has.
    func fill(from source: some LayerSource) throws(ImageError) {
        while let entry = try source.next() {
            guard let node = try tree.add(entry) else { continue }
            do throws(ImageError) {
                try takeContent(of: node, from: source)
            } catch {
                throw error.at("entry \(entry.shownPath)")
            }
        }
    }

    private func takeContent(
        of index: Int32, from source: some LayerSource
    ) throws(ImageError) {
        let node = tree.nodes[Int(index)]
        let start = writer.position / UInt64(ErofsFormat.blockSize)
        guard start + node.size / 4096 < UInt64(UInt32.max) else {
            throw ImageError(.limitExceeded, "the layer is larger than its file system can be")
        }
        if packing == .lz4, node.size > UInt64(ErofsFormat.blockSize) {
            try takePacked(node.size, of: index, from: source)
        } else {
            try takePlain(node, of: index, from: source)
        }
        contentBytes += node.size
    }

    private func takePacked(
        _ size: UInt64, of index: Int32, from source: some LayerSource
    ) throws(ImageError) {
        var packer = BlockPacker(size: size)
        var done: UInt64 = 0
        try source.readPieces { (bytes, offset) throws(ImageError) in
            let end = offset + UInt64(bytes.count)
            guard offset >= done, end <= size else { throw Self.outOfOrder }
            try packer.appendZeros(offset - done, to: writer)
            try packer.append(bytes, to: writer)
            done = end
        }
        try packer.appendZeros(size - done, to: writer)
        try packer.finish(writer)
        tree.set(
            LayerTree.Content(
                tailOffset: tails.position, tailCount: UInt32(packer.index.count),
                packedBlocks: packer.blocks),
            of: index)
        try tails.append(packer.index)
        hasPacked = true
    }

    private static let outOfOrder = ImageError(
        .malformed, "content out of order, or beyond the length")

    private func takePlain(
        _ node: LayerTree.Node, of index: Int32, from source: some LayerSource
    ) throws(ImageError) {
        let tailCount = ErofsLayout.tailCount(
            of: node.size, header: ErofsLayout.headerSize(of: node))
        let bodyEnd = node.size - UInt64(tailCount)
        let start = writer.position / UInt64(ErofsFormat.blockSize)
        var done: UInt64 = 0
        var tail: [UInt8] = []
        try source.readPieces { (bytes, offset) throws(ImageError) in
            let end = offset + UInt64(bytes.count)
            guard offset >= done, end <= node.size else { throw Self.outOfOrder }
            let bodyPart = offset < bodyEnd ? min(UInt64(bytes.count), bodyEnd - offset) : 0
            if bodyPart > 0 {
                try writer.appendZeros(offset - done)
                try writer.append(bytes.extracting(first: Int(bodyPart)))
            } else if done < bodyEnd {
                try writer.appendZeros(bodyEnd - done)
            }
            if end > bodyEnd {
                tail += [UInt8](
                    repeating: 0, count: Int(max(offset, bodyEnd) - bodyEnd) - tail.count)
                tail.append(bytes.extracting(droppingFirst: Int(bodyPart)))
            }
            done = end
        }
        if done < bodyEnd { try writer.appendZeros(bodyEnd - done) }
        tail += [UInt8](repeating: 0, count: tailCount - tail.count)
        try writer.fillBlock()
        tree.set(
            LayerTree.Content(
                start: UInt32(start), tailOffset: tails.position, tailCount: UInt32(tailCount)),
            of: index)
        if tailCount > 0 { try tails.append(tail) }
    }

    /// Writes directories, inodes and the first block, and waits until all is on the disk.
    ///
    /// - Parameter identifier: 16 bytes by which the file system is told from others.
    func finish(identifier: [UInt8]) throws(ImageError) -> ImageFileDigests {
        let layout = ErofsLayout(tree)
        var targets = try writeTargets(layout)
        let directoryStart = writer.position / UInt64(ErofsFormat.blockSize)
        for directory in layout.directories {
            guard let directory else { continue }
            let content = content(of: directory, layout)
            let inBlocks = directory.size - directory.tail
            if inBlocks > 0 { try writer.append(content.span.extracting(first: inBlocks)) }
            try writer.fillBlock()
        }
        let metadata = writer.position / UInt64(ErofsFormat.blockSize)
        for (index, node) in tree.nodes.enumerated() where node.links > 0 {
            let place =
                metadata * UInt64(ErofsFormat.blockSize)
                + layout.numbers[index] * UInt64(ErofsFormat.slotSize)
            try writer.appendZeros(place - writer.position)
            try writeInode(
                index, node, layout, directoryStart: directoryStart,
                target: targets.removeValue(forKey: index))
        }
        try writer.fillBlock()
        let blocks = writer.position / UInt64(ErofsFormat.blockSize)
        guard let blockCount = UInt32(exactly: blocks) else {
            throw ImageError(.limitExceeded, "the layer is larger than its file system can be")
        }
        return try writer.finish(
            firstBlock: ErofsFormat.firstBlock(
                ErofsFormat.Superblock(
                    inodes: layout.inodes, blocks: blockCount, metadata: UInt32(metadata),
                    hasPacked: hasPacked, identifier: identifier)))
    }

    /// Targets of symbolic links that are too long to lie behind their inodes. Gives their blocks.
    private func writeTargets(_ layout: ErofsLayout) throws(ImageError) -> [Int: UInt32] {
        var places: [Int: UInt32] = [:]
        for (index, node) in tree.nodes.enumerated()
        where node.kind == .symbolicLink && node.links > 0 && layout.tail(of: node) == 0 {
            places[index] = UInt32(writer.position / UInt64(ErofsFormat.blockSize))
            try writer.append(node.target)
            try writer.fillBlock()
        }
        return places
    }

    private func content(of directory: ErofsLayout.Directory, _ layout: ErofsLayout) -> [UInt8] {
        ErofsFormat.directory(
            directory.names.map {
                ErofsFormat.DirectoryEntry(
                    name: $0.name, number: layout.numbers[Int($0.node)],
                    kind: tree.nodes[Int($0.node)].kind.rawValue)
            })
    }

    private func writeInode(
        _ index: Int, _ node: LayerTree.Node, _ layout: ErofsLayout, directoryStart: UInt64,
        target: UInt32?
    ) throws(ImageError) {
        let attributes = ErofsFormat.attributes(ErofsLayout.attributes(of: node))
        let tail = layout.tail(of: node)
        var size = node.size
        var place = node.content.start
        var tailBytes: [UInt8] = []
        var form: ErofsFormat.Layout = tail > 0 ? .tailed : .blocks
        switch node.kind {
        case .regular:
            if tail > 0 {
                tailBytes = Array(try tails.read(tail, at: node.content.tailOffset))
            }
            if node.content.packedBlocks > 0 {
                form = .packed
                place = node.content.packedBlocks
                let header = ErofsFormat.inodeSize + attributes.count
                let gap = ErofsFormat.indexGap(behind: header)
                tailBytes.insert(contentsOf: [UInt8](repeating: 0, count: gap), at: 0)
            }
        case .symbolicLink:
            place = target ?? 0
            if tail > 0 { tailBytes = node.target }
        case .directory:
            guard let directory = layout.directories[Int(node.directory)] else {
                preconditionFailure("every directory that is written has been laid out")
            }
            size = UInt64(directory.size)
            place = UInt32(directoryStart) + UInt32(directory.firstBlock)
            tailBytes = Array(content(of: directory, layout).suffix(tail))
        case .characterDevice, .blockDevice, .fifo: place = node.device
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ErofsFormat.inodeSize + attributes.count + tail)
        ErofsFormat.append(
            ErofsFormat.Inode(
                layout: form, attributeBytes: attributes.count,
                mode: node.kind.fileType | node.metadata.permissions, size: size, place: place,
                number: UInt32(index + 1), metadata: node.metadata, links: node.links),
            to: &bytes)
        try writer.append(bytes + attributes + tailBytes)
    }
}
