internal import GuestMemory
public import LinuxKernel
internal import Virtio

/// The two files of a snapshot. The memory's is the guest's memory, page by page at its place, so
/// that it can be mapped as it is, and behind it a page that says whose it is; pages of zeroes are
/// holes. The state's is written after it.
public final class SnapshotFiles: Sendable {
    private let memory: Descriptor
    private let state: Descriptor

    public init(memory: consuming Descriptor, state: consuming Descriptor) {
        self.memory = memory
        self.state = state
    }

    // MARK: - Writing

    /// Writes the memory to the empty file.
    func write(
        _ memory: GuestMemory, identity: [UInt8]
    ) throws(SystemCallError) -> SavedMemory {
        let saved = try memory.save(to: self.memory)
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
        let trailer: [UInt8]
        let size: UInt64
        do throws(SystemCallError) {
            let count = try Files.status(of: state).size
            // What is longer is none, and is found to be cut short.
            bytes = try state.read(
                atMost: Int(min(count, UInt64(Snapshot.mostBytes))), at: 0, subject: "state")
            size = try Files.status(of: memory).size
            let start = size - min(size, UInt64(GuestMemory.pageBytes))
            trailer = try memory.read(
                atMost: GuestMemory.pageBytes, at: start, subject: "memory")
        } catch {
            throw .systemCall(error)
        }
        let snapshot = try Snapshot(bytes)
        let expected = MemoryTrailer(
            identity: snapshot.identity, bytes: snapshot.configuration.memoryBytes,
            saved: snapshot.memory)
        guard size == snapshot.configuration.memoryBytes + UInt64(GuestMemory.pageBytes),
            trailer == expected.page
        else { throw .otherMemory }
        return snapshot
    }

    /// Memory of a guest: what it changes is its own.
    func makeMemory(bytes: UInt64) throws(SystemCallError) -> GuestMemory {
        try .restored(from: memory, bytes: bytes)
    }

    /// The same for memory that is there already.
    func fill(_ memory: GuestMemory) throws(SystemCallError) {
        try memory.takeOver(self.memory)
    }
}

/// The page behind a guest's memory in its file.
private struct MemoryTrailer {
    let identity: [UInt8]
    let bytes: UInt64
    let saved: SavedMemory

    var page: [UInt8] {
        var writer = StateWriter()
        writer.put(identity)
        writer.put(bytes)
        writer.put(saved.pages)
        writer.put(saved.checksum)
        let text = Array("ALCVMEMO".utf8) + writer.bytes
        return text + [UInt8](repeating: 0, count: GuestMemory.pageBytes - text.count)
    }
}
