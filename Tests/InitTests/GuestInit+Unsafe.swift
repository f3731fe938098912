import CInitProtocol
import CInitTesting
import Foundation
import Testing

/// A running `alcove-init guest` over Unix sockets instead of vsock, in namespaces of its own.
final class GuestInit {
    let pid: Int32
    let link: GuestConnection
    /// What it says beside its frames.
    private let output: Pipe
    private let folder: URL
    private var isReaped = false

    init(_ words: [String] = ["link=3", "commands=7"]) throws {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("alcove-guest-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in ["counts", "resolver"] {
            try Data("oom_kill 0\n".utf8).write(to: folder.appendingPathComponent(name))
        }
        var ends: [Int32] = [-1, -1]
        // SAFETY: the array has room for two.
        try #require(unsafe cinittesting_socket_pair(&ends) == 0)
        link = GuestConnection(ends[0])
        output = try Pipe()
        // SAFETY: the strings live during the calls.
        let listener = unsafe cinittesting_listen(folder.path + "/commands")
        let file = unsafe open(InitProcess.program.path, O_RDONLY | O_CLOEXEC)
        let nothing = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
        let place = unsafe open(folder.path, O_RDONLY | O_CLOEXEC)
        defer { for descriptor in [ends[1], listener, file, nothing, place] { close(descriptor) } }
        try #require(listener >= 0 && nothing >= 0 && place >= 0)
        try #require(file >= 0, "alcove-init is not built at \(InitProcess.program.path)")
        let start = cinittesting_start(
            program: file, input: nothing, output: output.writing, report: ends[1],
            stray: listener, pid_namespace: true, unprivileged: false, ignores_signals: false,
            denied_call: -1, guest_folder: place)
        pid = InitProcess.spawn(start, ["alcove-init", "guest"] + words, [])
        try #require(pid > 0)
        output.closeWriting()
    }

    /// One that has said that it is ready.
    static func ready() throws -> GuestInit {
        let guest = try GuestInit()
        let ready = try #require(guest.link.next())
        try #require(ready.kind == ALCOVE_FRAME_READY)
        return guest
    }

    deinit {
        if !isReaped {
            kill(pid, SIGKILL)
            _ = cinittesting_wait(pid)
        }
        try? FileManager.default.removeItem(at: folder)
    }

    func connect() throws -> GuestConnection {
        // SAFETY: the string lives during the call.
        let descriptor = unsafe cinittesting_connect(folder.path + "/commands")
        try #require(descriptor >= 0)
        return GuestConnection(descriptor)
    }

    /// A connection by which a command is started.
    func run(_ start: Start) throws -> GuestConnection {
        let connection = try connect()
        connection.send(start.frame)
        return connection
    }

    /// Waits until it has taken what was sent before. An answer may come in the turn in which that
    /// is still to be looked at, a second one cannot.
    func settle() throws {
        for _ in 0..<2 {
            link.send(Frame(kind: ALCOVE_FRAME_ASK_STATISTICS))
            try #require(link.next()?.kind == ALCOVE_FRAME_STATISTICS)
        }
    }

    /// What the kernel would have killed for want of memory.
    func setKills(_ count: Int) throws {
        // In the file itself: another one in its place would not be seen inside.
        let file = try FileHandle(forWritingTo: folder.appendingPathComponent("counts"))
        try file.write(contentsOf: Data("nr_free_pages 7\noom_kill \(count)\n".utf8))
        try file.close()
    }

    func resolver() throws -> String {
        try String(contentsOf: folder.appendingPathComponent("resolver"), encoding: .utf8)
    }

    /// How it ended: a machine that restarts is SIGHUP to the first process of a namespace.
    func wait() -> Int32 {
        isReaped = true
        return cinittesting_wait(pid)
    }

    func line() -> String? { output.nextLine() }

    func residentKilobytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Rss:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
    }

    func descriptorCount() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
    }
}

/// A frame as it is sent and received.
struct Frame: Equatable, CustomStringConvertible {
    let kind: alcove_frame_kind
    var stream: UInt8 = 0
    var content: [UInt8] = []

    static func == (first: Frame, second: Frame) -> Bool {
        first.kind.rawValue == second.kind.rawValue && first.stream == second.stream
            && first.content == second.content
    }

    static func value(_ kind: alcove_frame_kind, _ value: Int32, _ detail: UInt32 = 0) -> Frame {
        Frame(kind: kind, content: bytes(of: value) + bytes(of: detail))
    }

    static func text(_ kind: alcove_frame_kind, _ text: String) -> Frame {
        Frame(kind: kind, content: Array(text.utf8))
    }

    var bytes: [UInt8] {
        [UInt8(kind.rawValue), stream, 0, 0] + Self.bytes(of: UInt32(content.count)) + content
    }

    var value: Int32? { content.count == 8 ? Int32(bitPattern: Self.number(content)) : nil }

