internal import AgentAPI
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// One call of `Logs`. Reads on a worker's thread, in parts of what the client has room for.
final class LogStream: @unchecked Sendable {
    private let call: TypedCall<LogsRequest, LogEntry>
    private let node: NodeAgent
    private let managed: ManagedSandbox
    private let follows: Bool
    private let source: LogSource
    private var logs: LogHub.Subscription?
    private var onEnd: UInt64?
    private var isReading = false
    /// Something was written, or the sandbox ended, since the last look.
    private var hasNews = false
    private var isOver: Bool

    init(
        _ request: LogsRequest, of managed: ManagedSandbox,
        _ call: TypedCall<LogsRequest, LogEntry>, _ node: NodeAgent
    ) throws(CallFailure) {
        self.call = call
        self.node = node
        self.managed = managed
        follows = request.follow
        isOver = managed.state.hasEnded
        let streams = try Self.streams(request.streams)
        let folder = managed.engine.folder(of: managed.number)
        source = LogSource(
            folder, streams: streams,
            since: request.sinceAtNanoseconds == 0 ? .min : request.sinceAtNanoseconds,
            tail: request.tail, endsNow: !follows)
        guard request.follow, !isOver else { return }
        do throws(SandboxError) {
            // Watched first: what is written between the two is seen twice rather than never.
            logs = try node.logHub.subscribe(to: folder)
        } catch {
            throw CallFailure(error)
        }
    }

    private static func streams(
        _ wanted: [AgentAPI.LogStream]
    ) throws(CallFailure) -> Set<Jail.LogStream> {
        guard !wanted.isEmpty else { return Set(Jail.LogStream.allCases) }
        var streams: Set<Jail.LogStream> = []
        for stream in wanted {
            switch stream {
            case .stdout: streams.insert(.output)
            case .stderr: streams.insert(.error)
            case .unspecified, .unrecognized:
                throw .invalid(
                    "streams", "has \(stream.rawValue), which is no stream",
                    hint: "1 is STDOUT, 2 is STDERR")
            }
        }
        return streams
    }

    func begin() {
        call.onCancel { _ in self.end() }
        call.onWritable { self.readOn() }
        logs?.onChange = { [weak self] in
            self?.hasNews = true
            self?.readOn()
        }
        if !isOver {
            onEnd = managed.onEnded.add { [self] in
                isOver = true
                hasNews = true
                readOn()
            }
        }
        hasNews = true
        readOn()
    }

    private func readOn() {
        guard call.isOpen, !isReading, hasNews, call.isWritable else { return }
        isReading = true
        hasNews = false
        let source = source
        let isOver = isOver
        let isLast = isOver || !follows
        node.offload(to: node.workers) { () throws(SandboxError) in
            try source.read(isOver: isOver)
        } then: { [self] result in
            isReading = false
            guard call.isOpen else { return }
            switch result {
            case .success(let (lines, more)): take(lines, more: more, isLast: isLast)
            case .failure(let error):
                end()
                call.finish(CallFailure(error))
            }
        }
    }

    private func take(_ lines: [LogLine], more: Bool, isLast: Bool) {
        for line in lines { call.send(LogEntry(line)) }
        if more {
            hasNews = true
        } else if isLast {
            end()
            return call.finish()
        }
        readOn()
    }

    private func end() {
        logs?.cancel()
        logs = nil
        if let onEnd { managed.onEnded.remove(onEnd) }
        onEnd = nil
    }
}

/// The logs of a sandbox, opened with the first reading: with a tail, that goes through all of
/// them. Used on one thread at a time, by the job that reads, of which there is one at most.
private final class LogSource: @unchecked Sendable {
    private static let batchBytes = 128 << 10
    private static let batchLines = 1024

    private let folder: SandboxFolder
    private let streams: Set<Jail.LogStream>
    private let since: Int64
    private let tail: UInt64?
    private let endsNow: Bool
    private var opened: LogReader?

    init(
        _ folder: SandboxFolder, streams: Set<Jail.LogStream>, since: Int64, tail: UInt64?,
        endsNow: Bool
    ) {
        self.folder = folder
        self.endsNow = endsNow
        self.streams = streams
        self.since = since
        self.tail = tail
    }

    /// A part of what is there, and whether there is more.
    ///
    /// - Parameter isOver: nothing more is written.
    func read(isOver: Bool) throws(SandboxError) -> ([LogLine], more: Bool) {
        let reader = try open()
        var lines: [LogLine] = []
        var bytes = 0
        while lines.count < Self.batchLines, bytes < Self.batchBytes {
            guard let line = reader.next() else {
                return (lines + reader.takeUnfinished(isOver: isOver), false)
            }
            bytes += line.data.count
            lines.append(line)
        }
        return (lines, true)
    }

    private func open() throws(SandboxError) -> LogReader {
        if let opened { return opened }
        let reader = try LogReader(
            folder, streams: streams, since: since, tail: tail, endsNow: endsNow)
        opened = reader
        return reader
    }
}

extension LogEntry {
    init(_ line: LogLine) {
        self.init(
            stream: line.stream == .output ? .stdout : .stderr, atNanoseconds: line.atNanoseconds,
            data: line.data, partial: line.isPartial, lost: line.lost)
    }
}
