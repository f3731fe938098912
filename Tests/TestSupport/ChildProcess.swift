import Foundation
import Glibc

/// A program that a test started and talks to while it runs. `run` is for all others.
///
/// Belongs to one test. What still runs when the object goes is killed and reaped.
public final class ChildProcess {
    /// How the program's descriptors 0, 1 and 2 look.
    public enum Wiring: Sendable, Equatable {
        /// A pipe for each.
        case pipes
        /// One terminal of this size, the controlling terminal of its session. What it writes
        /// comes as output.
        case terminal(rows: UInt16, columns: UInt16)
    }

    /// It did not write what was waited for.
    public struct OutputMissing: Error, CustomStringConvertible {
        public let expected: String
        public let output: String
        public let errorOutput: String

        public var description: String {
            "`\(expected)` was not written; output `\(output)`, error output `\(errorOutput)`"
        }
    }

    public let pid: Int32
    /// What it wrote so far, as far as a wait has read it.
    public private(set) var outputBytes: [UInt8] = []
    public private(set) var errorBytes: [UInt8] = []
    public var output: String { String(decoding: outputBytes, as: UTF8.self) }
    public var errorOutput: String { String(decoding: errorBytes, as: UTF8.self) }

    private let pidDescriptor: Int32
    private let isTerminal: Bool
    private var inputDescriptor: Int32
    private var outputDescriptor: Int32
    private var errorDescriptor: Int32
    private var pendingInput: [UInt8] = []
    private var closesInputWhenWritten = false
    private var ending: RunResult.Ending?

    /// Starts a program; see `run` for the parameters.
    public init(
        _ executable: String, arguments: [String] = [], environment: [String: String]? = nil,
        directory: String? = nil, wiring: Wiring = .pipes
    ) throws(RunFailure) {
        var variables = environment ?? ProcessInfo.processInfo.environment
        if environment == nil { variables["SWIFT_BACKTRACE"] = "enable=no" }
        let path = executable.contains("/") ? executable : Host.executable(executable)
        guard let path else {
            throw RunFailure(call: "posix_spawn", subject: executable, errorNumber: ENOENT)
        }
        // A program that stops reading must end its own input, and not this process.
        signal(SIGPIPE, SIG_IGN)
        let started = try Spawn.start(
            path: path, arguments: [executable] + arguments, environment: variables,
            directory: directory, wiring: wiring)
        pid = started.pid
        pidDescriptor = started.pidDescriptor
        isTerminal = wiring != .pipes
        inputDescriptor = started.input
        outputDescriptor = started.output
        errorDescriptor = started.error
    }

    deinit {
        if ending == nil {
            kill(-pid, SIGKILL)
            kill(pid, SIGKILL)
            _ = Spawn.reap(pid)
        }
        for descriptor in [inputDescriptor, outputDescriptor, errorDescriptor, pidDescriptor]
        where descriptor >= 0 {
            close(descriptor)
        }
    }

    /// Adds to its input; what does not fit into the pipe is written while a wait goes on.
    public func write(_ text: String) {
        pendingInput += Array(text.utf8)
    }

    /// Ends its input once everything is written. A terminal has no end of input: write `\u{4}`.
    public func closeInput() {
        closesInputWhenWritten = true
    }

    /// Sends a signal to the program alone.
    public func send(signal number: Int32) throws(RunFailure) {
        guard ending == nil, kill(pid, number) == 0 else {
            throw RunFailure(
                call: "kill", subject: "\(pid)", errorNumber: ending == nil ? errno : ESRCH)
        }
    }

    /// Gives its terminal another size.
    public func resize(rows: UInt16, columns: UInt16) throws(RunFailure) {
        let number = Spawn.resize(outputDescriptor, rows: rows, columns: columns)
        guard number == 0 else {
            throw RunFailure(call: "ioctl", subject: "TIOCSWINSZ", errorNumber: number)
        }
    }

