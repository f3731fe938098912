internal import LinuxKernel

/// Bytes in their order.
protocol ByteStream: AnyObject {
    /// Fills the beginning of the buffer. Gives how many bytes it got: none at the end.
    func read(into buffer: inout MutableSpan<UInt8>) throws(ImageError) -> Int
    /// Goes on without reading. Gives by how many bytes: none where it cannot.
    func skip(_ count: Int64) throws(ImageError) -> Int64
}

extension ByteStream {
    func skip(_ count: Int64) throws(ImageError) -> Int64 { 0 }

    /// Reads on to the end.
    func drain() throws(ImageError) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var span = buffer.mutableSpan
        while try read(into: &span) > 0 {}
    }

    /// All of a short text.
    func readAll(limit: Int, what: String) throws(ImageError) -> [UInt8] {
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: min(limit + 1, 64 << 10))
        while true {
            var span = buffer.mutableSpan
            let count = try read(into: &span)
            if count == 0 { return content }
            content += buffer.prefix(count)
            guard content.count <= limit else {
                throw ImageError(
                    .limitExceeded, "\(what) is longer than the \(limit) bytes allowed")
            }
        }
    }
}

/// A file from its start.
final class FileStream: ByteStream {
    private let file: Descriptor
    private let path: String

    init(_ file: consuming Descriptor, path: String) {
        self.file = file
        self.path = path
    }

    func read(into buffer: inout MutableSpan<UInt8>) throws(ImageError) -> Int {
        do throws(SystemCallError) {
            return try file.read(into: &buffer)
        } catch {
            throw ImageError(error, doing: "read `\(path)`")
        }
    }

    func skip(_ count: Int64) throws(ImageError) -> Int64 {
        do throws(SystemCallError) {
            try file.skip(count)
            return count
        } catch {
            throw ImageError(error, doing: "read `\(path)`")
        }
    }
}

/// A stream that is measured and digested on its way.
final class MeteredStream: ByteStream {
    private let source: any ByteStream
    private let limit: UInt64
    private let what: String
    /// Told the count so far; throws to stop.
    private let observe: (UInt64) throws(ImageError) -> Void
    private var hash = SHA256()
    private(set) var count: UInt64 = 0

    init(
        _ source: any ByteStream, limit: UInt64, what: String,
        observe: @escaping (UInt64) throws(ImageError) -> Void = { _ in }
    ) {
        self.source = source
        self.limit = limit
        self.what = what
        self.observe = observe
    }

    func read(into buffer: inout MutableSpan<UInt8>) throws(ImageError) -> Int {
        let got = try source.read(into: &buffer)
        guard got > 0 else { return 0 }
        count += UInt64(got)
        guard count <= limit else {
            throw ImageError(.limitExceeded, "\(what) has more than \(limit) bytes")
        }
        hash.update(buffer.span.extracting(first: got))
        try observe(count)
        return got
    }

    func finish() -> Digest { hash.finish() }
}
