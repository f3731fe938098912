import Console
import Foundation
import TestSupport
import Testing

extension AgentCommandTests {
    /// Images in the agent's store, as users meet them.
    @Suite(.needs(.erofs)) struct Images {
        private let config =
            "\"Entrypoint\":[\"/bin/echo\"],\"Cmd\":[\"hello\"],\"Env\":[\"A=b\"]"

        /// An archive of the base image in the daemon's folder.
        private func save(_ daemon: AgentDaemon) throws -> String {
            let path = daemon.folder.appendingPathComponent("app.tar").path
            try SavedImage.make(path, layers: [Products.baseImage()], config: config)
            return path
        }

        @Test("an image is imported, told of, run by what it says, pinned and removed")
        func wholeLife() throws {
            let daemon = try AgentDaemon()
            let path = try save(daemon)
            let imported = try daemon.alcove("image", "import", path)
            #expect(imported.succeeded && imported.output == "app:1\n", "\(imported)")
            #expect(imported.errorOutput.contains("1 of 1 layers"), "\(imported)")
            #expect(try daemon.output("image", "import", "-q", "other", path) == "other\n")
            let lines = try daemon.output("image", "import", "--json", "app:1", path)
                .split(separator: "\n").map { try JSONReader.read(String($0)) }
            #expect(lines.dropLast().allSatisfy { $0["progress"] != nil })
            #expect(lines.last?["result"]?["existed"]?.bool == true, "\(lines)")
            #expect(try daemon.output("image", "ls", "-q") == "app:1\nother\n")
            let list = try daemon.output("image", "ls")
            #expect(list.contains("SHARED") && list.contains("1 image of 1 layer"), "\(list)")
            let image = try daemon.json("image", "inspect", "--json", "app:1")
            #expect(image["config"]?["environment"]?.array?.first?.string == "A=b")
            #expect(try daemon.output("image", "inspect", "other").contains("/bin/echo"))
            let run = try daemon.alcove("run", "--agent", "app:1")
            #expect(run.succeeded && run.output == "hello\n", "\(run)")
            let command = try daemon.alcove("run", "--agent", "app:1", "--", "other", "words")
            #expect(command.output == "other words\n", "\(command)")
            let entry = try daemon.alcove(
                "run", "--agent", "--entrypoint", "/bin/sh", "-e", "A=c", "app:1", "--", "-c",
                "echo $A")
            #expect(entry.output == "c\n", "\(entry)")
            #expect(try daemon.output("image", "pin", "other") == "other\n")
            #expect(try daemon.output("image", "prune", "--all").isEmpty)
            #expect(try daemon.output("image", "unpin", "other") == "other\n")
            _ = try daemon.output("create", "--id", "user", "app:1")
            #expect(try daemon.alcove("image", "rm", "other", "app:1").code == 72)
            _ = try daemon.output("rm", "user")
            #expect(try daemon.output("image", "rm", "app:1") == "app:1\n")
            #expect(try daemon.alcove("image", "inspect", "app:1").code == 67)
        }

        @Test("the bar of an import is drawn over on a terminal")
        func bar() throws {
            let daemon = try AgentDaemon()
            let path = try save(daemon)
            let child = try daemon.start(
                "image", "import", path, wiring: .terminal(rows: 20, columns: 70))
            try child.waitForOutput("\r[")
            try child.waitForOutput("\r\u{1b}[K")
            try child.waitForOutput("app:1")
            #expect(try child.finish().code == 0)
        }

        @Test("a damaged image is found with a code of its own, and another import mends it")
        func damaged() throws {
            let daemon = try AgentDaemon()
            let path = try save(daemon)
            _ = try daemon.output("image", "import", "-q", path)
            #expect(try daemon.output("image", "fsck", "-q").hasPrefix("sound: 1 layer"))
            let found = try run(
                "bash",
                arguments: [
                    "-c",
                    """
                    file=$(echo state/images/layers/*/layer.erofs)
                    size=$(stat -c %s "$file")
                    head -c 64 /dev/zero |
                        dd of="$file" bs=64 seek=$((size / 128)) conv=notrunc status=none
                    """,
                ], directory: daemon.folder.path)
            #expect(found.succeeded, "\(found)")
            let checked = try daemon.alcove("image", "fsck", "-q")
            #expect(checked.code == 74 && checked.output.contains("of `app:1`"), "\(checked)")
            #expect(try daemon.alcove("image", "fsck", "--quick").code == 74)
            #expect(try daemon.output("image", "ls").contains("damaged"))
            _ = try daemon.output("image", "import", "-q", path)
            #expect(try daemon.output("image", "fsck", "-q").hasPrefix("sound: 1 layer"))
            #expect(try daemon.alcove("run", "--agent", "app:1").output == "hello\n")
        }

        @Test("layers of other images come above, and what needs the agent says so")
        func layers() throws {
            let daemon = try AgentDaemon()
            _ = try daemon.output("image", "import", "-q", save(daemon))
            let tree = daemon.folder.appendingPathComponent("tree")
            try FileManager.default.createDirectory(at: tree, withIntermediateDirectories: true)
            try Data("shared\n".utf8).write(to: tree.appendingPathComponent("library"))
            let path = daemon.folder.appendingPathComponent("library.tar").path
            try SavedImage.make(path, layers: [tree.path], name: "library:2")
            _ = try daemon.output("image", "import", "-q", path)
            let run = try daemon.alcove(
                "run", "--agent", "--layer", "library:2", "--entrypoint", "/bin/cat", "app:1",
                "--", "/library")
            #expect(run.succeeded && run.output == "shared\n", "\(run)")
            let local = try daemon.alcove("run", "--local", "app:1", "--", "true")
            #expect(local.code == 66 && local.errorOutput.contains("`--agent`"), "\(local)")
            let tree2 = try daemon.alcove("image", "import", tree.path)
            #expect(tree2.code == 64 && tree2.errorOutput.contains("NAME PATH"), "\(tree2)")
            let noise = try daemon.alcove("image", "import", "x", tree.path + "/library")
            #expect(noise.code == 64, "\(noise)")
        }
    }
}
