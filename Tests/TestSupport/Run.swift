import Foundation

/// What became of a program that a test ran.
public struct RunResult: Sendable {
    public enum Ending: Sendable, Equatable {
        case exited(code: Int32)
        case signalled(signal: Int32)
        /// It still ran at the time limit, and its process group was killed.
        case timedOut
    }

    public let ending: Ending
    public let outputBytes: [UInt8]
    public let errorBytes: [UInt8]
    /// The program ended, and at the time limit another process still held its output open.
    public let outputHeldOpen: Bool

    public var output: String { String(decoding: outputBytes, as: UTF8.self) }
    public var errorOutput: String { String(decoding: errorBytes, as: UTF8.self) }
    /// It exited with 0, and nothing it left behind holds its output open.
    public var succeeded: Bool { ending == .exited(code: 0) && !outputHeldOpen }
    /// The exit code as a shell gives it: 128 + n for signal n, 124 for a time-out.
    public var code: Int32 {
        switch ending {
        case .exited(let code): code
        case .signalled(let signal): 128 + signal
        case .timedOut: 124
        }
    }
}

extension RunResult: CustomStringConvertible {
    public var description: String {
        "\(ending)\(outputHeldOpen ? ", output held open" : ""), output `\(output)`, "
            + "error output `\(errorOutput)`"
    }
}

/// A call that failed while a test ran a program.
public struct RunFailure: Error, Equatable, CustomStringConvertible {
    public let call: String
    public let subject: String
    public let errorNumber: Int32

    public var description: String { "\(call) `\(subject)`: \(words)" }

    private var words: String {
        let error = NSError(domain: NSPOSIXErrorDomain, code: Int(errorNumber))
        return error.localizedDescription.replacingOccurrences(
            of: "The operation could not be completed. ", with: "")
    }
}

/// Runs a program to its end and gives its ending and its output.
///
/// It has a session of its own, no descriptor but the three, every signal at its default. A name
/// without a slash is looked up on the `PATH`. Large input and output cannot deadlock. At the
/// time limit its process group is killed.
///
/// - Parameter environment: the whole environment; without it, that of the tests.
public func run(
    _ executable: String, arguments: [String] = [], environment: [String: String]? = nil,
    directory: String? = nil, input: String = "", timeout: Duration = .seconds(60)
) throws(RunFailure) -> RunResult {
    let child = try ChildProcess(
        executable, arguments: arguments, environment: environment, directory: directory)
    child.write(input)
    return try child.finish(timeout: timeout)
}
