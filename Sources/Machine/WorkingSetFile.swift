internal import GuestMemory
public import LinuxKernel
internal import Virtio

/// Pages that a guest of a snapshot uses first, in a file beside it.
enum WorkingSetFile {
    private static let magic: [UInt8] = Array("ALCVWORK".utf8)
    /// More pieces than a guest that has just begun leaves.
    private static let mostRuns = 1 << 16

    /// Of a snapshot with this identity. Of very many pieces the last ones are left out.
    static func bytes(of set: WorkingSet, identity: [UInt8]) -> [UInt8] {
        var body = StateWriter()
        body.put(identity)
        body.put(Array(set.runs.prefix(mostRuns))) { writer, run in
            writer.put(run.first)
            writer.put(run.count)
            writer.put(run.isWritten)
        }
        var head = StateWriter()
        head.put(Checksum.of(body.bytes))
        return magic + head.bytes + body.bytes
    }

    /// Nil for what is none, or of another snapshot: it is help and no more.
    static func read(_ bytes: [UInt8], identity: [UInt8]) -> WorkingSet? {
        guard bytes.starts(with: magic), bytes.count >= 16 else { return nil }
        do throws(StateFault) {
            var head = StateReader(Array(bytes[8..<16]))
            let body = Array(bytes[16...])
            guard try head.number() == Checksum.of(body) else { return nil }
            var reader = StateReader(body)
            guard try reader.piece(atMost: 64) == identity else { return nil }
            let runs = try reader.list(atMost: mostRuns) { (reader) throws(StateFault) in
                WorkingSet.Run(
                    first: try reader.number(), count: try reader.number(),
                    isWritten: try reader.flag())
            }
            try reader.finish()
            return WorkingSet(runs)
        } catch {
            return nil
        }
    }
}

extension PreparedMachine {
    public static let mostWorkingSetBytes = 1 << 20

    /// Brings the pages into memory that the guest of the snapshot will use first. False where the
    /// bytes are of no such file, or of one beside another snapshot.
    public borrowing func load(workingSet bytes: [UInt8], of snapshot: Snapshot) -> Bool {
        guard let set = WorkingSetFile.read(bytes, identity: snapshot.identity) else {
            return false
        }
        memory.populate(set)
        return true
    }
}

extension RunningMachine {
    /// The pages that the guest, or a device for it, has used since it went on with a snapshot: a
    /// file's bytes, and in how many pieces they are.
    ///
    /// - Parameters:
    ///   - map: `/proc/self/pagemap`
    ///   - identity: the snapshot's.
    public func workingSet(
        by map: borrowing Descriptor, identity: [UInt8]
    ) throws(SystemCallError) -> (bytes: [UInt8], pieces: Int) {
        let set = try memory.used(map)
        return (WorkingSetFile.bytes(of: set, identity: identity), set.runs.count)
    }
}
