internal import CLinux

/// How this host arranges its control groups.
public struct CgroupHierarchy: Hashable, Sendable {
    public enum Mode: String, Hashable, Sendable {
        /// Version 2 alone, at `/sys/fs/cgroup`.
        case unified
        /// Controllers on version 1; a version 2 tree beside them, with what is left.
        case hybrid
        /// No version 2 tree that could be used.
        case legacy
    }

    public let mode: Mode
    /// Where the version 2 tree is mounted.
    public let root: String?
    /// The controllers of the version 2 tree.
    public let controllers: Set<String>

    public init(mode: Mode, root: String?, controllers: Set<String>) {
        self.mode = mode
        self.root = root
        self.controllers = controllers
    }

    /// Looks at the host.
    public static func detect() -> CgroupHierarchy {
        let places: [(Mode, String)] = [
            (.unified, "/sys/fs/cgroup"), (.hybrid, "/sys/fs/cgroup/unified"),
        ]
        for (mode, root) in places {
            guard (try? Files.fileSystemType(of: root)) == UInt64(CGROUP2_SUPER_MAGIC) else {
                continue
            }
            let names = (try? Files.read(root + "/cgroup.controllers")) ?? ""
            return CgroupHierarchy(
                mode: mode, root: root, controllers: Set(Self.words(of: names)))
        }
        return CgroupHierarchy(mode: .legacy, root: nil, controllers: [])
    }

    /// The names in a control file that lists them.
    static func words(of text: String) -> [String] {
        text.split { $0 == " " || $0 == "\n" }.map(String.init)
    }
}

/// The directory below which this program makes its cgroups.
public struct CgroupParent: ~Copyable, Sendable {
    public let path: String
    let directory: Descriptor

    /// Opens the directory, and makes it when it is not there; hands the controllers down to it
    /// and to its children.
    public static func open(
        _ path: String, below hierarchy: CgroupHierarchy, delegating controllers: Set<String>
    ) throws(SystemCallError) -> CgroupParent {
        if !Files.exists(path) {
            let separator = path.lastIndex(of: "/") ?? path.startIndex
            let above = try Files.open(
                String(path[..<separator]), [.path, .directory])
            do throws(SystemCallError) {
                try Files.makeDirectory(
                    String(path[path.index(after: separator)...]), at: above)
            } catch {
                // Somebody else made it at the same time.
                if error.errorNumber != .exists { throw error }
            }
        }
        let directory = try Files.open(path, [.path, .directory])
        if !controllers.isEmpty, let root = hierarchy.root {
            let change = controllers.sorted().map { "+" + $0 }.joined(separator: " ")
            try Files.write(change, to: root + "/cgroup.subtree_control")
            try Files.write(change, to: path + "/cgroup.subtree_control")
        }
        return CgroupParent(path: path, directory: directory)
    }

    /// Makes a cgroup, held by a lock that ends with this process. Gives nothing when a sweep of
    /// another process has taken it for abandoned before it was locked: another name may do.
    public borrowing func create(_ name: String) throws(SystemCallError) -> Cgroup? {
        try Files.makeDirectory(name, at: directory)
        let cgroup: Descriptor
        do throws(SystemCallError) {
            cgroup = try Files.open(name, at: directory, [.readOnly, .directory])
        } catch {
            if error.errorNumber == .noEntry { return nil }
            try? Files.removeDirectory(name, at: directory)
            throw error
        }
        do throws(SystemCallError) {
            // A sweep removes what nobody holds: see `removeAbandoned`. One that was quicker has
            // the lock, or had it and has removed the directory.
            guard try cgroup.lock(), Files.exists(name, at: directory) else { return nil }
            return Cgroup(
                name: name, directory: try cgroup.raised(toAtLeast: 10),
                parent: directory.rawValue)
        } catch {
            try? Files.removeDirectory(name, at: directory)
            throw error
        }
    }

    /// Makes a cgroup that stays when its owner is gone, and that no lock holds.
    public borrowing func createLasting(_ name: String) throws(SystemCallError) -> Cgroup {
        try Files.makeDirectory(name, at: directory)
        return try openLasting(name)
    }

    /// A cgroup that was made before; it stays when its owner is gone.
    public borrowing func openLasting(_ name: String) throws(SystemCallError) -> Cgroup {
        let cgroup = try Files.open(name, at: directory, [.readOnly, .directory])
        return Cgroup(
            name: name, directory: try cgroup.raised(toAtLeast: 10), parent: directory.rawValue,
            lasts: true)
    }

