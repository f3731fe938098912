import Foundation
import TestSupport
import Testing

/// Every test that starts a sandbox stands in a suite below this one: some count what is left on
/// the host, and all share two processors.
@Suite(.serialized, .needs(.root, .sysAdmin, .cgroupV2, .overlay)) struct SandboxTests {}

/// Starts `alcove run` as users do where there is no agent.
enum Sandboxed {
    /// The words of a command line from `alcove` on.
    static func words(
        _ command: [String], _ flags: [String] = [], image: String? = nil
    ) throws -> [String] {
        let image = try image ?? Products.baseImage()
        return try [Products.path("alcove"), "run", "--local"] + flags + [image, "--"] + command
    }

    static func run(
        _ command: [String], _ flags: [String] = [], image: String? = nil, input: String = "",
        environment: [String: String]? = nil
    ) throws -> RunResult {
        let words = try words(command, flags, image: image)
        return try TestSupport.run(
            words[0], arguments: Array(words.dropFirst()), environment: environment, input: input)
    }

    static func shell(
        _ script: String, _ flags: [String] = [], image: String? = nil, input: String = ""
    ) throws -> RunResult {
        try run(["sh", "-c", script], flags, image: image, input: input)
    }

    /// What a script prints that must end well, without the last newline.
    static func output(
        _ script: String, _ flags: [String] = [], image: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let result = try shell(script, flags, image: image)
        #expect(
            result.ending == .exited(code: 0) && result.errorOutput.isEmpty, "\(result)",
            sourceLocation: sourceLocation)
        return result.output.hasSuffix("\n") ? String(result.output.dropLast()) : result.output
    }

    static func start(
        _ command: [String], _ flags: [String] = [], image: String? = nil,
        wiring: ChildProcess.Wiring = .pipes, environment: [String: String]? = nil
    ) throws -> ChildProcess {
        let words = try words(command, flags, image: image)
        return try ChildProcess(
            words[0], arguments: Array(words.dropFirst()), environment: environment,
            wiring: wiring)
    }

    /// Runs a sandbox and gives its result as programs get it.
    static func result(
        _ command: [String], _ flags: [String] = [], image: String? = nil
    ) throws -> (run: RunResult, document: ResultDocument) {
        let folder = try TemporaryFolder()
        let file = folder.path + "/result"
        let run = try run(command, flags + ["--result", file], image: image)
        let text = try String(contentsOfFile: file, encoding: .utf8)
        return (run, try ResultDocument(text))
    }
}

/// A folder of a test's own, which goes with the object.
final class TemporaryFolder {
    let path: String

    convenience init() throws {
        let temporary = FileManager.default.temporaryDirectory.path
        try self.init(at: temporary + "/alcove-test-\(UUID().uuidString)")
    }

    /// Takes the place of what a run before has left there.
    init(at path: String) throws {
        self.path = path
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    @discardableResult
    func write(_ name: String, _ text: String, permissions: Int = 0o644) throws -> String {
        let file = "\(path)/\(name)"
        let parent = (file as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        try FileManager.default.setAttributes([.posixPermissions: permissions], ofItemAtPath: file)
        return file
    }

    func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(
            atPath: "\(path)/\(name)", withIntermediateDirectories: true)
    }

    func link(_ name: String, to target: String) throws {
        try? FileManager.default.removeItem(atPath: "\(path)/\(name)")
        try FileManager.default.createSymbolicLink(
            atPath: "\(path)/\(name)", withDestinationPath: target)
    }
}

/// A copy of the base image that a test may change, with the probe in `/bin`.
final class TestImage {
    let folder: TemporaryFolder
    var path: String { folder.path + "/image" }

    convenience init() throws {
        try self.init(in: TemporaryFolder())
    }

    private init(in folder: TemporaryFolder) throws {
        self.folder = folder
        let base = try Products.baseImage()
        let copied = try run("cp", arguments: ["-a", base, path])
        try #require(copied.succeeded, "\(copied)")
        let probe = try run("cp", arguments: [try Probe.path(), path + "/bin/probe"])
        try #require(probe.succeeded, "\(probe)")
    }

    /// An image that the tests share and do not change.
    static func shared() throws -> String { try sharedImage.get().path }

    /// Objects that live as long as the process do not tidy up: the next run takes this place.
    private static let sharedImage = Result {
        try TestImage(in: TemporaryFolder(at: PackageRoot.path(".build/sandbox-tests/shared")))
    }
}

extension TestImage: @unchecked Sendable {}

/// `Probes/sandbox-probe.c`, built once by a run of the tests, for the host and for sandboxes.
enum Probe {
    static func path() throws -> String { try program.get() }

    private static let program = Result { () throws -> String in
        let source = PackageRoot.path("Tests/SandboxTests/Probes/sandbox-probe.c")
        let made = try folder.get().path + "/probe"
        let result = try TestSupport.run(
            "cc", arguments: ["-Wall", "-Wextra", "-Werror", "-static", "-O1", "-o", made, source])
        try #require(result.succeeded, "\(result)")
        return made
    }

    private static let folder = Result {
        try TemporaryFolder(at: PackageRoot.path(".build/sandbox-tests/probe"))
    }

    /// Runs the probe in a sandbox.
    static func run(_ words: String..., flags: [String] = []) throws -> RunResult {
        try Sandboxed.run(["probe"] + words, flags, image: try TestImage.shared())
    }

    /// What the probe says in a sandbox, where it must end well.
    static func answer(
        _ words: String..., flags: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let result = try Sandboxed.run(["probe"] + words, flags, image: try TestImage.shared())
        #expect(result.ending == .exited(code: 0), "\(result)", sourceLocation: sourceLocation)
        return result.output.hasSuffix("\n") ? String(result.output.dropLast()) : result.output
    }

    /// What the probe says on the host.
    static func hostAnswer(_ words: String...) throws -> String {
        String(try TestSupport.run(try path(), arguments: words).output.dropLast())
    }
}

extension TemporaryFolder: @unchecked Sendable {}
