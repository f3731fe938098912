internal import LinuxKernel
internal import Machine

/// A snapshot's folder: `memory`, `state` and perhaps `working-set`.
enum SnapshotFolder {
    static let memory = "memory"
    static let state = "state"
    static let workingSet = "working-set"
    /// The memory of the whole snapshot below one of changes, as a file is called that is passed.
    static let base = "base"

    /// - Parameter base: the folder of the whole snapshot below one of changes.
    static func open(
        _ folder: String, base: String?
    ) throws(SystemCallError) -> SnapshotFiles {
        let below: Descriptor? =
            if let base { try Files.open("\(base)/\(memory)", .readOnly) } else { nil }
        return SnapshotFiles(
            memory: try Files.open("\(folder)/\(memory)", .readOnly),
            state: try Files.open("\(folder)/\(state)", .readOnly), base: below)
    }

    /// The pages that its guest uses first, where they were recorded.
    static func workingSet(of folder: String) -> [UInt8] {
        guard let file = try? Files.open("\(folder)/\(workingSet)", .readOnly) else { return [] }
        return workingSet(in: file)
    }

    static func workingSet(in file: borrowing Descriptor) -> [UInt8] {
        (try? file.read(atMost: PreparedMachine.mostWorkingSetBytes, at: 0)) ?? []
    }
}

/// A folder that appears under its name when all of it is there and on the disk.
struct NewFolder: ~Copyable {
    private let folder: Descriptor
    private let name: String
    private let partial: String
    private let parent: Descriptor
    private let names: [String]

    private init(
        folder: consuming Descriptor, name: String, partial: String, parent: consuming Descriptor,
        names: [String]
    ) {
        self.folder = folder
        self.name = name
        self.partial = partial
        self.parent = parent
        self.names = names
    }

    /// Makes it under another name, with empty files.
    static func make(_ path: String, files names: [String]) throws(SystemCallError) -> NewFolder {
        let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
        let cut = trimmed.lastIndex(of: "/")
        let directory = cut.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
        let name = cut.map { String(trimmed[trimmed.index(after: $0)...]) } ?? trimmed
        let parent = try Files.open(directory, [.readOnly, .directory])
        guard !name.isEmpty, !Files.exists(name, at: parent) else {
            throw SystemCallError(call: "mkdir", subject: path, errorNumber: .exists)
        }
        let mark = try Randomness.bytes(8).map { String($0, radix: 16) }.joined()
        let partial = ".\(name).\(mark)"
        try Files.makeDirectory(partial, at: parent, permissions: 0o700)
        return NewFolder(
            folder: try Files.open(partial, at: parent, [.readOnly, .directory]), name: name,
            partial: partial, parent: parent, names: names)
    }

    /// A new file in it.
    func make(_ name: String) throws(SystemCallError) -> Descriptor {
        try Files.open(name, at: folder, [.readWrite, .create], permissions: 0o600)
    }

    /// Gives it its name.
    consuming func finish() throws(SystemCallError) {
        try folder.synchronize()
        try Files.rename(partial, at: parent, to: name, at: parent, replacing: false)
        try parent.synchronize()
    }

    /// Removes what there is of it.
    consuming func abandon() {
        for name in names { try? Files.removeFile(name, at: folder) }
        try? Files.removeDirectory(partial, at: parent)
    }
}
