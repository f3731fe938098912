internal import LinuxKernel
public import SandboxModel

public enum LogStream: UInt8, CaseIterable, Sendable {
    /// The standard output, or the terminal.
    case output = 1
    case error = 2
}

/// A line, or a part of one.
public struct LogLine: Equatable, Sendable {
    public var stream: LogStream
    /// When alcove-init read its first byte, by the clock of the day.
    public var atNanoseconds: Int64
    /// With its newline, if it has one. At most ``longest``. Any bytes.
    public var data: [UInt8]
    /// The line goes on in the next entry of the stream.
    public var isPartial: Bool
    /// Lines of the stream before this one that are lost.
    public var lost: UInt64

    /// A longer line comes in parts.
    public static let longest = 64 << 10

    public init(
        stream: LogStream, atNanoseconds: Int64, data: [UInt8], isPartial: Bool = false,
        lost: UInt64 = 0
    ) {
        self.stream = stream
        self.atNanoseconds = atNanoseconds
        self.data = data
        self.isPartial = isPartial
        self.lost = lost
    }
}

/// Reads the logs of a lasting sandbox, oldest first, while alcove-init may write them.
public final class LogReader {
    private var segments: LogSegments
    private var splitters: [LogStream: LineSplitter]
    private var lines: ArraySlice<LogLine> = []
    private var nextSequence: UInt64 = 0
    private let since: Int64
    /// So many bytes of records are read yet.
    private var left: UInt64
    /// So many lines have gone by, lost ones among them, and only later ones are given.
    private var passed: UInt64 = 0
    private var skipped: UInt64 = 0
    /// No more than these.
    private var most = UInt64.max

    /// - Parameters:
    ///   - streams: only these.
    ///   - since: only what was written at this time or later.
    ///   - tail: only the last lines: this many, of what is there now.
    ///   - endsNow: after as much as is there now. Without that, one who writes faster than this
    ///     reads is read for ever.
    public init(
        _ folder: SandboxFolder, streams: Set<LogStream> = Set(LogStream.allCases),
        since: Int64 = .min, tail: UInt64? = nil, endsNow: Bool = false
    ) throws(SandboxError) {
        do throws(SystemCallError) {
            segments = LogSegments(
                first: try Self.open(folder, SandboxFolder.Name.logs[0]),
                second: try Self.open(folder, SandboxFolder.Name.logs[1]))
        } catch {
            throw SandboxError(.unavailable, "the logs cannot be read: \(error)")
        }
        splitters = [:]
        for stream in streams { splitters[stream] = LineSplitter(stream) }
        self.since = since
        left = endsNow || tail != nil ? segments.size : .max
        guard let tail else { return }
        let counter = try LogReader(folder, streams: streams, since: since, upTo: left)
        while counter.next() != nil {}
        _ = counter.takeUnfinished(isOver: true)
        skipped = counter.passed > tail ? counter.passed - tail : 0
        if endsNow { most = tail } else { left = .max }
    }

    private convenience init(
        _ folder: SandboxFolder, streams: Set<LogStream>, since: Int64, upTo size: UInt64
    ) throws(SandboxError) {
        try self.init(folder, streams: streams, since: since)
        left = size
    }

    private static func open(
        _ folder: SandboxFolder, _ name: String
    ) throws(SystemCallError) -> Descriptor {
        try Files.open(folder.path + "/" + name, [.readOnly, .noFollow])
    }

    /// The next line; nothing when there is none for now.
    public func next() -> LogLine? {
        while true {
            while let line = lines.popFirst() {
                if keeps(line, counts: !line.isPartial) { return line }
            }
            guard left > 0, most > 0, let record = segments.next() else { return nil }
            left -= min(left, UInt64(record.size))
            take(record)
        }
    }

    /// What was read of lines that have no end yet.
    ///
    /// - Parameter isOver: the sandbox has ended, and nothing more will come. Otherwise the lines
    ///   count as partial.
    public func takeUnfinished(isOver: Bool) -> [LogLine] {
        LogStream.allCases.compactMap { stream in
            splitters[stream]?.takeUnfinished(isPartial: !isOver)
        }.filter { keeps($0, counts: true) }
    }

    private func keeps(_ line: LogLine, counts: Bool) -> Bool {
        passed = passed.adding(line.lost)
        guard line.atNanoseconds >= since else { return false }
        let isKept = passed >= skipped && most > 0
        guard counts else { return isKept }
        passed = passed.adding(1)
        if isKept, most != .max { most -= 1 }
        return isKept
    }

