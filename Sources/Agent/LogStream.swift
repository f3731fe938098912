internal import AgentAPI
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// One call of `Logs`. Reads on a worker's thread, in parts of what the client has room for.
final class LogStream: @unchecked Sendable {
    private static let batchBytes = 128 << 10
    private static let batchLines = 1024

    private let call: TypedCall<LogsRequest, LogEntry>
    private let node: NodeAgent
    private let managed: ManagedSandbox
    private let follows: Bool
    /// Used on one thread at a time: by the job that reads, of which there is one at most.
    private let reader: LogReader
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
        do throws(SandboxError) {
            // Watched first: what is written between the two is seen twice rather than never.
            let folder = managed.engine.folder(of: managed.number)
            if request.follow, !isOver { logs = try node.logHub.subscribe(to: folder) }
            reader = try LogReader(
                folder, streams: streams,
                since: request.sinceAtNanoseconds == 0 ? .min : request.sinceAtNanoseconds,
                tail: request.tail)
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
        let reader = UncheckedBox(reader)
        let isLast = isOver || !follows
        node.offload(to: node.workers) { () throws(SandboxError) in
            Self.read(reader.value, isLast: isLast)
        } then: { [self] result in
            isReading = false
            guard call.isOpen, case .success(let (lines, more)) = result else { return }
            for line in lines { call.send(LogEntry(line)) }
            if more {
                hasNews = true
            } else if isLast {
                end()
                return call.finish()
            }
            readOn()
        }
    }

    /// A part of what is there, and whether there is more.
    private static func read(_ reader: LogReader, isLast: Bool) -> ([LogLine], more: Bool) {
        var lines: [LogLine] = []
        var bytes = 0
        while lines.count < batchLines, bytes < batchBytes {
            guard let line = reader.next() else {
                return (lines + reader.takeUnfinished(isOver: isLast), false)
            }
            bytes += line.data.count
            lines.append(line)
        }
        return (lines, true)
    }

    private func end() {
        logs?.cancel()
        logs = nil
        if let onEnd { managed.onEnded.remove(onEnd) }
        onEnd = nil
    }
}

extension LogEntry {
    init(_ line: LogLine) {
        self.init(
            stream: line.stream == .output ? .stdout : .stderr, atNanoseconds: line.atNanoseconds,
            data: line.data, partial: line.isPartial, lost: line.lost)
    }
}
