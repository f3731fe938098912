public import LinuxKernel
public import SandboxModel

/// An image's directory tree, held open: whatever becomes of its path, this is what is mounted.
public struct ImageTree: ~Copyable, Sendable {
    public let path: String
    let directory: Descriptor
    public let status: FileStatus

    public static func open(_ path: String) throws(SandboxError) -> ImageTree {
        do throws(SystemCallError) {
            let directory = try Files.open(path, [.path, .directory])
            let status = try Files.status(of: directory)
            return ImageTree(path: path, directory: directory, status: status)
        } catch {
            let hint =
                switch error.errorNumber {
                case .noEntry, .notDirectory:
                    "give the path of a directory tree that holds the command and its libraries;"
                        + " `rootfs/build-base` makes a small one"
                default: "it must be readable by the user who runs this"
                }
            throw SandboxError(
                .imageMissing, "image `\(path)`: \(error.errorNumber)", hint: hint)
        }
    }

    /// The status of what lies on the disk that it is read from.
    func kept(in places: DiskPlaces, of spec: SandboxSpec) -> FileStatus {
        let place = places.image(of: spec)
        return place == spec.image ? status : (try? Files.status(of: place)) ?? status
    }

    /// Whether both are the same directory, under whatever path.
    func isSame(as other: borrowing ImageTree) -> Bool {
        status.inode == other.status.inode && status.device == other.status.device
    }

    /// The directories that mounts stand on. A writable root gets them, a read-only one must have
    /// them, and in no case may one be a link to somewhere else.
    func checkMountPoints(for root: SandboxSpec.Root) throws(SandboxError) {
        for name in ["proc", "dev", "tmp"] {
            do throws(SystemCallError) {
                let status = try Files.status(of: name, at: directory, followingLinks: false)
                if status.kind == .directory { continue }
                throw SystemCallError(call: "stat", errorNumber: .notDirectory)
            } catch {
                let isMissing = error.errorNumber == .noEntry
                if isMissing, root == .writable { continue }
                throw SandboxError(
                    .imageMissing, "image `\(path)` has no directory `/\(name)` to mount on",
                    hint: isMissing
                        ? "make it in the image, or leave `--read-only` out"
                        : "something else is in its place: make it a directory in the image")
            }
        }
    }

    static let nameFile = "/etc/resolv.conf"

    /// What the file of names is mounted on: in a writable root it may be missing.
    func checkNameFile(of spec: SandboxSpec) throws(SandboxError) {
        guard spec.nameFile != nil else { return }
        let name = String(Self.nameFile.dropFirst())
        do throws(SystemCallError) {
            let status = try Files.status(of: name, at: directory, followingLinks: false)
            if status.kind != .directory { return }
        } catch {
            if error.errorNumber == .noEntry, spec.root == .writable { return }
        }
        throw SandboxError(
            .imageMissing, "image `\(path)` has no file `\(Self.nameFile)` to mount on",
            hint: "a sandbox with a network needs one: make it in the image, where a writable root "
                + "gets it only if nothing is in its place")
    }

    /// Where the workload's program is inside: found along `PATH` if it is a bare name.
    func resolveProgram(of spec: SandboxSpec) throws(SandboxError) -> String {
        let name = spec.command.first ?? ""
        if name.contains("/") {
            let start = spec.workingDirectory == "/" ? "/" : spec.workingDirectory + "/"
            let path = name.hasPrefix("/") ? name : start + name
            let status = try resolve(
                path, typed: name, what: "command", missing: .commandMissing)
            try Self.checkExecutable(status, name)
            return path
        }
        var found: FileStatus?
        for directory in Self.searchPath(of: spec) {
            let path = directory + "/" + name
            guard let status = try? resolve(path, what: "command", missing: .commandMissing)
            else { continue }
            if status.isExecutable { return path }
            found = found ?? status
        }
        if let found { try Self.checkExecutable(found, name) }
        throw SandboxError(
            .commandMissing, "command `\(name)` is not in the image",
            hint: "its PATH is \(Self.searchPath(of: spec).joined(separator: ":"))")
    }

    private static func checkExecutable(
        _ status: FileStatus, _ name: String
    ) throws(SandboxError) {
        guard !status.isExecutable else { return }
        throw SandboxError(
            .commandNotExecutable, "command `\(name)` cannot be executed",
            hint: status.kind == .directory ? "it is a directory" : "its mode lacks the `x` bit")
    }

