internal import CInit
internal import CInitProtocol

/// What this process holds for a sandbox that outlives its starter: the output, which goes into
/// the logs, and the way to ask for further commands.
struct Lasting {
    private var log: LogWriter
    private var control: ControlServer
    /// Where the workload writes, until it has it: its output and error output.
    private var writers: (Int32, Int32) = (-1, -1)
    /// Where that is read; the first is its terminal's if there is one. -1 when it has ended.
    private var readers: (Int32, Int32) = (-1, -1)
    private let hasTerminal: Bool

    init(_ request: LaunchRequest) throws(KernelError) {
        log = LogWriter(bound: request.logBytes)
        let terminal = Int32(ALCOVE_DESCRIPTOR_TERMINAL.rawValue)
        hasTerminal = request.hasTerminal
        control = ControlServer(terminal: request.hasTerminal ? terminal : nil)
        if request.hasTerminal {
            let failed = cinit_set_nonblocking(terminal)
            guard failed == 0 else { throw KernelError(number: -failed) }
            readers.0 = terminal
            return
        }
        let output = try openPipe()
        let error = try openPipe()
        readers = (output.reader, error.reader)
        writers = (output.writer, error.writer)
    }

    /// What become the workload's descriptors 0 to 2; -1 for those of this process.
    var workloadStreams: (Int32, Int32, Int32) { (-1, writers.0, writers.1) }

    /// Adds what is needed from now on to the descriptors that stay open.
    mutating func workloadStarted(as process: Int32, keeping kept: inout InlineArray<11, Int32>) {
        control.workload = process
        writers = (-1, -1)
        kept[3] = Int32(ALCOVE_DESCRIPTOR_REPORT_FILE.rawValue)
        kept[4] = Int32(ALCOVE_DESCRIPTOR_CONTROL.rawValue)
        kept[5] = Int32(ALCOVE_DESCRIPTOR_LOG.rawValue)
        kept[6] = Int32(ALCOVE_DESCRIPTOR_OTHER_LOG.rawValue)
        kept[7] = readers.0
        kept[8] = readers.1
    }

    /// How many entries ``fill(_:from:)`` makes.
    static let entryCount = 2 + ControlServer.entryCount

    /// What is waited for.
    func fill(_ entries: inout InlineArray<30, cinit_poll>, from first: Int) {
        entries[first].descriptor = readers.0
        entries[first + 1].descriptor = readers.1
        control.fill(&entries, from: first + 2)
    }

    /// Takes a piece of each output, and a message of each connection.
    mutating func handle(_ entries: InlineArray<30, cinit_poll>, from first: Int) {
        if entries[first].happened != 0 { takeOutput() }
        if entries[first + 1].happened != 0 { takeError() }
        control.handle(entries, from: first + 2)
    }

    /// A child that was not the workload ended.
    mutating func ended(_ child: cinit_ended) { control.ended(child) }

    /// Takes what the workload left in its pipes. What others write from now on is not waited for.
    mutating func drain() {
        if hasTerminal {
            // What stands in a terminal is not told in one number, yet bounded: 64 KiB in the
            // kernel's buffer, and what its line discipline holds.
            for _ in 0..<Self.mostTerminalPieces where readers.0 >= 0 {
                guard takeOutput() else { return }
            }
            return
        }
        drain(stream: UInt8(ALCOVE_LOG_OUTPUT), readers.0)
        drain(stream: UInt8(ALCOVE_LOG_ERROR), readers.1)
    }

    private static let mostTerminalPieces = 64

    private mutating func drain(stream: UInt8, _ reader: Int32) {
        guard reader >= 0 else { return }
        var left = Int(cinit_readable(reader))
        while left > 0 {
            let count = Int(cinit_read_output(reader, left))
            guard count > 0 else { return }
            log.append(stream: stream, count: count)
            left -= count
        }
    }

    /// False when there is nothing more for now.
    @discardableResult
    private mutating func takeOutput() -> Bool {
        let reading = read(readers.0, into: UInt8(ALCOVE_LOG_OUTPUT))
        if reading == .ended { readers.0 = closed(readers.0) }
        return reading == .taken
    }

    private mutating func takeError() {
        if read(readers.1, into: UInt8(ALCOVE_LOG_ERROR)) == .ended {
            readers.1 = closed(readers.1)
        }
    }

    private enum Reading {
        case taken, nothing, ended
    }

    private mutating func read(_ reader: Int32, into stream: UInt8) -> Reading {
        let count = cinit_read_output(reader, Int(ALCOVE_LOG_LARGEST))
        if count > 0 {
            log.append(stream: stream, count: Int(count))
            return .taken
        }
        return count == -KernelError.wouldBlock || count == -KernelError.interrupted
            ? .nothing : .ended
    }

    /// The controlling side of a terminal, whose end is an error, stays open.
    private func closed(_ reader: Int32) -> Int32 {
        if !hasTerminal { _ = cinit_close(reader) }
        return -1
    }
}

/// Appends output to two segments in turn, so that both together stay within a bound. What cannot
/// be written is counted and dropped: a full disk is nothing that the workload waits for.
struct LogWriter {
    private let segmentBytes: UInt64
    private var current = Int32(ALCOVE_DESCRIPTOR_LOG.rawValue)
    private var other = Int32(ALCOVE_DESCRIPTOR_OTHER_LOG.rawValue)
    private var size: UInt64 = 0
    private var sequence: UInt64 = 0
    private var lines: (output: UInt64, error: UInt64) = (0, 0)

    init(bound: UInt64) {
        segmentBytes = bound / 2
    }

    /// Appends the first bytes of the buffer of output.
    mutating func append(stream: UInt8, count: Int) {
        let isOutput = stream == UInt8(ALCOVE_LOG_OUTPUT)
        let head = alcove_log_record(
            magic: UInt32(ALCOVE_LOG_MAGIC), length: UInt32(count), sequence: sequence,
            nanoseconds: cinit_real_nanoseconds(), lines: isOutput ? lines.output : lines.error,
            stream: stream, reserved: (0, 0, 0, 0, 0, 0, 0))
        sequence += 1
        let ended = UInt64(cinit_count_lines(count))
        if isOutput { lines.output += ended } else { lines.error += ended }
        write(head, count)
    }

    private mutating func write(_ head: alcove_log_record, _ count: Int) {
        let whole = UInt64(MemoryLayout<alcove_log_record>.size + count)
        if size + whole > segmentBytes {
            guard cinit_truncate(other, 0) == 0 else { return }
            swap(&current, &other)
            size = 0
        }
        if alcove_init.append(head, outputBytes: count, to: current) {
            size += whole
        } else if cinit_truncate(current, size) != 0 {
            // A piece of a record may stand there: nothing is written behind it.
            size = segmentBytes
        }
    }
}