    private func take(_ record: LogRecord) {
        var ready: [LogLine] = []
        if record.sequence != nextSequence {
            // What is between is lost: nothing goes on behind it.
            for stream in LogStream.allCases {
                if let line = splitters[stream]?.takeUnfinished(isPartial: false) {
                    ready.append(line)
                }
            }
        }
        nextSequence = record.sequence &+ 1
        splitters[record.stream]?.take(record, into: &ready)
        lines = ready[...]
    }
}

/// Makes lines of the records of one stream.
struct LineSplitter {
    private let stream: LogStream
    private var unfinished: [UInt8] = []
    private var begunAt: Int64 = 0
    /// So many lines ended in what was taken, and in what is known to be lost.
    private var endedLines: UInt64 = 0
    private var lost: UInt64 = 0

    init(_ stream: LogStream) {
        self.stream = stream
    }

    mutating func take(_ record: LogRecord, into lines: inout [LogLine]) {
        if record.lines > endedLines {
            lost = lost.adding(record.lines - endedLines)
            endedLines = record.lines
        }
        let time = Int64(clamping: record.nanoseconds)
        var rest = record.bytes
        while !rest.isEmpty {
            if unfinished.isEmpty { begunAt = time }
            let room = rest.prefix(LogLine.longest - unfinished.count)
            if let end = room.firstIndex(of: UInt8(ascii: "\n")) {
                unfinished += room[...end]
                rest = rest[(end + 1)...]
                endedLines &+= 1
                lines.append(line(isPartial: false))
            } else {
                unfinished += room
                rest = rest.dropFirst(room.count)
                // What ends the line may be all that follows: then it is an entry of its own.
                if unfinished.count == LogLine.longest { lines.append(line(isPartial: true)) }
            }
        }
    }

    mutating func takeUnfinished(isPartial: Bool) -> LogLine? {
        unfinished.isEmpty ? nil : line(isPartial: isPartial)
    }

    private mutating func line(isPartial: Bool) -> LogLine {
        defer {
            unfinished = []
            lost = 0
        }
        return LogLine(
            stream: stream, atNanoseconds: begunAt, data: unfinished, isPartial: isPartial,
            lost: lost)
    }
}

extension UInt64 {
    /// What comes from inside a sandbox may say anything.
    fileprivate func adding(_ other: UInt64) -> UInt64 {
        let (sum, isOver) = addingReportingOverflow(other)
        return isOver ? .max : sum
    }
}

/// Tells when logs grow: one for any number of sandboxes.
public final class LogWatcher {
    public struct Token: Hashable, Sendable {
        let number: Int
    }

    private let watch: FileWatch
    private var tokens: [SandboxFolder: Token] = [:]
    private var watched: [Token: Watched] = [:]
    private var owners: [Int32: Token] = [:]
    private var nextNumber = 0

    private struct Watched {
        let folder: SandboxFolder
        let files: [Int32]
        var users = 1
    }

    public init() throws(SandboxError) {
        do throws(SystemCallError) {
            watch = try FileWatch()
        } catch {
            throw SandboxError(
                .unavailable, "\(error)",
                hint: "`fs.inotify.max_user_instances` bounds how many there are")
        }
    }

    /// Readable when ``takeChanged()`` has something to give. Corresponds to `inotify`.
    public var descriptor: Int32 { watch.descriptor.rawValue }

    /// Watches the logs in a folder, until ``unwatch(_:)`` was called as often as this. Gives the
    /// same token for the same folder. Watch first, then read: nothing falls between.
    public func watch(_ folder: SandboxFolder) throws(SandboxError) -> Token {
        if let token = tokens[folder] {
            watched[token]?.users += 1
            return token
        }
        var files: [Int32] = []
        do throws(SystemCallError) {
            for name in SandboxFolder.Name.logs {
                files.append(try watch.add(folder.path + "/" + name))
            }
        } catch {
            for file in files { watch.remove(file) }
            throw SandboxError(.unavailable, "the logs cannot be watched: \(error)")
        }
        nextNumber += 1
        let token = Token(number: nextNumber)
        tokens[folder] = token
        watched[token] = Watched(folder: folder, files: files)
        for file in files { owners[file] = token }
        return token
    }

    public func unwatch(_ token: Token) {
        guard let entry = watched[token] else { return }
        guard entry.users == 1 else {
            watched[token]?.users -= 1
            return
        }
        watched[token] = nil
        tokens[entry.folder] = nil
        for file in entry.files {
            owners[file] = nil
            watch.remove(file)
        }
    }

    /// Of the folders whose logs grew since the last time.
    public func takeChanged() -> Set<Token> {
        guard let files = watch.takeChanged() else { return Set(watched.keys) }
        return Set(files.compactMap { owners[$0] })
    }
}
