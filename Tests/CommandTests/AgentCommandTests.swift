import Console
import Foundation
import TestSupport
import Testing

/// The commands with a daemon of their own: as users meet them.
@Suite(.serialized, .needs(.root, .sysAdmin, .cgroupV2, .overlay, .bash))
struct AgentCommandTests {}

extension AgentCommandTests {
    @Suite struct Life {
        @Test("a sandbox is created, started, waited for and removed")
        func wholeLife() throws {
            let daemon = try AgentDaemon()
            let image = try Products.baseImage()
            #expect(try daemon.output("image", "import", "base", image) == "base\n")
            #expect(
                try daemon.output(
                    "create", "--id", "job", "--env", "A=b", "base", "--", "sh", "-c",
                    "echo $A; echo oh >&2; exit 3") == "job\n")
            #expect(try daemon.json("ps", "--json")["sandboxes"]?.array?.count == 1)
            #expect(try daemon.output("ps", "--state", "created", "--quiet") == "job\n")
            #expect(try daemon.output("start", "job") == "job\n")
            let waited = try daemon.alcove("wait", "job")
            #expect(waited.code == 3 && waited.output == "job  exited with 3\n", "\(waited)")
            let logs = try daemon.alcove("logs", "job")
            #expect(logs.output == "b\n" && logs.errorOutput == "oh\n", "\(logs)")
            #expect(try daemon.output("ps", "--quiet").isEmpty)
            #expect(try daemon.output("ps", "--all").contains("stopped: exited with 3"))
            let shown = try daemon.json("ps", "--json", "job")["sandboxes"]?.array?.first
            #expect(shown?["outcome"]?["exit_code"]?.int64 == 3)
            #expect(try daemon.output("rm", "job") == "job\n")
            #expect(try daemon.output("ps", "--all", "--quiet").isEmpty)
            #expect(try daemon.output("image", "rm", "base") == "base\n")
        }

