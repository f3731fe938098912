import Console
import Foundation
import TestSupport
import Testing

/// A daemon of a test's own: its socket, record, cgroup and sandboxes are its alone, and gone with
/// it.
final class AgentDaemon {
    let folder: URL
    private let cgroup = "alcove-cli-\(UUID().uuidString.prefix(8).lowercased())"
    private let hasNetworks: Bool
    private var process: ChildProcess

    var socket: String { folder.appendingPathComponent("agent.sock").path }
    var environment: [String: String] {
        ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ALCOVE_SOCKET": socket, "TERM": "xterm"]
    }

    /// - Parameter hasNetworks: with those it is in a network namespace of its own, in which there
    ///   is nothing else.
    init(hasNetworks: Bool = false) throws {
        self.hasNetworks = hasNetworks
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("alcove-cli-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let configuration = """
            [socket]
            path = "\(folder.path)/agent.sock"
            [directories]
            state = "\(folder.path)/state"
            [sandboxes]
            init = "\(try Products.path("alcove-init"))"
            cgroup = "\(cgroup)"
            [log]
            format = "json"
            [network]
            enabled = \(hasNetworks)
            router = "\(folder.path)/router"
            name_servers = ["192.0.2.53"]
            underlay = "192.0.2.1"
            """
        let file = folder.appendingPathComponent("alcoved.toml")
        try Data(configuration.utf8).write(to: file)
        do {
            process = try Self.start(file, inOwnNetwork: hasNetworks)
        } catch {
            // What is not made is not unmade.
            try? FileManager.default.removeItem(at: folder)
            throw error
        }
    }

    private static func start(_ file: URL, inOwnNetwork: Bool) throws -> ChildProcess {
        let own = inOwnNetwork ? "unshare --net " : ""
        let process = try ChildProcess(
            "sh",
            arguments: [
                "-c", "exec \(own)\"$0\" --config \"$1\" 2>&1", try Products.path("alcoved"),
                file.path,
            ])
        try process.waitForOutput("\"serving\"")
        return process
    }

    /// Kills the daemon as nothing else would.
    func kill() throws {
        try process.send(signal: 9)
        try process.waitForEnd()
    }

    func restart() throws {
        process = try Self.start(
            folder.appendingPathComponent("alcoved.toml"), inOwnNetwork: hasNetworks)
    }

    deinit {
        do {
            let ids = try alcove("ps", "--all", "--quiet").output.split(separator: "\n")
            if !ids.isEmpty { _ = try alcove(["rm", "--force"] + ids.map(String.init)) }
            try process.send(signal: 15)
            try process.waitForEnd()
        } catch {
            Issue.record("the daemon could not be ended: \(error)")
        }
        removeCgroups()
        if hasNetworks { _ = try? run("umount", arguments: [folder.path + "/router"]) }
        try? FileManager.default.removeItem(at: folder)
    }

    private func removeCgroups() {
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let top = "\(root)/\(cgroup)"
            guard FileManager.default.fileExists(atPath: top) else { continue }
            _ = try? run(
                "find", arguments: [top, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
        }
    }

    // MARK: - The command

    func alcove(_ words: [String], input: String = "") throws -> RunResult {
        try run(
            Products.path("alcove"), arguments: words, environment: environment,
            directory: folder.path, input: input)
    }

    func alcove(_ words: String..., input: String = "") throws -> RunResult {
        try alcove(words, input: input)
    }

    /// What it prints when all goes well.
    func output(
        _ words: String..., input: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let result = try alcove(words, input: input)
        #expect(
            result.succeeded && result.errorOutput.isEmpty, "\(words): \(result)",
            sourceLocation: sourceLocation)
        return result.output
    }

    func json(
        _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> JSONValue {
        let result = try alcove(words)
        #expect(result.succeeded, "\(words): \(result)", sourceLocation: sourceLocation)
        return try JSONReader.read(result.output)
    }

    /// By the shell, with `alcove` in `$alcove` and the image in `$image`.
    func shell(_ script: String) throws -> RunResult {
        var environment = environment
        environment["alcove"] = try Products.path("alcove")
        environment["image"] = try Products.baseImage()
        return try run(
            "bash", arguments: ["-c", script], environment: environment, directory: folder.path)
    }

    /// Goes on while the test talks to it.
    func start(
        _ words: String..., wiring: ChildProcess.Wiring = .pipes
    ) throws -> ChildProcess {
        try ChildProcess(
            Products.path("alcove"), arguments: words, environment: environment,
            directory: folder.path, wiring: wiring)
    }

    /// A sandbox that runs, and does so until it is stopped.
    func startSandbox(_ id: String = "box", _ script: String = "exec sleep 1000000") throws {
        _ = try output(
            "create", "--start", "--id", id, Products.baseImage(), "--", "sh", "-c", script)
    }
}
