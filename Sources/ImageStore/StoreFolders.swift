internal import LinuxKernel

/// The directories of a store, held open, and how its files are changed: each whole or not at all.
///
/// ```
/// format                  what wrote it
/// lock                    held while records change
/// index.json              names and pins
/// images/<digest>.json    one for each image, by the digest of its configuration
/// layers/<digest>/        one for each layer, by the digest of its unpacked archive
///     layer.erofs         the layer's file system
///     record.json         what it holds, and what it is known by
///     damaged             the last check found it changed
/// holds/<owner>           the image that somebody uses
/// leases/                 what a running import counts on, locked as long as it runs
/// locks/                  one import at a time of a layer
/// staging/                what is being made, locked as long as somebody makes it
/// ```
final class StoreFolders: Sendable {
    let path: String
    let root: Descriptor
    let images: Descriptor
    let layers: Descriptor
    let holds: Descriptor
    let leases: Descriptor
    let locks: Descriptor
    let staging: Descriptor
    private let counter = Locked<UInt64>(0)

    static let format = "alcove images 1\n"

    init(_ path: String) throws(ImageError) {
        self.path = path
        do throws(SystemCallError) {
            try Self.makeDirectory(path)
            root = try Files.open(path, [.readOnly, .directory])
            images = try Self.directory("images", in: root)
            layers = try Self.directory("layers", in: root)
            holds = try Self.directory("holds", in: root)
            leases = try Self.directory("leases", in: root)
            locks = try Self.directory("locks", in: root)
            staging = try Self.directory("staging", in: root)
        } catch {
            throw ImageError(error, doing: "open the image store `\(path)`")
        }
        try locked { () throws(ImageError) in try checkFormat() }
    }

    private func checkFormat() throws(ImageError) {
        let present = try readText("format", at: root, limit: 256)
        guard let present else {
            try replace("format", at: root, with: Self.format)
            return
        }
        guard present == Self.format else {
            throw ImageError(
                .unsupported, "the image store `\(path)` was written by another version",
                hint: "use the version that wrote it, or another directory")
        }
    }

    /// The directory that leads to it must be there.
    private static func makeDirectory(_ path: String) throws(SystemCallError) {
        guard !Files.exists(path) else { return }
        let cut = path.lastIndex(of: "/")
        let parent = cut.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = cut.map { String(path[path.index(after: $0)...]) } ?? path
        let above = try Files.open(parent, [.path, .directory])
        try makeDirectory(name, in: above)
    }

    /// One that is there, or that somebody else makes at the same time, is no error.
    private static func makeDirectory(
        _ name: String, in parent: borrowing Descriptor
    ) throws(SystemCallError) {
        do throws(SystemCallError) {
            try Files.makeDirectory(name, at: parent, permissions: 0o700)
        } catch {
            guard error.errorNumber == .exists else { throw error }
        }
    }

    private static func directory(
        _ name: String, in parent: borrowing Descriptor
    ) throws(SystemCallError) -> Descriptor {
        try makeDirectory(name, in: parent)
        return try Files.open(name, at: parent, [.readOnly, .directory, .noFollow])
    }

    /// Changes records while nobody else does, in this process or another.
    func locked<Result>(
        _ body: () throws(ImageError) -> Result
    ) throws(ImageError) -> Result {
        let lock = try lockFile("lock", at: root)
        let result = try body()
        // Closing the file gives the lock back.
        _ = consume lock
        return result
    }

    /// A file of this name, to be locked.
    func openLock(
        _ name: String, at directory: borrowing Descriptor
    ) throws(ImageError) -> Descriptor {
        do throws(SystemCallError) {
            return try Files.open(name, at: directory, [.readWrite, .create])
        } catch {
            throw ImageError(error, doing: "lock the image store")
        }
    }

    /// A file of this name, locked as soon as nobody else has it locked.
    func lockFile(
        _ name: String, at directory: borrowing Descriptor
    ) throws(ImageError) -> Descriptor {
        let file = try openLock(name, at: directory)
        do throws(SystemCallError) {
            try file.lockWaiting()
        } catch {
            throw ImageError(error, doing: "lock the image store")
        }
        return file
    }

    /// A name that no other file of this store has.
    func uniqueName() -> String {
        let count = counter.with { value in
            value += 1
            return value
        }
        return "\(ThisProcess.identifier)-\(MonotonicClock.nanoseconds)-\(count)"
    }

    func names(in directory: borrowing Descriptor) throws(ImageError) -> [String] {
        do throws(SystemCallError) {
            return try DirectoryListing.names(in: directory)
        } catch {
            throw ImageError(error, doing: "list the image store")
        }
    }

    /// A short file; nothing if it is not there.
    func readText(
        _ name: String, at directory: borrowing Descriptor, limit: Int
    ) throws(ImageError) -> String? {
        do throws(SystemCallError) {
            return try Files.read(name, at: directory, limit: limit)
        } catch {
            if error.errorNumber == .noEntry { return nil }
            throw ImageError(error, doing: "read the image store")
        }
    }

    /// Gives a file this content, at once and for good. Only with the lock, or below `staging`.
    func replace(
        _ name: String, at directory: borrowing Descriptor, with text: String
    ) throws(ImageError) {
        let temporary = ".new-\(name)"
        do throws(SystemCallError) {
            let file = try Files.open(
                temporary, at: directory, [.writeOnly, .create, .truncate])
            try file.writeAll(Array(text.utf8))
            try file.synchronize()
            try Files.rename(temporary, at: directory, to: name, at: directory)
            try directory.synchronize()
        } catch {
            throw ImageError(error, doing: "write the image store")
        }
    }

    func remove(_ name: String, at directory: borrowing Descriptor) throws(ImageError) {
        do throws(SystemCallError) {
            try Files.removeFile(name, at: directory)
        } catch {
            guard error.errorNumber != .noEntry else { return }
            throw ImageError(error, doing: "remove from the image store")
        }
    }

    /// Removes a directory below `staging` with the files in it.
    func removeStaged(_ name: String) {
        guard let directory = try? Files.open(name, at: staging, [.readOnly, .directory]) else {
            return
        }
        for file in (try? DirectoryListing.names(in: directory)) ?? [] {
            try? Files.removeFile(file, at: directory)
        }
        try? Files.removeDirectory(name, at: staging)
    }

    /// Removes what processes that are gone left behind. With the lock.
    func sweep() throws(ImageError) {
        for name in try names(in: staging) {
            guard let directory = try? Files.open(name, at: staging, [.readOnly, .directory]),
                (try? directory.lock()) == true
            else { continue }
            removeStaged(name)
        }
        for name in try names(in: leases) {
            guard let file = try? Files.open(name, at: leases, [.readWrite]),
                (try? file.lock()) == true
            else { continue }
            try remove(name, at: leases)
        }
    }
}
