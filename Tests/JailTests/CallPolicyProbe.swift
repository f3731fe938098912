import Foundation
import LinuxKernel
import SandboxModel
import Testing

@testable import Jail

/// Runs things under a filter, in a process of its own: see `Probes/call-policy-probe.c`.
enum CallPolicyProbe {
    struct Failure: Error {
        let reason: String
    }

    struct Result {
        /// How it ended: `exit 0`, `signal 31`.
        let end: String
        let output: String
    }

    /// The helper, made once by this run of the tests and kept beside them.
    private static let helper = Swift.Result { () throws -> String in
        let source = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Probes/call-policy-probe.c")
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        // Another path than the last run's would pile up, the same one could be running.
        let folder = URL(filePath: own).deletingLastPathComponent()
        let made = folder.appending(path: "call-policy-probe")
        let draft = folder.appending(path: "call-policy-probe-\(UUID().uuidString)")
        let result = try start(
            "/usr/bin/env",
            ["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", draft.path, source.path])
        guard result.end == "exit 0" else { throw Failure(reason: "cc: \(result)") }
        let moved = try start("/usr/bin/env", ["mv", draft.path, made.path])
        guard moved.end == "exit 0" else { throw Failure(reason: "mv: \(moved)") }
        return made.path
    }

    /// What a denied call meets: the program that a workload gets asks a listener, of which there
    /// is none here.
    enum Denial: CaseIterable, Sendable {
        case kill
        case errno

        var action: SeccompAction {
            switch self {
            case .kill: .killProcess
            case .errno: .errno(1)
            }
        }
    }

    static func call(
        _ name: String, _ arguments: [UInt64] = [], denyingBy denial: SeccompAction
    ) throws -> Result {
        guard let number = SystemCallTable.number(of: name) else {
            throw Failure(reason: "no call \(name)")
        }
        return try call(number: UInt64(number), arguments, denyingBy: denial)
    }

    static func call(
        number: UInt64, _ arguments: [UInt64] = [], denyingBy denial: SeccompAction
    ) throws -> Result {
        try run(["call", "\(number)"] + arguments.map { "\($0)" }, denyingBy: denial)
    }

    static func run(
        _ words: [String], denyingBy denial: SeccompAction, environment: [String: String] = [:],
        in folder: URL? = nil
    ) throws -> Result {
        let program = try CallPolicy.standard.compiled(denyingBy: denial)
        let file = FileManager.default.temporaryDirectory.appending(
            path: "alcove-filter-\(UUID().uuidString)")
        try Data(program.bytes).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        return try start(
            try helper.get(), [file.path] + words, environment: environment, in: folder)
    }

    private static func start(
        _ program: String, _ arguments: [String], environment: [String: String] = [:],
        in folder: URL? = nil
    ) throws -> Result {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment
            .merging(environment) { _, new in new }
        if let folder { process.currentDirectoryURL = folder }
        let pipe = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        let kind = process.terminationReason == .exit ? "exit" : "signal"
        return Result(
            end: "\(kind) \(process.terminationStatus)",
            output: String(decoding: output, as: UTF8.self))
    }

    /// Where a program is, or nil if it is not installed.
    static func path(of name: String) -> String? {
        ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }
}
