import Foundation
import LinuxKernel
import TestSupport

/// Where alcove-init is, for tests that start sandboxes by the library, or by a command with an
/// environment of its own.
enum InitProgram {
    static func path() throws -> String {
        if let named = ProcessInfo.processInfo.environment["ALCOVE_INIT"] { return named }
        return try Products.path("alcove-init")
    }
}

/// What is on the host, for tests that look for what a sandbox left there.
enum HostView {
    /// The processes that have this text in their environment or command line.
    static func processes(marked marker: String) -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.filter { pid in
            ["environ", "cmdline"].contains { file in
                let content = FileManager.default.contents(atPath: "/proc/\(pid)/\(file)")
                return content.map { String(decoding: $0, as: UTF8.self).contains(marker) } ?? false
            }
        }.sorted()
    }

    /// The mounts of this process that look like a sandbox's: made without a source.
    static func sandboxMounts(of process: String = "self") throws -> [String] {
        let text = try String(contentsOfFile: "/proc/\(process)/mountinfo", encoding: .utf8)
        return text.split(separator: "\n").map(String.init).filter {
            $0.contains(" none ") || $0.contains(" - nsfs ") || $0.contains("/alcove-test-")
        }
    }
}

/// A cgroup tree that nobody else sees, so that what is left in it can be counted: commands run in
/// a mount namespace where it stands in the place of the host's.
final class PrivateCgroups {
    let path: String
    private let root: String

    init() throws {
        guard let root = CgroupHierarchy.detect().root else { throw CocoaError(.fileNoSuchFile) }
        self.root = root
        path = "\(root)/alcove-tests-\(getpid())-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false)
    }

    deinit {
        let left = sandboxes.map { "\(path)/alcove/\($0)" } + [path + "/alcove", path]
        // Best effort: a folder that is not empty stays, and the test has told of it.
        guard let here = try? Files.open("/", [.path, .directory]) else { return }
        for folder in left { try? Files.removeDirectory(folder, at: here) }
    }

    /// The names of the sandboxes' cgroups in the tree.
    var sandboxes: [String] {
        (try? DirectoryListing.names(in: path + "/alcove"))?
            .filter { $0.hasPrefix(CgroupParent.sandboxPrefix) }.sorted() ?? []
    }

    /// The words that run a command on the tree. The process that is started becomes the command.
    func words(_ command: [String]) -> [String] {
        [
            "unshare", "--mount", "sh", "-c",
            "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"", path, root,
        ] + command
    }

    func run(_ command: [String], input: String = "") throws -> RunResult {
        let words = words(command)
        return try TestSupport.run(
            words[0], arguments: Array(words.dropFirst()), input: input)
    }

    func start(_ command: [String]) throws -> TestSupport.ChildProcess {
        let words = words(command)
        return try TestSupport.ChildProcess(words[0], arguments: Array(words.dropFirst()))
    }
}
