internal import LinuxKernel

/// What waits to be written behind the inodes: the ends of files, in the order of the archive. A
/// file without a name, so that nothing of it can be left.
final class TailStore {
    private let file: Descriptor
    private var pending: [UInt8] = []
    /// How much is in the file.
    private var written: UInt64 = 0
    private var window: [UInt8] = []
    private var windowStart: UInt64 = 0
    private static let windowSize = 1 << 20

    init(in directory: borrowing Descriptor) throws(ImageError) {
        do throws(SystemCallError) {
            // O_TMPFILE
            file = try Files.open(
                ".", at: directory, [.readWrite, .directory, OpenMode(rawValue: 0o20_000_000)])
        } catch {
            throw ImageError(error, doing: "make a temporary file")
        }
        pending.reserveCapacity(Self.windowSize)
    }

    var position: UInt64 { written + UInt64(pending.count) }

    func append(_ bytes: [UInt8]) throws(ImageError) {
        pending += bytes
        if pending.count >= Self.windowSize { try flush() }
    }

    private func flush() throws(ImageError) {
        guard !pending.isEmpty else { return }
        try write(pending, at: written)
        written += UInt64(pending.count)
        pending.removeAll(keepingCapacity: true)
    }

    private func write(_ bytes: [UInt8], at offset: UInt64) throws(ImageError) {
        do throws(SystemCallError) {
            try file.write(bytes.span, at: offset)
        } catch {
            throw ImageError(error, doing: "write a temporary file")
        }
    }

    /// Reads what was appended; cheap in the order of appending.
    func read(_ count: Int, at offset: UInt64) throws(ImageError) -> ArraySlice<UInt8> {
        try flush()
        let isInWindow =
            offset >= windowStart
            && offset + UInt64(count) <= windowStart + UInt64(window.count)
        if !isInWindow { try moveWindow(to: offset, atLeast: count) }
        let place = Int(offset - windowStart)
        guard place + count <= window.count else {
            throw ImageError(.storage, "a temporary file is shorter than what was written to it")
        }
        return window[place..<(place + count)]
    }

    private func moveWindow(to offset: UInt64, atLeast least: Int) throws(ImageError) {
        var bytes = [UInt8](repeating: 0, count: max(Self.windowSize, least))
        var span = bytes.mutableSpan
        let count: Int
        do throws(SystemCallError) {
            count = try file.read(into: &span, at: offset)
        } catch {
            throw ImageError(error, doing: "read a temporary file")
        }
        bytes.removeLast(bytes.count - count)
        window = bytes
        windowStart = offset
    }
}