    /// The names of the cgroups.
    public borrowing func names() throws(SystemCallError) -> [String] {
        // A directory has a link for itself, one in its parent, and one in each child.
        if try Files.status(of: directory).links == 2 { return [] }
        let names = try DirectoryListing.names(in: path)
        var cgroups: [String] = []
        for name in names
        where (try? Files.status(of: name, at: directory))?.kind == .directory {
            cgroups.append(name)
        }
        return cgroups
    }

    /// Ends and removes the cgroups whose makers are gone. Gives their names.
    public borrowing func removeAbandoned() -> [String] {
        // A directory has a link for itself, one in its parent, and one in each child.
        guard (try? Files.status(of: directory))?.links ?? 3 > 2,
            let listing = try? DirectoryListing.names(in: path)
        else { return [] }
        var removed: [String] = []
        for name in listing where name.hasPrefix(Self.sandboxPrefix) {
            guard let directory = try? Files.open(name, at: directory, [.readOnly, .directory]),
                (try? directory.lock()) == true
            else { continue }
            var cgroup = Cgroup(
                name: name, directory: directory, parent: self.directory.rawValue)
            try? cgroup.kill()
            if (try? cgroup.remove()) != nil { removed.append(name) }
        }
        return removed
    }

    /// How the names of sandboxes' cgroups begin.
    public static let sandboxPrefix = "sandbox-"
}

/// One version 2 control group. Removed by ``remove()``; at the latest when its owner is gone,
/// unless it is a lasting one.
public struct Cgroup: ~Copyable, Sendable {
    public let name: String
    let directory: Descriptor
    let parent: Int32
    private var isRemoved = false
    private let lasts: Bool

    init(name: String, directory: consuming Descriptor, parent: Int32, lasts: Bool = false) {
        self.name = name
        self.lasts = lasts
        self.directory = directory
        self.parent = parent
    }

    deinit {
        if !isRemoved, !lasts { try? removeDirectory() }
    }

    /// For `CLONE_INTO_CGROUP`.
    public var descriptor: Int32 { directory.rawValue }

    public borrowing func write(_ value: String, to file: String) throws(SystemCallError) {
        try Files.write(value, to: file, at: directory)
    }

    public borrowing func read(_ file: String) throws(SystemCallError) -> String {
        try Files.read(file, at: directory)
    }

    /// The number after a key in a flat-keyed file such as `cpu.stat`.
    public borrowing func number(_ key: String, in file: String) -> UInt64? {
        guard let text = try? read(file) else { return nil }
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            if parts.count == 2, parts[0] == key { return UInt64(parts[1]) }
        }
        return nil
    }

    /// The processes inside, as this process sees them.
    public borrowing func processes() throws(SystemCallError) -> [Int32] {
        try Files.read("cgroup.procs", at: directory, limit: 1 << 20)
            .split(separator: "\n").compactMap { Int32($0) }
    }

    /// Kills every process inside. A killed cgroup is never used again: what is later cloned
    /// into it dies.
    public borrowing func kill() throws(SystemCallError) {
        try write("1", to: "cgroup.kill")
    }

    public borrowing func setFrozen(_ frozen: Bool) throws(SystemCallError) {
        try write(frozen ? "1" : "0", to: "cgroup.freeze")
    }

    /// Removes the directory. All processes inside must have ended.
    public mutating func remove() throws(SystemCallError) {
        try removeDirectory()
        isRemoved = true
    }

    /// Removes the directory of a lasting cgroup.
    public borrowing func removeNow() throws(SystemCallError) {
        precondition(lasts, "what is removed when its owner is gone is not removed before")
        try removeDirectory()
    }

    /// Opens a file of it, to be waited for.
    public borrowing func open(_ file: String) throws(SystemCallError) -> Descriptor {
        try Files.open(file, at: directory, .readOnly)
    }

    private borrowing func removeDirectory() throws(SystemCallError) {
        let parent = parent
        // AT_REMOVEDIR
        try checked(
            withAddress(of: name) {
                systemCall(__NR_unlinkat, UInt64(argument: parent), $0, 0x200)
            },
            "rmdir", name)
    }
}

extension Optional where Wrapped == Cgroup {
    /// For `CLONE_INTO_CGROUP`, or -1 for a child that stays in its parent's cgroup.
    public var number: Int32 {
        switch self {
        case .some(let cgroup): cgroup.descriptor
        case .none: -1
        }
    }
}
