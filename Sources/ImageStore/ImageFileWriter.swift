internal import LinuxKernel

/// Writes a file from its second block on, in order, and digests it on the way. The first block
/// comes last: it says where things are.
final class ImageFileWriter {
    private let file: Descriptor
    private let limit: UInt64
    private let room: UInt64
    private var buffer: [UInt8]
    private var used = 0
    /// Where the buffer's first byte belongs.
    private var start = UInt64(ErofsFormat.blockSize)
    private var hash = SHA256()
    private static let bufferSize = 1 << 20
    private static let zeros = [UInt8](repeating: 0, count: 64 << 10)

    /// - Parameters:
    ///   - limit: the largest size of the file.
    ///   - room: what there is for it.
    init(_ file: consuming Descriptor, limit: UInt64, room: UInt64) {
        self.file = file
        self.limit = limit
        self.room = room
        buffer = [UInt8](repeating: 0, count: Self.bufferSize)
    }

    /// Where the next byte goes.
    var position: UInt64 { start + UInt64(used) }

    private func check(_ count: UInt64) throws(ImageError) {
        guard count <= limit, position + count <= limit else {
            throw ImageError(.limitExceeded, "the layer has more than \(limit) bytes")
        }
        guard position + count <= room else {
            throw ImageError(
                .noSpace,
                "the layer needs more than the \(room) bytes that the store has left, with all"
                    + " evicted that may be",
                hint: "remove or unpin images, or raise the capacity")
        }
    }

    func append(_ bytes: Span<UInt8>) throws(ImageError) {
        try check(UInt64(bytes.count))
        var rest = bytes
        while !rest.isEmpty {
            let count = min(rest.count, Self.bufferSize - used)
            buffer.copy(rest.extracting(first: count), to: used)
            used += count
            rest = rest.extracting(droppingFirst: count)
            if used == Self.bufferSize { try flush() }
        }
    }

    func append(_ bytes: [UInt8]) throws(ImageError) {
        try append(bytes.span)
    }

    /// Zeros; many of them take no room on the disk.
    func appendZeros(_ count: UInt64) throws(ImageError) {
        try check(count)
        if count < UInt64(Self.bufferSize) {
            var rest = count
            while rest > 0 {
                let piece = min(rest, UInt64(Self.zeros.count))
                try append(Self.zeros.span.extracting(first: Int(piece)))
                rest -= piece
            }
            return
        }
        try flush()
        var rest = count
        while rest > 0 {
            let piece = min(rest, UInt64(Self.zeros.count))
            hash.update(Self.zeros.span.extracting(first: Int(piece)))
            rest -= piece
        }
        start += count
    }

    /// Zeros up to a multiple of the block size.
    func fillBlock() throws(ImageError) {
        let rest = position % UInt64(ErofsFormat.blockSize)
        if rest > 0 { try appendZeros(UInt64(ErofsFormat.blockSize) - rest) }
    }

    private func flush() throws(ImageError) {
        guard used > 0 else { return }
        hash.update(buffer.span.extracting(first: used))
        try write(buffer, first: used)
        // The disk works while the next piece is unpacked.
        file.startWriting(at: start, count: UInt64(used))
        start += UInt64(used)
        used = 0
    }

    private func write(_ bytes: [UInt8], first count: Int) throws(ImageError) {
        do throws(SystemCallError) {
            try file.write(bytes.span.extracting(first: count), at: start)
        } catch {
            throw ImageError(error, doing: "write a layer")
        }
    }

    /// Writes the first block, and waits until all is on the disk.
    func finish(firstBlock: [UInt8]) throws(ImageError) -> ImageFileDigests {
        precondition(firstBlock.count == ErofsFormat.blockSize, "the first block is one")
        try flush()
        do throws(SystemCallError) {
            try file.write(firstBlock.span, at: 0)
            try file.setSize(start)
            try file.synchronize()
            // Sandboxes read by way of the file system in the file, which keeps pages of its own.
            file.forgetContent()
        } catch {
            throw ImageError(error, doing: "write a layer")
        }
        return ImageFileDigests(
            head: SHA256.digest(of: firstBlock), body: hash.finish(), bytes: start)
    }
}

/// What a layer's file is known by: its first block, which is written last, and the rest.
struct ImageFileDigests: Equatable {
    let head: Digest
    let body: Digest
    let bytes: UInt64
}