    var numbers: [UInt64] {
        stride(from: 0, to: content.count - 7, by: 8).map { place in
            UInt64(Self.number(content[place...]))
                | UInt64(Self.number(content[(place + 4)...])) << 32
        }
    }

    var description: String { "kind \(kind.rawValue) stream \(stream) \(content.prefix(64))" }

    static func bytes(of number: some FixedWidthInteger) -> [UInt8] {
        (0..<number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    }

    static func number(_ bytes: some Collection<UInt8>) -> UInt32 {
        bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}

/// A process that is asked for.
struct Start {
    var programs: [String]
    var arguments: [String]
    var environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    var directory = "/"
    var flags: Int32 = 0
    var user: UInt32 = 0
    var group: UInt32 = 0
    var rows: UInt16 = 0
    var columns: UInt16 = 0
    var limits: [(resource: UInt32, soft: UInt64, hard: UInt64)] = []

    init(_ program: String, _ arguments: [String]) {
        programs = [program]
        self.arguments = arguments
    }

    static func shell(_ script: String, _ change: (inout Start) -> Void = { _ in }) -> Start {
        var start = Start("/bin/bash", ["bash", "-c", script])
        change(&start)
        return start
    }

    var frame: Frame {
        var content =
            Frame.bytes(of: UInt32(bitPattern: flags)) + Frame.bytes(of: user)
            + Frame.bytes(of: group)
        let counts = [programs.count, arguments.count, environment.count, limits.count]
        for number in [rows, columns] + counts.map(UInt16.init) {
            content += Frame.bytes(of: number)
        }
        for limit in limits {
            content += Frame.bytes(of: UInt64(limit.resource)) + Frame.bytes(of: limit.soft)
            content += Frame.bytes(of: limit.hard)
        }
        for text in [directory] + programs + arguments + environment {
            content += Array(text.utf8) + [0]
        }
        return Frame(kind: ALCOVE_FRAME_START, content: content)
    }
}

/// The host's end of a connection.
final class GuestConnection {
    private var descriptor: Int32

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close() }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    func send(_ frames: Frame...) { for frame in frames { send(frame.bytes) } }

    /// False if the other side is gone.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool { sendSome(bytes, flags: 0) == bytes.count }

    /// Sends as much as there is room for; less than 0 if that is nothing.
    func sendAtOnce(_ bytes: [UInt8]) -> Int {
        sendSome(bytes, flags: Int32(bitPattern: UInt32(MSG_DONTWAIT)))
    }

    private func sendSome(_ bytes: [UInt8], flags: Int32) -> Int {
        // SAFETY: no more than the array has is read.
        unsafe Glibc.send(
            descriptor, bytes, bytes.count, flags | Int32(bitPattern: UInt32(MSG_NOSIGNAL)))
    }

    /// So many bytes, or nil at the end.
    private func receive(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while bytes.count < count {
            guard cinittesting_readable(descriptor, Pipe.patience) else { return nil }
            // SAFETY: no more than the array has room for is written.
            let taken = unsafe recv(descriptor, &buffer, min(count - bytes.count, buffer.count), 0)
            guard taken > 0 else { return nil }
            bytes += buffer.prefix(taken)
        }
        return bytes
    }

    /// Nil at the end of the connection.
    func next() -> Frame? {
        guard let head = receive(8) else { return nil }
        let length = Int(Frame.number(head[4...]))
        guard head[2] == 0, head[3] == 0, length <= Int(ALCOVE_FRAME_LARGEST),
            let content = receive(length)
        else { return nil }
        return Frame(
            kind: alcove_frame_kind(rawValue: UInt32(head[0])), stream: head[1], content: content)
    }

    struct Outcome {
        var output: [UInt8] = []
        var error: [UInt8] = []
        /// Nil if the connection ended before it.
        var last: Frame?

        var text: String { String(decoding: output, as: UTF8.self) }
        var errorText: String { String(decoding: error, as: UTF8.self) }
    }

    /// Takes all up to the last frame of the process.
    func outcome() -> Outcome {
        var outcome = Outcome()
        while let frame = next() {
            switch frame.kind {
            case ALCOVE_FRAME_STARTED: break
            case ALCOVE_FRAME_OUTPUT where frame.stream == UInt8(ALCOVE_LOG_OUTPUT):
                outcome.output += frame.content
            case ALCOVE_FRAME_OUTPUT: outcome.error += frame.content
            default:
                outcome.last = frame
                return outcome
            }
        }
        return outcome
    }

    /// Output up to a text that is in it.
    func output(upTo text: String) -> String? {
        var output = ""
        while !output.contains(text) {
            guard let frame = next() else { return nil }
            if frame.kind == ALCOVE_FRAME_OUTPUT {
                output += String(decoding: frame.content, as: UTF8.self)
            } else if frame.kind != ALCOVE_FRAME_STARTED {
                return nil
            }
        }
        return output
    }
}

func exited(_ code: Int32) -> Frame { .value(ALCOVE_FRAME_EXITED, code) }