    /// Reads until this text stands in the output.
    public func waitForOutput(
        _ text: String, timeout: Duration = .seconds(60)
    ) throws(OutputMissing) {
        let deadline = ContinuousClock.now + timeout
        while !output.contains(text) {
            guard outputDescriptor >= 0, step(deadline: deadline) else {
                throw OutputMissing(expected: text, output: output, errorOutput: errorOutput)
            }
        }
    }

    /// Reads until this text stands in the error output.
    public func waitForErrorOutput(
        _ text: String, timeout: Duration = .seconds(60)
    ) throws(OutputMissing) {
        let deadline = ContinuousClock.now + timeout
        while !errorOutput.contains(text) {
            guard errorDescriptor >= 0, step(deadline: deadline) else {
                throw OutputMissing(expected: text, output: output, errorOutput: errorOutput)
            }
        }
    }

    /// Waits until the program itself ends; what it left behind may still write.
    public func waitForEnd(timeout: Duration = .seconds(60)) throws(RunFailure) {
        let deadline = ContinuousClock.now + timeout
        while ending == nil {
            guard step(deadline: deadline) else {
                throw RunFailure(call: "waitpid", subject: "\(pid)", errorNumber: ETIMEDOUT)
            }
        }
    }

    /// Ends its input and reads to the end of its output and of itself.
    public func finish(timeout: Duration = .seconds(60)) throws(RunFailure) -> RunResult {
        let deadline = ContinuousClock.now + timeout
        if !isTerminal { closesInputWhenWritten = true }
        var isLate = false
        while ending == nil || outputDescriptor >= 0 || errorDescriptor >= 0 {
            guard step(deadline: deadline) else {
                isLate = true
                break
            }
        }
        guard isLate else { return result(ending: ending ?? .timedOut, heldOpen: false) }
        let endedInTime = ending
        kill(-pid, SIGKILL)
        let grace = ContinuousClock.now + .seconds(10)
        while ending == nil {
            guard step(deadline: grace) else {
                throw RunFailure(call: "kill", subject: "\(pid)", errorNumber: ETIMEDOUT)
            }
        }
        return result(ending: endedInTime ?? .timedOut, heldOpen: endedInTime != nil)
    }

    private func result(ending: RunResult.Ending, heldOpen: Bool) -> RunResult {
        RunResult(
            ending: ending, outputBytes: outputBytes, errorBytes: errorBytes,
            outputHeldOpen: heldOpen)
    }

    /// Waits for one event and deals with all that are there; false at the deadline.
    private func step(deadline: ContinuousClock.Instant) -> Bool {
        if pendingInput.isEmpty, closesInputWhenWritten { close(&inputDescriptor) }
        let writes = pendingInput.isEmpty ? -1 : inputDescriptor
        let exits = ending == nil ? pidDescriptor : -1
        let ready = Spawn.wait(
            reading: [outputDescriptor, errorDescriptor, exits], writing: writes,
            for: ContinuousClock.now.duration(to: deadline))
        guard ready.contains(true) else { return false }
        if ready[0] { receive(&outputDescriptor, into: &outputBytes) }
        if ready[1] { receive(&errorDescriptor, into: &errorBytes) }
        if ready[2] { ending = Spawn.reap(pid) }
        if ready[3] { sendInput() }
        return true
    }

    private func receive(_ descriptor: inout Int32, into bytes: inout [UInt8]) {
        let read = Spawn.read(descriptor)
        if read.isEmpty {
            close(&descriptor)
        } else {
            bytes += read
        }
    }

    private func sendInput() {
        let count = Spawn.write(pendingInput, to: inputDescriptor)
        if count > 0 {
            pendingInput.removeFirst(count)
        } else {
            // Nobody reads any more.
            pendingInput = []
            close(&inputDescriptor)
        }
    }

    private func close(_ descriptor: inout Int32) {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    private func close(_ descriptor: Int32) {
        _ = Glibc.close(descriptor)
    }
}