        @Test("of several ids each is tried; the worst code is that of the whole")
        func several() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox("a")
            try daemon.startSandbox("b")
            let stopped = try daemon.alcove("stop", "--grace", "0s", "a", "none", "b", "other")
            #expect(stopped.output == "a\nb\n" && stopped.code == 67)
            #expect(
                stopped.errorOutput.split(separator: "\n").map { $0.prefix(58) }
                    == [
                        "alcove: cannot stop `none`: there is no sandbox `none` (`al",
                        "alcove: cannot stop `other`: there is no sandbox `other` (`",
                    ].map { $0.prefix(58) }, "\(stopped)")
            let waited = try daemon.alcove("wait", "a", "b")
            #expect(waited.code == 137 && waited.output.contains("b  ended by SIGKILL"))
            let removed = try daemon.alcove("rm", "--json", "a", "b")
            #expect(removed.output == "{}\n{}\n")
        }

        @Test("what the agent refuses is one line with the code for it")
        func refusals() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let image = try Products.baseImage()
            let cases: [([String], Int32, String)] = [
                (["rm", "box"], 72, "cannot remove `box`: "),
                (["start", "none"], 67, "cannot start `none`: there is no sandbox `none`"),
                (["create", "--id", "box", image, "--", "true"], 73, "cannot create `box`: "),
                (["create", "--id", "B", image, "--", "true"], 64, "cannot create `B`: "),
                (["create", "nothing", "--", "true"], 66, "cannot create `nothing-"),
                (["pause", "none"], 67, "cannot pause `none`: "),
                (["image", "rm", "none"], 67, "cannot remove the image `none`: "),
                (["events", "--from", "1000000", "--follow"], 67, "cannot watch the events: "),
            ]
            for (words, code, start) in cases {
                let result = try daemon.alcove(words)
                #expect(result.code == code && result.output.isEmpty, "\(words): \(result)")
                #expect(result.errorOutput.hasPrefix("alcove: \(start)"), "\(words): \(result)")
                #expect(result.errorOutput.split(separator: "\n").count == 1)
            }
        }

        @Test("a sandbox is paused, resumed, and given other limits")
        func pauseAndUpdate() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            _ = try daemon.output("pause", "box")
            #expect(try daemon.output("ps", "--state", "paused", "--quiet") == "box\n")
            _ = try daemon.output("resume", "box")
            #expect(try daemon.output("ps", "--state", "paused", "--quiet").isEmpty)
            let updated = try daemon.alcove(
                "update", "--limits", "best-effort", "--pids", "64", "--json", "box")
            #expect(updated.code == 0, "\(updated)")
            let limits = try JSONReader.read(updated.output)["sandbox"]?["spec"]?["limits"]
            #expect(limits?["pids"]?.int64 == 64)
        }

        @Test("what becomes of sandboxes is printed as it happens")
        func watching() throws {
            let daemon = try AgentDaemon()
            let list = try daemon.start("ps", "--watch", "--json", "--all")
            try list.waitForOutput(#"{"sandboxes":[]"#)
            let events = try daemon.start("events", "--follow")
            try daemon.startSandbox()
            try list.waitForOutput(#"{"sandboxes":[{"id":"box""#)
            try list.waitForOutput(#""state":"running""#)
            try list.send(signal: 15)
            // It may have begun after the first events: then they are not among what follows.
            _ = try daemon.output("stop", "--grace", "0s", "box")
            try events.waitForOutput("box  stopping → stopped: ended by SIGKILL\n")
            try events.send(signal: 15)
            let past = try daemon.output("events", "box")
            #expect(past.contains("box  created from ") && past.contains("starting → running"))
            #expect(!past.contains("node  "))
            let numbers = try daemon.output("events").split(separator: "\n").compactMap {
                Int($0.prefix { $0 != " " })
            }
            #expect(numbers == Array(1...numbers.count))
            let last = try daemon.output("events", "--json", "--from", "\(numbers.count)")
            #expect(try JSONReader.read(last)["number"]?.int64 == Int64(numbers.count))
            #expect(try daemon.output("events", "--from", "\(numbers.count + 1)").isEmpty)
        }
    }

    @Suite struct Reading {
        @Test("logs are followed, cut, dated and parted")
        func logs() throws {
            let daemon = try AgentDaemon()
            // Three lines, then a pause until somebody lets it go on.
            try daemon.startSandbox(
                "box",
                "mkfifo /tmp/go; echo 1; echo 2 >&2; echo 3; read x </tmp/go; printf end")
            let follower = try daemon.start("logs", "--follow", "box")
            try follower.waitForOutput("1\n3\n")
            #expect(try daemon.output("logs", "--stdout", "box") == "1\n3\n")
            #expect(try daemon.alcove("logs", "--stderr", "box").errorOutput == "2\n")
            #expect(try daemon.output("logs", "--stdout", "--tail", "1", "box") == "3\n")
            #expect(
                try daemon.output("logs", "--since", "2000-01-01", "--stdout", "box") == "1\n3\n")
            #expect(try daemon.output("logs", "--since", "0s", "box").isEmpty)
            let dated = try daemon.output("logs", "-t", "--stdout", "--tail", "1", "box")
            #expect(dated.contains(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z 3\n$/), "\(dated)")
            let line = try daemon.json("logs", "--json", "--stdout", "--tail", "1", "box")
            #expect(line["data"] == "3\n" && line["stream"] == "stdout")
            // The sandbox ends by it, and maybe before this command does.
            _ = try daemon.alcove("exec", "box", "--", "sh", "-c", "echo >/tmp/go")
            let followed = try follower.finish()
            #expect(followed.code == 0 && followed.output == "1\n3\nend", "\(followed)")
            #expect(followed.errorOutput == "2\n")
        }

        @Test("statistics, capacity, node and live view are there for people and programs")
        func node() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            #expect(try daemon.json("stats", "--json", "box")["id"] == "box")
            let stats = try daemon.output("stats")
            #expect(stats.contains("CPU TIME") && stats.contains("\nbox "), "\(stats)")
            let watched = try daemon.start("stats", "--watch", "--json", "--interval", "10ms")
            try watched.waitForOutput("\"id\":\"box\"")
            _ = try daemon.output("stop", "--grace", "0s", "box")
            // The sandbox's end ends it.
            #expect(try watched.finish().code == 0)
            #expect(try daemon.json("capacity", "--json")["reserved"]?["sandboxes"]?.int64 == 0)
            #expect(try daemon.output("capacity").contains("\nsandboxes  "))
            let capacity = try daemon.start("capacity", "--watch", "--json")
            try capacity.waitForOutput("{\"version\":")
            try capacity.send(signal: 15)
            #expect(try daemon.json("info", "--json")["isolations"]?.array?.isEmpty == false)
            #expect(try daemon.output("info").contains("\nagent "))
            #expect(try daemon.output("top").contains("sandboxes  none"))
        }

        @Test("the live view takes the other screen, resizes, and gives the terminal back")
        func top() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox("busy", "while :; do :; done")
            let top = try daemon.start("top", wiring: .terminal(rows: 30, columns: 100))
            try top.waitForOutput("\u{1b}[?1049h")
            try top.waitForOutput("busy  running")
            try top.resize(rows: 8, columns: 40)
            try top.waitForOutput("more\u{1b}[K")
            top.write("q")
            try top.waitForOutput("\u{1b}[?1049l")
            #expect(try top.finish().code == 0)
        }

        @Test("images are listed, and forgotten when nothing is made of them")
        func images() throws {
            let daemon = try AgentDaemon()
            let image = try Products.baseImage()
            for name in ["used", "free"] { _ = try daemon.output("image", "import", name, image) }
            _ = try daemon.output("create", "--id", "a", "used", "--", "true")
            let list = try daemon.json("image", "ls", "--json")["images"]?.array
            #expect(list?.compactMap { $0["name"]?.string } == ["free", "used"])
            #expect(try daemon.alcove("image", "rm", "used").code == 72)
            #expect(try daemon.output("image", "prune").isEmpty)
            #expect(try daemon.output("image", "prune", "--all", "--dry-run") == "free\n")
            #expect(try daemon.output("image", "prune", "--all") == "free\n")
            #expect(try daemon.output("image", "ls", "--quiet") == "used\n")
        }

        @Test("a drained node takes nothing new, until the end of it")
        func drain() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let drain = try daemon.start("drain", "--deadline", "0s", "--wait", "--json")
            let drained = try drain.finish()
            #expect(drained.code == 0, "\(drained)")
            #expect(try JSONReader.read(drained.output)["remaining"]?.int64 == 0)
            let refused = try daemon.alcove("create", try Products.baseImage(), "--", "true")
            #expect(refused.code == 75, "\(refused)")
            #expect(try daemon.output("drain", "--end").hasPrefix("the node takes sandboxes"))
            _ = try daemon.output("create", "--id", "b", try Products.baseImage(), "--", "true")
        }

        @Test("sandboxes are timed, by one call and by two", arguments: [[], ["--two-calls"]])
        func bench(flags: [String]) throws {
            let daemon = try AgentDaemon()
            let image = try Products.baseImage()
            let words = ["bench", "agent", "-n", "3", "-c", "2", "--warm-up", "1", "--json"]
            let result = try daemon.alcove(words + flags + [image, "--", "true"])
            #expect(result.succeeded, "\(result)")
            let lines = try result.output.split(separator: "\n").map {
                try JSONReader.read(String($0))
            }
            #expect(lines.count == 4 && lines.last?["summary"]?["count"]?.int64 == 3)
            #expect(try daemon.output("ps", "--all", "--quiet").isEmpty)
        }
    }
}