    private static func searchPath(of spec: SandboxSpec) -> [String] {
        let entry = spec.environment.last { $0.hasPrefix("PATH=") }
        let path = entry.map { String($0.dropFirst(5)) } ?? SandboxSpec.defaultPath
        return path.split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
    }

    /// The working directory must be there, unless the sandbox's own mounts provide it.
    func checkWorkingDirectory(of spec: SandboxSpec) throws(SandboxError) {
        let path = spec.workingDirectory
        let isOwn = ["/proc", "/dev", "/tmp"].contains {
            path == $0 || path.hasPrefix($0 + "/")
        }
        if path == "/" || isOwn { return }
        let status = try resolve(path, what: "working directory", missing: .directoryMissing)
        guard status.kind == .directory else {
            throw SandboxError(
                .directoryMissing, "working directory `\(path)` is not a directory")
        }
    }

    /// What a path inside stands for, with the image as `/`. Refuses a path that climbs above it,
    /// by `..` or by a symbolic link: the kernel would stop it at the root, but whoever wrote it
    /// meant something that is not in the image.
    ///
    /// - Parameter typed: what a message calls it, where that is not the path itself.
    func resolve(
        _ path: String, typed: String? = nil, what: String, missing: SandboxError.Code
    ) throws(SandboxError) -> FileStatus {
        let name = typed ?? path
        do throws(SystemCallError) {
            // Most paths go straight down: one call.
            let relative = String(path.drop { $0 == "/" })
            let file = try Files.open(
                relative.isEmpty ? "." : relative, at: directory, [.path],
                resolving: [.beneath, .noMagicLinks])
            return try Files.status(of: file)
        } catch {
            guard error.errorNumber == .crossesDevice else {
                throw Self.error(error, name, what: what, missing: missing)
            }
        }
        try PathWalk(image: self).check(path, typed: name, what: what)
        do throws(SystemCallError) {
            let file = try Files.open(
                path, at: directory, [.path], resolving: [.inRoot, .noMagicLinks])
            return try Files.status(of: file)
        } catch {
            throw Self.error(error, name, what: what, missing: missing)
        }
    }

    private static func error(
        _ error: SystemCallError, _ path: String, what: String, missing: SandboxError.Code
    ) -> SandboxError {
        switch error.errorNumber {
        case .noEntry, .notDirectory:
            SandboxError(
                missing, "\(what) `\(path)` is not in the image",
                hint: "paths are seen from inside, with the image as `/`")
        case .linkLoop:
            SandboxError(.pathLeavesImage, "\(what) `\(path)` goes through too many links")
        default: SandboxError(missing, "\(what) `\(path)`: \(error.errorNumber)")
        }
    }
}

/// Follows a path through an image component by component, to name the one that climbs out of it.
struct PathWalk: ~Copyable {
    private let directory: Int32

    init(image: borrowing ImageTree) {
        directory = image.directory.rawValue
    }

    /// Refuses a path that climbs above the image's root.
    func check(_ path: String, typed: String, what: String) throws(SandboxError) {
        var pending = Self.components(of: path)
        var place: [String] = []
        var links = 0
        var via: (link: String, target: String)?
        while let component = pending.popLast() {
            if component == ".." {
                guard place.popLast() != nil else {
                    throw Self.refusal(typed, what: what, via: via)
                }
                continue
            }
            let here = (place + [component]).joined(separator: "/")
            guard let target = linkTarget(here) else {
                place.append(component)
                continue
            }
            links += 1
            guard links <= 40 else { return }
            via = (here, target)
            if target.hasPrefix("/") { place = [] }
            pending += Self.components(of: target)
        }
    }

    /// The components in the order in which they are taken from the end.
    private static func components(of path: String) -> [String] {
        path.split(separator: "/").filter { $0 != "." }.reversed().map(String.init)
    }

    private func linkTarget(_ path: String) -> String? {
        Files.linkTarget(path, atDescriptor: directory)
    }

    private static func refusal(
        _ path: String, what: String, via: (link: String, target: String)?
    ) -> SandboxError {
        guard let via else {
            return SandboxError(
                .pathLeavesImage, "\(what) `\(path)` leaves the image by `..`",
                hint: "paths are seen from inside, with the image as `/`")
        }
        return SandboxError(
            .pathLeavesImage,
            "\(what) `\(path)` leaves the image by the symbolic link `/\(via.link)`"
                + " to `\(via.target)`", hint: "mend the link in the image")
    }
}
