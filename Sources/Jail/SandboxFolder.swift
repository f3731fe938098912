internal import CInitProtocol
internal import LinuxKernel
public import SandboxModel

/// What a sandbox needs to outlive its starter, see ``PreparedSandbox``.
public struct Lasting: Hashable, Sendable {
    /// Both segments of its logs together.
    public var logBytes: UInt64

    public static let leastLogBytes = UInt64(ALCOVE_LOG_LEAST_BOUND)

    public init(logBytes: UInt64) {
        self.logBytes = logBytes
    }

    func validate() throws(SandboxError) {
        guard logBytes < Self.leastLogBytes else { return }
        throw SandboxError(
            .limitOutOfRange, "logs of \(logBytes) bytes are less than \(Self.leastLogBytes)")
    }
}

/// Where a lasting sandbox keeps what must survive its starter: the report of its life, two
/// segments of logs, and the socket that alcove-init listens at.
public struct SandboxFolder: Hashable, Sendable {
    public let path: String

    public init(_ path: String) {
        self.path = path
    }

    enum Name {
        static let report = "report"
        static let logs = ["log.0", "log.1"]
        static let control = "control"
        static let note = "sandbox"
        static let newNote = "sandbox.new"
        /// The note first: what has none is nobody's.
        static let all = [note, newNote, report] + logs + [control]
    }

    /// Makes the folder, for root alone, below one that is there. One that is there already is
    /// no error.
    public func make() throws(SandboxError) {
        do throws(SystemCallError) {
            try Files.makeDirectory(path, permissions: 0o700)
        } catch {
            guard error.errorNumber != .exists else { return }
            throw SandboxError(
                setUp: "make the folder of a sandbox: \(error)", error.errorNumber)
        }
    }

    /// Writes down, beside what belongs to the sandbox, what it is. Its owner's own words, for one
    /// who has lost all else.
    ///
    /// - Parameter replacing: there is a note already, which stays until this one is whole.
    public func keep(_ note: [UInt8], replacing: Bool = false) throws(SandboxError) {
        do throws(SystemCallError) {
            guard replacing else { return try Self.write(note, to: path + "/" + Name.note) }
            try Self.write(note, to: path + "/" + Name.newNote)
            let directory = try Files.open(path, [.path, .directory])
            try Files.rename(Name.newNote, to: Name.note, at: directory)
        } catch {
            throw SandboxError(
                setUp: "write down what a sandbox is: \(error)", error.errorNumber)
        }
    }

    private static func write(_ bytes: [UInt8], to path: String) throws(SystemCallError) {
        try Files.open(path, [.writeOnly, .create, .truncate, .noFollow], permissions: 0o600)
            .writeAll(bytes)
    }

    /// What was written down; nothing where nothing was.
    public func note(atMost count: Int = 1 << 20) -> [UInt8]? {
        guard let file = try? Files.open(path + "/" + Name.note, [.readOnly, .noFollow]),
            let bytes = try? file.read(atMost: count, at: 0), !bytes.isEmpty
        else { return nil }
        return bytes
    }

    /// Removes the files and the folder. What is not there is no error.
    public func remove() throws(SandboxError) {
        do throws(SystemCallError) {
            for name in Name.all {
                try Self.tolerating { () throws(SystemCallError) in
                    try Files.remove(path + "/" + name)
                }
            }
            try Self.tolerating { () throws(SystemCallError) in try Files.removeDirectory(path) }
        } catch {
            throw SandboxError(.setUpFailed, "remove the folder of a sandbox: \(error)")
        }
    }

    private static func tolerating(
        _ body: () throws(SystemCallError) -> Void
    ) throws(SystemCallError) {
        do throws(SystemCallError) {
            try body()
        } catch {
            guard error.errorNumber == .noEntry else { throw error }
        }
    }

    /// What alcove-init gets of the folder.
    struct Content: ~Copyable {
        let report: Descriptor
        let log: Descriptor
        let otherLog: Descriptor
        let control: Descriptor
    }

    /// Makes the files anew, for one start that was asked for at a time. Throws the call that
    /// failed.
    func makeContent(requested: UInt64) throws(SystemCallError) -> Content {
        let directory = try Files.open(path, [.path, .directory])
        let report = try Self.makeFile(Name.report, in: directory)
        // Takes the block of the disk that all later records fit into, too.
        try report.writeAll(Self.firstRecord(at: requested))
        return Content(
            report: report, log: try Self.makeFile(Name.logs[0], in: directory),
            otherLog: try Self.makeFile(Name.logs[1], in: directory),
            control: try MessageSockets.listen(
                at: Name.control, in: directory, backlog: Int32(ALCOVE_CONTROL_WAITING)
            ).raised(toAtLeast: SandboxHost.firstDescriptor))
    }

    private static func makeFile(
        _ name: String, in directory: borrowing Descriptor
    ) throws(SystemCallError) -> Descriptor {
        try Files.open(
            name, at: directory, [.writeOnly, .create, .truncate, .append], permissions: 0o600
        ).raised(toAtLeast: SandboxHost.firstDescriptor)
    }

    private static func firstRecord(at time: UInt64) -> [UInt8] {
        LittleEndian.bytes(ALCOVE_REPORT_REQUESTED.rawValue)
            + LittleEndian.bytes(UInt32(ALCOVE_PROTOCOL_VERSION))
            + LittleEndian.bytes(UInt64(0)) + LittleEndian.bytes(time)
    }
}

/// Numbers as they stand in records and messages.
enum LittleEndian {
    static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        (0..<MemoryLayout<Number>.size).map { UInt8(truncatingIfNeeded: number >> Number(8 * $0)) }
    }

    /// The number at an offset, which must be within the bytes.
    static func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ bytes: ArraySlice<UInt8>, at offset: Int, as type: Number.Type = Number.self
    ) -> Number {
        (0..<MemoryLayout<Number>.size).reduce(0) {
            $0 | Number(bytes[bytes.startIndex + offset + $1]) << Number(8 * $1)
        }
    }
}
