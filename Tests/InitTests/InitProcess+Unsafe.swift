import CInitProtocol
import CInitTesting
import Foundation
import Testing

/// A running `alcove-init` and the test's ends of its pipes.
final class InitProcess {
    struct Options {
        var letters = "-"
        var report = true
        var readerGoneAtStart = false
        var pidNamespace = true
        var unprivileged = false
        var ignoresSignals = false
        var deniedCall: Int32 = -1
        var stray = false
        /// The workload's standard descriptors instead of pipes.
        var terminal: Terminal?
        var environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    }

    let pid: Int32
    private let input: Pipe
    private let output: Pipe
    private let reports: Pipe
    private var isReaped = false

    /// The program as the package built it, beside this test's own bundle.
    static let program: URL = {
        let arguments = CommandLine.arguments.map { URL(fileURLWithPath: $0) }
        let executable = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        for start in arguments + [executable, Bundle.main.bundleURL] {
            var folder = start.standardizedFileURL
            while folder.path != "/" {
                let found = folder.appendingPathComponent("alcove-init")
                let isThere = FileManager.default.isExecutableFile(atPath: found.path)
                if isThere && found.path.contains("/.build/") { return found }
                folder.deleteLastPathComponent()
            }
        }
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        #if DEBUG
            return root.appendingPathComponent(".build/debug/alcove-init")
        #else
            return root.appendingPathComponent(".build/release/alcove-init")
        #endif
    }()

    init(_ command: [String], _ options: Options = Options()) throws {
        input = try Pipe()
        output = try Pipe()
        reports = try Pipe()
        // SAFETY: the strings live during the calls.
        let file = unsafe open(Self.program.path, O_RDONLY | O_CLOEXEC)
        try #require(file >= 0, "alcove-init is not built at \(Self.program.path)")
        defer { close(file) }
        let stray: Int32 = options.stray ? unsafe open("/dev/null", O_RDONLY | O_CLOEXEC) : -1
        defer { if stray >= 0 { close(stray) } }
        if options.readerGoneAtStart { reports.closeReading() }
        let start = cinittesting_start(
            program: file, input: options.terminal?.slave ?? input.reading,
            output: options.terminal?.slave ?? output.writing,
            report: options.report ? reports.writing : -1, stray: stray,
            pid_namespace: options.pidNamespace, unprivileged: options.unprivileged,
            ignores_signals: options.ignoresSignals, denied_call: options.deniedCall,
            guest_folder: -1)
        let words =
            [
                "alcove-init", options.report ? "\(CINITTESTING_REPORT)" : "-",
                options.deniedCall >= 0 ? "\(CINITTESTING_LISTENER)" : "-", options.letters,
            ] + command
        pid = Self.spawn(start, words, options.environment)
        try #require(pid > 0)
        input.closeReading()
        output.closeWriting()
        reports.closeWriting()
    }

    deinit {
        guard !isReaped else { return }
        // Outside a pid namespace the workload, which leads a session, would outlive init.
        let children = try? String(
            contentsOfFile: "/proc/\(pid)/task/\(pid)/children", encoding: .utf8)
        for child in (children ?? "").split(separator: " ").compactMap({ Int32($0) }) {
            kill(-child, SIGKILL)
        }
        kill(pid, SIGKILL)
        _ = cinittesting_wait(pid)
    }

    static func spawn(
        _ start: cinittesting_start, _ words: [String], _ environment: [String]
    ) -> Int32 {
        // SAFETY: both vectors end in null and are freed after the child has its own memory.
        var arguments = unsafe words.map { unsafe strdup($0) } + [nil]
        var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
        var start = start
        let pid = unsafe cinittesting_spawn(&start, &arguments, &variables)
        unsafe (arguments + variables).forEach { unsafe free($0) }
        return pid
    }

    /// The next report; nil at the end of the pipe.
    func nextReport() -> alcove_report? {
        guard cinittesting_readable(reports.reading, Pipe.patience) else { return nil }
        var report = alcove_report()
        // SAFETY: no more than the size of the local variable is written.
        let count = unsafe read(reports.reading, &report, MemoryLayout<alcove_report>.size)
        return count == MemoryLayout<alcove_report>.size ? report : nil
    }

    /// Every report until the end of the pipe.
    func allReports() -> [alcove_report] {
        var all: [alcove_report] = []
        while let report = nextReport() { all.append(report) }
        return all
    }

    func send(_ signal: Int32) { kill(pid, signal) }

    /// Sends a signal until the workload answers by a line. A shell that is about to wait when the
    /// signal comes runs its trap only after the next one: the shell's own race.
    func lineAfter(_ signal: Int32) -> String? {
        for _ in 0..<600 {
            send(signal)
            if cinittesting_readable(output.reading, 100) { return nextLine() }
        }
        return nil
    }

    /// Does something until the next report comes, for the same reason.
    func reportAfter(_ action: () -> Void) -> alcove_report? {
        for _ in 0..<600 {
            action()
            if cinittesting_readable(reports.reading, 100) { return nextReport() }
        }
        return nil
    }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        // SAFETY: the array lives during the call.
        _ = unsafe Glibc.write(input.writing, bytes, bytes.count)
    }

    func closeInput() { input.closeWriting() }

    func closeReports() { reports.closeReading() }

    /// A line of output without its end; nil at the end of the output.
    func nextLine() -> String? { output.nextLine() }

    func allOutput() -> String {
        var lines: [String] = []
        while let line = nextLine() { lines.append(line) }
        return lines.joined(separator: "\n")
    }

    /// The exit code, or 128 + signal.
    func wait() -> Int32 {
        isReaped = true
        return cinittesting_wait(pid)
    }

    /// What each descriptor of this process is.
    func descriptors() throws -> [Int: String] {
        let folder = "/proc/\(pid)/fd"
        var found: [Int: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let target = try FileManager.default.destinationOfSymbolicLink(
                atPath: folder + "/" + name)
            found[try #require(Int(name))] = target
        }
        return found
    }

    func residentKilobytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Rss:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
    }
}

/// A pipe whose ends no other child inherits.
final class Pipe {
    /// Milliseconds after which something must hang.
    static let patience: Int32 = 60_000

    private(set) var reading: Int32
    private(set) var writing: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the array has room for two.
        try #require(unsafe cinittesting_pipe(&ends) == 0)
        reading = ends[0]
        writing = ends[1]
    }

    deinit {
        closeReading()
        closeWriting()
    }

    func closeReading() {
        if reading >= 0 { close(reading) }
        reading = -1
    }

    func closeWriting() {
        if writing >= 0 { close(writing) }
        writing = -1
    }

    func nextLine() -> String? { Self.nextLine(of: reading) }

    static func nextLine(of descriptor: Int32) -> String? {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        // SAFETY: one byte is written to a local variable.
        while cinittesting_readable(descriptor, patience), unsafe read(descriptor, &byte, 1) == 1 {
            if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
        return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
    }
}

/// A pseudo-terminal.
final class Terminal {
    let master: Int32
    let slave: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the array has room for two.
        try #require(unsafe cinittesting_terminal(&ends) == 0)
        master = ends[0]
        slave = ends[1]
    }

    deinit {
        close(master)
        close(slave)
    }

    func nextLine() -> String? {
        Pipe.nextLine(of: master)?.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        // SAFETY: the array lives during the call.
        _ = unsafe Glibc.write(master, bytes, bytes.count)
    }
}
