import Foundation
import TestSupport

/// The files of the repository, or of a sample.
struct Tree: Sendable {
    /// Text files, sorted by path.
    let files: [SourceFile]
    /// Every file, pictures too.
    let paths: Set<String>
    /// Every folder that holds a file, at any depth.
    let folders: Set<String>

    init(files: [SourceFile], otherPaths: Set<String> = []) {
        self.files = files.sorted { $0.path < $1.path }
        paths = otherPaths.union(files.map(\.path))
        var folders: Set<String> = []
        for path in paths {
            var folder = path[...]
            while let slash = folder.lastIndex(of: "/") {
                folder = folder[..<slash]
                folders.insert(String(folder))
            }
        }
        self.folders = folders
    }

    /// A sample: texts by path.
    init(_ texts: [String: String]) {
        self.init(files: texts.map { SourceFile(path: $0.key, text: $0.value) })
    }

    func file(_ path: String) -> SourceFile? {
        files.first { $0.path == path }
    }

    func exists(_ path: String) -> Bool {
        paths.contains(path) || folders.contains(path)
    }

    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    /// The files that git tracks, or would track: what a clone of the next commit has.
    static let repository: Result<Tree, Unreadable> = Result { () throws(Unreadable) in
        try read(root: PackageRoot.path)
    }

    static func read(root: String, git: String = "git") throws(Unreadable) -> Tree {
        var files: [SourceFile] = []
        var others: Set<String> = []
        for path in try list(root: root, git: git) {
            let url = URL(fileURLWithPath: "\(root)/\(path)")
            // A file that is deleted and not yet staged is still listed.
            guard let data = try? Data(contentsOf: url) else { continue }
            if data.prefix(8000).contains(0) {
                others.insert(path)
            } else {
                let isExecutable = FileManager.default.isExecutableFile(atPath: url.path)
                files.append(
                    SourceFile(
                        path: path, text: String(decoding: data, as: UTF8.self),
                        isExecutable: isExecutable))
            }
        }
        return Tree(files: files, otherPaths: others)
    }

    private static func list(root: String, git: String) throws(Unreadable) -> Set<String> {
        let result: RunResult
        do {
            // A clone may belong to another user than the one who runs the tests.
            result = try run(
                git,
                arguments: [
                    "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others",
                    "--exclude-standard",
                ])
        } catch {
            throw Unreadable(
                description: "the style checks list the files by `git`, which does not start "
                    + "(\(error)): run `scripts/setup`")
        }
        guard result.succeeded, !result.outputBytes.isEmpty else {
            throw Unreadable(
                description: "the style checks list the files by `git`, which fails in `\(root)`: "
                    + "run the tests in a clone (\(result))")
        }
        return Set(result.output.split(separator: "\0").map(String.init))
    }
}
