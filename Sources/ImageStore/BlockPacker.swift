/// Packs the content of one file: pieces of it, each as much as fits a block, and an index that
/// says, for each 4 KiB of the content, which piece begins there.
struct BlockPacker {
    private let size: UInt64
    private var pending: [UInt8] = []
    private var first = 0
    /// Where in the file the pending content begins.
    private var position: UInt64 = 0
    private(set) var index: [UInt8] = []
    private(set) var blocks: UInt32 = 0
    /// The most that is unpacked for one byte that is read.
    private static let most = 64 << 10
    private static let cluster = UInt64(ErofsFormat.blockSize)

    init(size: UInt64) {
        self.size = size
    }

    mutating func append(
        _ bytes: Span<UInt8>, to writer: ImageFileWriter
    ) throws(ImageError) {
        pending.append(bytes)
        try pack(into: writer, atLeast: 2 * Self.most)
    }

    mutating func appendZeros(_ count: UInt64, to writer: ImageFileWriter) throws(ImageError) {
        let zeros = [UInt8](repeating: 0, count: Self.most)
        var rest = count
        while rest > 0 {
            let piece = min(rest, UInt64(zeros.count))
            try append(zeros.span.extracting(first: Int(piece)), to: writer)
            rest -= piece
        }
    }

    mutating func finish(_ writer: ImageFileWriter) throws(ImageError) {
        try pack(into: writer, atLeast: 1)
        let end = position % Self.cluster
        // Where the content ends within a cluster that no piece begins in.
        if UInt64(index.count / 8) * Self.cluster < size { put(.plain, end, block: 0) }
        precondition(
            position == size
                && UInt64(index.count / 8) == (size + Self.cluster - 1) / Self.cluster,
            "the index has an entry for each cluster")
    }

    private mutating func pack(
        into writer: ImageFileWriter, atLeast least: Int
    ) throws(ImageError) {
        while pending.count - first >= least {
            let piece = nextPiece()
            let number = writer.position / Self.cluster
            guard number < UInt64(UInt32.max) else {
                throw ImageError(
                    .limitExceeded, "the layer is larger than its file system can be")
            }
            try writer.append(piece.block)
            note(piece.kind, piece.count, at: UInt32(number))
            first += piece.count
            if first >= 8 * Self.most {
                pending.removeFirst(first)
                first = 0
            }
        }
    }

    private func nextPiece() -> (kind: Kind, count: Int, block: [UInt8]) {
        let available = min(pending.count - first, Self.most)
        var block = [UInt8](repeating: 0, count: ErofsFormat.blockSize)
        if available > ErofsFormat.blockSize {
            let content = pending.span.extracting(first..<(first + available))
            let count = LZ4.pack(content, into: &block)
            if count > ErofsFormat.blockSize { return (.packed, count, block) }
        }
        let count = min(available, ErofsFormat.blockSize)
        let rest = [UInt8](repeating: 0, count: ErofsFormat.blockSize - count)
        return (.plain, count, pending[first..<(first + count)] + rest)
    }

    private enum Kind: UInt16 {
        case plain
        case packed
        /// No piece begins here.
        case inside
    }

    /// Notes a piece, with the clusters that it reaches the end of.
    private mutating func note(_ kind: Kind, _ count: Int, at block: UInt32) {
        let start = position % Self.cluster
        let reached = (start + UInt64(count)) / Self.cluster
        put(kind, start, block: block)
        // To the cluster where the piece begins, and to that where the next one does.
        for place in 1..<max(1, reached) {
            put(.inside, 0, block: UInt32(place) | UInt32(reached - place) << 16)
        }
        position += UInt64(count)
        blocks += 1
    }

    private mutating func put(_ kind: Kind, _ start: UInt64, block: UInt32) {
        index.put(kind.rawValue)
        index.put(UInt16(start))
        index.put(block)
    }
}
