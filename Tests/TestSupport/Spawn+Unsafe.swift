import CTestSupport
import Glibc

/// The calls beneath `ChildProcess`.
enum Spawn {
    struct Started {
        let pid: Int32
        let pidDescriptor: Int32
        /// The test's ends. With a terminal, the input and the output are two descriptors of it.
        let input: Int32
        let output: Int32
        let error: Int32
    }

    static func start(
        path: String, arguments: [String], environment: [String: String], directory: String?,
        wiring: ChildProcess.Wiring
    ) throws(RunFailure) -> Started {
        var opened: [Int32] = []
        var kept: [Int32] = []
        defer { for descriptor in opened where !kept.contains(descriptor) { close(descriptor) } }
        var ends: (child: [Int32], test: [Int32], terminal: String?)
        switch wiring {
        case .pipes:
            let input = try pipe(&opened)
            let output = try pipe(&opened)
            let error = try pipe(&opened)
            ends = ([input.read, output.write, error.write], [], nil)
            ends.test = [input.write, output.read, error.read]
        case .terminal(let rows, let columns):
            let terminal = try terminal(rows: rows, columns: columns, &opened)
            ends = ([-1, -1, -1], [terminal.copy, terminal.descriptor, -1], terminal.path)
        }
        let pid = try spawn(
            path, arguments, environment.map { "\($0)=\($1)" }, directory, ends.child,
            ends.terminal)
        let pidDescriptor = test_pidfd(pid)
        guard pidDescriptor >= 0 else {
            kill(pid, SIGKILL)
            _ = reap(pid)
            throw RunFailure(
                call: "pidfd_open", subject: "\(pid)", errorNumber: -pidDescriptor)
        }
        kept = ends.test
        return Started(
            pid: pid, pidDescriptor: pidDescriptor, input: ends.test[0], output: ends.test[1],
            error: ends.test[2])
    }

    /// Waits until one is ready; the last of the answer is for the descriptor to write. All are
    /// false when the time is over. Descriptors below zero are left out.
    static func wait(reading: [Int32], writing: Int32, for duration: Duration) -> [Bool] {
        var set = reading.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        set.append(pollfd(fd: writing, events: Int16(POLLOUT), revents: 0))
        let deadline = ContinuousClock.now + duration
        while true {
            let left = ContinuousClock.now.duration(to: deadline).components
            let whole = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
            // One more, so that it does not turn over with 0 in the last millisecond.
            let milliseconds = Int32(clamping: whole < 0 ? 0 : whole + 1)
            // SAFETY: `set` is borrowed for the call, and its own count is passed.
            let count = unsafe poll(&set, nfds_t(set.count), milliseconds)
            if count < 0, errno == EINTR { continue }
            return set.map { count > 0 && $0.revents != 0 }
        }
    }

    /// What there is to read; nothing at the end, and on an error (a terminal's end is `EIO`).
    static func read(_ descriptor: Int32) -> [UInt8] {
        // SAFETY: `read` fills at most the capacity it is given, and only the part that it says
        // it filled counts as initialised.
        unsafe [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
            unsafe count = max(0, Glibc.read(descriptor, buffer.baseAddress, buffer.count))
        }
    }

    /// Writes as much as a pipe that is ready takes without blocking. Gives how much it was.
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int {
        // SAFETY: the array is borrowed for the call, and the count is not above its own.
        unsafe Glibc.write(descriptor, bytes, min(bytes.count, Int(PIPE_BUF)))
    }

    /// Waits for the end of a child and gives it.
    static func reap(_ pid: Int32) -> RunResult.Ending {
        var status: Int32 = 0
        // SAFETY: `status` is borrowed for the call.
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        if signal != 0 { return .signalled(signal: signal) }
        return .exited(code: (status >> 8) & 0xff)
    }

    static func resize(_ terminal: Int32, rows: UInt16, columns: UInt16) -> Int32 {
        test_resize(terminal, rows, columns)
    }

    private static func pipe(
        _ opened: inout [Int32]
    ) throws(RunFailure) -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the array holds the two descriptors that the call fills.
        let number = unsafe test_pipe(&ends)
        guard number == 0 else {
            throw RunFailure(call: "pipe2", subject: "for a child", errorNumber: number)
        }
        opened += ends
        return (ends[0], ends[1])
    }

    private static func terminal(
        rows: UInt16, columns: UInt16, _ opened: inout [Int32]
    ) throws(RunFailure) -> (descriptor: Int32, copy: Int32, path: String) {
        var path = [CChar](repeating: 0, count: 64)
        // SAFETY: the array is borrowed for the call, and its own count is passed.
        let descriptor = unsafe test_terminal(rows, columns, &path, UInt32(path.count))
        guard descriptor >= 0 else {
            throw RunFailure(
                call: "posix_openpt", subject: "a terminal", errorNumber: -descriptor)
        }
        opened.append(descriptor)
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else {
            throw RunFailure(call: "fcntl", subject: "F_DUPFD_CLOEXEC", errorNumber: errno)
        }
        opened.append(copy)
        let name = path.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return (descriptor, copy, String(decoding: name, as: UTF8.self))
    }

    private static func spawn(
        _ path: String, _ arguments: [String], _ environment: [String], _ directory: String?,
        _ descriptors: [Int32], _ terminal: String?
    ) throws(RunFailure) -> Int32 {
        // SAFETY: the three lists own their strings until the end of the scope, after the call.
        var argumentList = unsafe CStrings(arguments)
        var environmentList = unsafe CStrings(environment)
        var texts = unsafe CStrings([path] + [directory, terminal].map { $0 ?? "" })
        defer {
            unsafe argumentList.free()
            unsafe environmentList.free()
            unsafe texts.free()
        }
        var pid: Int32 = 0
        // SAFETY: every pointer of `request` is into one of the three lists, whose arrays are
        // borrowed for the call.
        let number = unsafe argumentList.pointers.withUnsafeMutableBufferPointer { argv in
            unsafe environmentList.pointers.withUnsafeMutableBufferPointer { envp in
                var request = unsafe test_spawn(
                    path: texts.pointers[0], arguments: argv.baseAddress,
                    environment: envp.baseAddress,
                    directory: directory == nil ? nil : texts.pointers[1],
                    input: descriptors[0], output: descriptors[1], error: descriptors[2],
                    terminal: terminal == nil ? nil : texts.pointers[2])
                return unsafe test_start(&request, &pid)
            }
        }
        guard number == 0 else {
            throw RunFailure(call: "posix_spawn", subject: path, errorNumber: number)
        }
        return pid
    }
}

/// Strings as C takes them: an array of pointers that ends with null.
@unsafe private struct CStrings {
    var pointers: [UnsafeMutablePointer<CChar>?]

    init(_ texts: [String]) {
        // SAFETY: each copy is owned by this array until `free`.
        unsafe pointers = texts.map { unsafe strdup($0) } + [nil]
    }

    mutating func free() {
        // SAFETY: each pointer is `strdup`'s or null, and is forgotten with this.
        unsafe pointers.forEach { unsafe Glibc.free($0) }
        unsafe pointers = []
    }
}
