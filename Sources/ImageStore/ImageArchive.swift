internal import LinuxKernel

/// Where an image is read from: files by their names, those of layers as streams.
protocol ImageArchive: AnyObject {
    var description: String { get }
    /// A document, or nothing where there is no file of that name.
    func document(_ name: String) throws(ImageError) -> [UInt8]?
    /// The length of a file, where there is one of that name.
    func size(of name: String) throws(ImageError) -> UInt64?
    /// Gives the files of these names, each once, in an order of its own. A file that is not read
    /// to its end is passed over. Says which names are missing.
    func read(
        _ names: Set<String>, _ body: (String, any ByteStream) throws(ImageError) -> Void
    ) throws(ImageError) -> Set<String>
}

/// A directory in OCI's layout.
final class DirectoryArchive: ImageArchive {
    private let directory: Descriptor
    private let limits: ImageLimits
    let description: String

    init(_ path: String, limits: ImageLimits) throws(ImageError) {
        directory = try storing("open `\(path)`") { () throws(SystemCallError) in
            try Files.open(path, [.path, .directory])
        }
        description = path
        self.limits = limits
    }

    private func open(_ name: String) throws(ImageError) -> Descriptor? {
        do throws(SystemCallError) {
            let file = try Files.open(
                name, at: directory, [.readOnly, .nonBlocking],
                resolving: [.beneath, .noMagicLinks])
            guard try Files.status(of: file).kind == .regular else {
                throw SystemCallError(call: "open", subject: name, errorNumber: .invalid)
            }
            return file
        } catch {
            if error.errorNumber == .noEntry { return nil }
            throw ImageError(error, doing: "read `\(description)`")
        }
    }

    func size(of name: String) throws(ImageError) -> UInt64? {
        guard let file = try open(name) else { return nil }
        return try storing("read `\(name)`") { () throws(SystemCallError) in
            try Files.status(of: file).size
        }
    }

    func document(_ name: String) throws(ImageError) -> [UInt8]? {
        guard let file = try open(name) else { return nil }
        return try FileStream(file, path: name).readAll(limit: limits.documentBytes, what: name)
    }

    func read(
        _ names: Set<String>, _ body: (String, any ByteStream) throws(ImageError) -> Void
    ) throws(ImageError) -> Set<String> {
        var missing: Set<String> = []
        for name in names.sorted() {
            if let file = try open(name) {
                try body(name, FileStream(file, path: name))
            } else {
                missing.insert(name)
            }
        }
        return missing
    }
}

/// A tar archive, packed or not, in OCI's layout or in that of `docker save`. It is read twice:
/// first for the documents, then for the layers.
final class FileArchive: ImageArchive {
    private let path: String
    private let limits: ImageLimits
    private var documents: [String: [UInt8]] = [:]
    /// Names of the same file: old archives of `docker save` have links between their layers.
    private var links: [String: String] = [:]
    private var sizes: [String: UInt64] = [:]
    private var documentBytes = 0

    var description: String { path }

    init(_ path: String, limits: ImageLimits) throws(ImageError) {
        self.path = path
        self.limits = limits
        try lookThrough()
    }

    private func open() throws(ImageError) -> ArchiveReader {
        let path = path
        let file = try storing("open `\(path)`") { () throws(SystemCallError) in
            let file = try Files.open(path, [.readOnly, .nonBlocking])
            guard try Files.status(of: file).kind == .regular else {
                throw SystemCallError(call: "open", subject: path, errorNumber: .invalid)
            }
            return file
        }
        return try ArchiveReader(FileStream(file, path: path), as: .packedFiles, what: "`\(path)`")
    }

    private func lookThrough() throws(ImageError) {
        let archive = try open()
        var files = 0
        while let entry = try archive.next() {
            files += 1
            guard files <= limits.archiveFiles else {
                throw ImageError(.limitExceeded, "`\(path)` has more than \(files - 1) files")
            }
            guard let name = Self.name(entry.path) else { continue }
            if let target = entry.symbolicLink {
                links[name] = Self.target(target, from: name)
            } else if entry.fileType == 0o100_000, let size = entry.size {
                sizes[name] = UInt64(max(0, size))
                try takeDocument(name, size: size, from: archive)
            }
        }
    }

    /// Keeps what begins as a document does; layers begin otherwise.
    private func takeDocument(
        _ name: String, size: Int64, from archive: ArchiveReader
    ) throws(ImageError) {
        guard size > 0, size <= limits.documentBytes else { return }
        var start = [UInt8](repeating: 0, count: 1)
        var span = start.mutableSpan
        let count = try archive.read(into: &span)
        guard count == 1, [0x7B, 0x5B, 0x20, 0x0A].contains(start[0]) else { return }
        let rest = try archive.readAll(limit: limits.documentBytes, what: "`\(name)`")
        documentBytes += rest.count + 1
        guard documentBytes <= 8 * limits.documentBytes else {
            throw ImageError(.limitExceeded, "`\(path)` has too much of documents")
        }
        guard documents.updateValue(start + rest, forKey: name) == nil else {
            throw ImageError(.malformed, "`\(path)` has `\(name)` twice")
        }
    }

    func size(of name: String) -> UInt64? { sizes[links[name] ?? name] }

    func document(_ name: String) -> [UInt8]? { documents[name] }

    func read(
        _ names: Set<String>, _ body: (String, any ByteStream) throws(ImageError) -> Void
    ) throws(ImageError) -> Set<String> {
        var wanted: [String: [String]] = [:]
        for name in names { wanted[links[name] ?? name, default: []].append(name) }
        let archive = try open()
        var missing = names
        while !wanted.isEmpty, let entry = try archive.next() {
            guard entry.fileType == 0o100_000, entry.symbolicLink == nil,
                let name = Self.name(entry.path), let found = wanted.removeValue(forKey: name)
            else { continue }
            // Names of one file are one layer.
            for name in found { missing.remove(name) }
            try body(found[0], archive)
        }
        return missing
    }

    /// The name without `./` in front; nothing for what is not text.
    private static func name(_ path: [UInt8]) -> String? {
        guard let text = String(validating: path, as: UTF8.self) else { return nil }
        return text.hasPrefix("./") ? String(text.dropFirst(2)) : text
    }

    /// The file that a link beside `name` leads to.
    private static func target(_ target: [UInt8], from name: String) -> String? {
        guard let text = String(validating: target, as: UTF8.self), !text.hasPrefix("/") else {
            return nil
        }
        var place = name.split(separator: "/").dropLast()
        for part in text.split(separator: "/") where part != "." {
            if part == ".." {
                guard place.popLast() != nil else { return nil }
            } else {
                place.append(part)
            }
        }
        return place.joined(separator: "/")
    }
}
