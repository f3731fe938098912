internal import GuestMemory
public import LinuxKernel
internal import Virtio

/// The two files of a snapshot. The memory's is the guest's memory, page by page at its place, so
/// that it can be mapped as it is, and behind it a page that says whose it is; pages of zeroes are
/// holes. The state's is written after it.
public final class SnapshotFiles: Sendable {
    private let memory: Descriptor
    private let state: Descriptor
    private let base: Descriptor?

    /// - Parameter base: the memory of the whole snapshot below one of changes.
    public init(
        memory: consuming Descriptor, state: consuming Descriptor,
        base: consuming Descriptor? = nil
    ) {
        self.memory = memory
        self.state = state
        self.base = base
    }

    // MARK: - Writing

    /// Writes the memory to the empty file.
    func write(
        _ memory: GuestMemory, identity: [UInt8], changes: WorkingSet?
    ) throws(SystemCallError) -> SavedMemory {
        let saved = try memory.save(to: self.memory, changes: changes)
        let trailer = MemoryTrailer(identity: identity, bytes: memory.count, saved: saved).page
        try self.memory.write(trailer.span, at: memory.count)
        return saved
    }

    func write(_ snapshot: Snapshot) throws(SystemCallError) {
        try state.write(snapshot.bytes.span, at: 0)
    }

    /// Gives back when all of it is on the disk.
    public func synchronize() throws(SystemCallError) {
        try memory.synchronizeData()
        try state.synchronizeData()
    }

    // MARK: - Reading

    /// Reads the state, and whether the memory is there that belongs to it.
    public func read() throws(SnapshotError) -> Snapshot {
        let bytes: [UInt8]
        let own: (page: [UInt8], size: UInt64)
        let below: (page: [UInt8], size: UInt64)?
        do throws(SystemCallError) {
            let count = try Files.status(of: state).size
            // What is longer is none, and is found to be cut short.
            bytes = try state.read(
                atMost: Int(min(count, UInt64(Snapshot.mostBytes))), at: 0, subject: "state")
            own = try Self.lastPage(of: memory)
            below =
                switch base {
                case .some(let base): try Self.lastPage(of: base)
                case .none: nil
                }
        } catch {
            throw .systemCall(error)
        }
        let snapshot = try Snapshot(bytes)
        let expected = MemoryTrailer(
            identity: snapshot.identity, bytes: snapshot.configuration.memoryBytes,
            saved: snapshot.memory)
        let size = snapshot.configuration.memoryBytes + UInt64(GuestMemory.pageBytes)
        guard own.size == size, own.page == expected.page else { throw .otherMemory }
        guard let changes = snapshot.changes else {
            guard below == nil else { throw .otherBase }
            return snapshot
        }
        guard let below, below.size == size,
            below.page.starts(with: MemoryTrailer.head(changes.base))
        else { throw .otherBase }
        return snapshot
    }

    private static func lastPage(
        of file: borrowing Descriptor
    ) throws(SystemCallError) -> (page: [UInt8], size: UInt64) {
        let size = try Files.status(of: file).size
        let start = size - min(size, UInt64(GuestMemory.pageBytes))
        return (try file.read(atMost: GuestMemory.pageBytes, at: start, subject: "memory"), size)
    }

    /// Memory of a guest: what it changes is its own.
    func makeMemory(of snapshot: Snapshot) throws(SystemCallError) -> GuestMemory {
        let bytes = snapshot.configuration.memoryBytes
        switch base {
        case .none: return try .restored(from: memory, bytes: bytes)
        case .some(let base):
            let result = try GuestMemory.restored(from: base, bytes: bytes)
            if let changes = snapshot.changes { try result.takeOver(memory, changes.pages) }
            return result
        }
    }

    /// The same for memory that is there already.
    func fill(_ memory: GuestMemory, of snapshot: Snapshot) throws(SystemCallError) {
        switch base {
        case .none: try memory.takeOver(self.memory)
        case .some(let base):
            try memory.takeOver(base)
            if let changes = snapshot.changes { try memory.takeOver(self.memory, changes.pages) }
        }
    }
}

/// The page behind a guest's memory in its file.
private struct MemoryTrailer {
    let identity: [UInt8]
    let bytes: UInt64
    let saved: SavedMemory

    /// What the page of a memory with this identity begins with.
    static func head(_ identity: [UInt8]) -> [UInt8] {
        var writer = StateWriter()
        writer.put(identity)
        return Array("ALCVMEMO".utf8) + writer.bytes
    }

    var page: [UInt8] {
        var writer = StateWriter()
        writer.put(bytes)
        writer.put(saved.pages)
        writer.put(saved.checksum)
        let text = Self.head(identity) + writer.bytes
        return text + [UInt8](repeating: 0, count: GuestMemory.pageBytes - text.count)
    }
}
