import TestSupport
import Testing

@testable import Console

@Suite struct CommandParserTests {
    static let run = Command(
        "run", summary: "Runs a command in a new sandbox",
        flags: [
            Flag("memory", short: "m", value: "SIZE", default: "128MiB", help: "memory limit"),
            Flag("cpus", value: "N", help: "CPUs"),
            Flag("pids", value: "N", help: "processes"),
            Flag("timeout", value: "TIME", help: "time limit"),
            Flag("rate", value: "RATE", help: "rate limit"),
            Flag("iops", value: "RATE", help: "rate limit"),
            Flag("env", short: "e", value: "K=V", repeatable: true, help: "variable"),
            Flag("limits", value: "MODE", help: "how limits hold"),
            Flag("socket", value: "PATH", environment: "ALCOVE_SOCKET", help: "the agent"),
            Flag("json", environment: "ALCOVE_JSON", help: "print JSON"),
            Flag("read-only", short: "r", help: "no writable layer"),
        ], arguments: [Argument("IMAGE", help: "the image")], trailing: .command,
        examples: [Example("alcove run ./image -- /bin/true", "Starts it")])

    static let program = Program(
        "alcove", summary: "Sandboxes",
        commands: [
            run, Command("plan", summary: "Prints the plan"),
            Command("version", summary: "Prints the version"),
            Command("bench cold-start", summary: "Measures starts"),
            Command("bench peers", summary: "Measures others"),
        ])

    /// The error of a command line, as it is printed.
    private func failure(_ words: [String], _ environment: [String: String] = [:]) -> String? {
        do throws(FlagError) {
            _ = try Self.run.parse(words) { environment[$0] }
            return nil
        } catch {
            return error.description
        }
    }

    @Test("Declarations without faults have none, and faults are found")
    func faults() {
        #expect(Self.program.faults() == [])
        let bad = Command(
            "x", summary: "",
            flags: [Flag("a-b", help: ""), Flag("a-b", help: ""), Flag("help", help: "")],
            arguments: [
                Argument("A", required: false, repeatable: true, help: ""), Argument("B", help: ""),
            ])
        #expect(bad.faults().count == 4)
        #expect(Program("p", summary: "", commands: [bad, bad]).faults().count == 8 + 1 + 2)
    }

    @Test("The first of two arguments can be the one that is left out")
    func optionalFirst() throws {
        let command = Command(
            "add", summary: "",
            arguments: [
                Argument("NAME", required: false, help: ""), Argument("PATH", help: ""),
            ])
        #expect(command.faults().isEmpty && command.usage == "alcove add [flags] [NAME] PATH")
        let one = try command.parse(["a"])
        #expect(one.argument("NAME") == nil && one.argument("PATH") == "a")
        let both = try command.parse(["a", "b"])
        #expect(both.argument("NAME") == "a" && both.argument("PATH") == "b")
        for words in [[], ["a", "b", "c"]] {
            #expect(throws: FlagError.self) { _ = try command.parse(words) }
        }
    }

    @Test("Flags are understood in every form and place")
    func forms() throws {
        let parsed = try Self.run.parse([
            "--memory", "64MiB", "-e", "A=1", "--env=B==2", "image", "-r", "--pids=-1", "-e=C=",
            "--", "cmd", "--memory", "--",
        ])
        #expect(try parsed.bytes("memory") == 64 << 20)
        #expect(
            try parsed.pairs("env") == [
                KeyValue(key: "A", value: "1"), KeyValue(key: "B", value: "=2"),
                KeyValue(key: "C", value: ""),
            ])
        #expect(parsed.argument("IMAGE") == "image")
        #expect(parsed.trailing == ["cmd", "--memory", "--"])
        #expect(parsed.isOn("read-only") && !parsed.isOn("json"))
        #expect(try parsed.integer("pids") == -1)
        #expect(parsed.isGiven("memory") && !parsed.isGiven("cpus"))
        #expect(try parsed.milliCPUs("cpus") == nil)
    }

    @Test("Defaults and the environment fill in, and the command line wins")
    func fallbacks() throws {
        let line = ["image", "--", "true"]
        let environment = ["ALCOVE_SOCKET": "/tmp/s", "ALCOVE_JSON": "1"]
        let parsed = try Self.run.parse(line) { environment[$0] }
        #expect(try parsed.bytes("memory") == 128 << 20)
        #expect(!parsed.isGiven("memory"))
        #expect(parsed.string("socket") == "/tmp/s")
        #expect(parsed.isOn("json"))
        let given = try Self.run.parse(["--socket", "/b"] + line) { environment[$0] }
        #expect(given.string("socket") == "/b")
        #expect(try !Self.run.parse(line, environment: { _ in "0" }).isOn("json"))
        #expect(failure(line, ["ALCOVE_JSON": "maybe"])?.contains("ALCOVE_JSON") == true)
    }

    @Test("Switches can be joined, and what takes a value cannot")
    func joined() throws {
        let command = Command(
            "exec", summary: "s",
            flags: [
                Flag("interactive", short: "i", help: "i"), Flag("terminal", short: "t", help: "t"),
                Flag("env", short: "e", value: "K=V", help: "e"),
            ])
        let parsed = try command.parse(["-it"])
        #expect(parsed.isOn("interactive") && parsed.isOn("terminal"))
        for word in ["-ie", "-ix", "-ii"] {
            #expect(throws: FlagError.self) { try command.parse([word]) }
        }
    }

    @Test(
        "What is wrong is said in one line",
        arguments: [
            (["--memroy", "1", "i"], "unknown flag `--memroy` (did you mean `--memory`?)"),
            (["--mem=1"], "unknown flag `--mem` (did you mean `--memory`?)"),
            (["--zzzz"], "unknown flag `--zzzz` (`alcove run --help` lists the flags)"),
            (["-m64MiB"], "unknown flag `-m64MiB` (write `-m SIZE`)"),
            (
                ["-rx"],
                "unknown flag `-rx` (only switches can be joined: begin with `-r` alone)"
            ),
            (["--memory"], "`--memory` needs a value (write `--memory SIZE`)"),
            (["--memory", "--", "x"], "`--memory` needs a value (write `--memory SIZE`)"),
            (
                ["--pids", "-5"],
                "`--pids` needs a value, and `-5` looks like a flag"
                    + " (if it is the value, write `--pids=-5`)"
            ),
            (["--json", "--json"], "`--json` is given twice (it can be given once)"),
            (
                ["--json=true"],
                "`--json` takes no value (write `--json` alone, or leave it)"
            ),
            ([], "IMAGE is missing (usage: alcove run [flags] IMAGE -- COMMAND…)"),
            (["i"], "the command is missing (usage: alcove run [flags] IMAGE -- COMMAND…)"),
            (
                ["i", "true"],
                "unexpected argument `true` (the command goes after `--`:"
                    + " alcove run [flags] IMAGE -- COMMAND…)"
            ),
            (
                ["--a\nb\u{1b}"],
                "unknown flag `--a\\nb\\u{1b}` (`alcove run --help` lists the flags)"
            ),
        ] as [([String], String)])
    func errors(words: [String], message: String) {
        #expect(failure(words) == message)
    }

    @Test("Errors of values name the flag or the variable")
    func valueErrors() throws {
        let parsed = try Self.run.parse(
            [
                "--memory=128MB", "--pids=0", "--limits=strikt", "--env", "A=1", "--env", "A=2",
                "i",
                "--", "c",
            ])
        func text<Value>(_ read: () throws(FlagError) -> Value) -> String {
            do throws(FlagError) {
                _ = try read()
                return ""
            } catch {
                return error.description
            }
        }
        #expect(
            text { () throws(FlagError) in try parsed.bytes("memory") }
                == "`--memory`: `128MB` is not a size (did you mean `128MiB`?)")
        #expect(
            text { () throws(FlagError) in try parsed.integer("pids", in: 1...9) }
                == "`--pids`: 0 is below the least, 1")
        #expect(
            text { () throws(FlagError) in
                try parsed.choice("limits", of: ["strict", "best-effort"])
            }
                == "`--limits`: `strikt` is none of strict, best-effort (did you mean `strict`?)")
        #expect(
            text { () throws(FlagError) in try parsed.pairs("env") }
                == "`--env`: `A` is given twice")
        #expect(parsed.refuse("pids", "no").message == "`--pids`: no")
    }

    @Test("Commands are found, and mistyped ones too")
    func commands() throws {
        let program = Self.program
        #expect(try program.parse([]) == .help(.program(program)))
        #expect(try program.parse(["run", "--bad", "-h"]) == .help(.command(Self.run)))
        #expect(try program.parse(["help", "run"]) == .help(.command(Self.run)))
        guard case .perform(let version) = try program.parse(["--version"]) else {
            Issue.record("no version")
            return
        }
        #expect(version.command.path == ["version"])
        guard case .help(.program(let group)) = try program.parse(["bench", "--help"]) else {
            Issue.record("no group")
            return
        }
        #expect(group.commands.count == 2)
        guard case .perform(let run) = try program.parse(["run", "i", "--", "c", "--help"]) else {
            Issue.record("--help after -- is the command's")
            return
        }
        #expect(run.trailing == ["c", "--help"])
    }

    @Test(
        "Unknown commands name the nearest",
        arguments: [
            (["rnu"], "unknown command `rnu` (did you mean `alcove run`?)"),
            (
                ["cold-strat"],
                "unknown command `cold-strat` (did you mean `alcove bench cold-start`?)"
            ),
            (["bench"], "`alcove bench` needs a command after it (one of: cold-start, peers)"),
            (
                ["bench", "coldstart"],
                "unknown command `alcove bench coldstart` (did you mean `alcove bench cold-start`?)"
            ),
            (["quux"], "unknown command `quux` (`alcove --help` lists the commands)"),
            (
                ["--json", "run"],
                "unknown flag `--json` (a command comes first, its flags after it:"
                    + " `alcove --help` lists them)"
            ),
        ])
    func unknownCommands(words: [String], message: String) {
        #expect {
            _ = try Self.program.parse(words)
        } throws: {
            ($0 as? FlagError)?.description == message
        }
    }

    @Test("Random command lines never trap, and errors stay one printable line", arguments: 1...8)
    func fuzz(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let pieces = [
            "run", "bench", "cold-start", "help", "--", "-", "--memory", "-m", "-e", "--env", "=",
            "A=1",
            "--json", "--cpus", "0.5", "128MiB", "-r", "\n", "é", "\u{301}", "--pids", "-1", "",
            "--limits=", "🏝", "\u{202e}", "9999999999999999999999", "10s", "--timeout", "--rate",
            "1MiB/s", "--iops=", "/s",
        ]
        for _ in 0..<4000 {
            let words = (0..<Int.random(in: 0...9, using: &random)).map { _ in
                (0...Int.random(in: 0...1, using: &random)).map { _ in
                    pieces[Int.random(in: 0..<pieces.count, using: &random)]
                }.joined()
            }
            do throws(FlagError) {
                guard case .perform(let parsed) = try Self.program.parse(words),
                    parsed.command.path == ["run"]
                else { continue }
                try readAll(parsed)
            } catch {
                #expect(
                    error.description.unicodeScalars.allSatisfy(PlainText.isPrintable),
                    "seed \(seed): \(words)")
                #expect(!error.message.hasSuffix("."))
            }
        }
    }

    private func readAll(_ parsed: ParsedCommand) throws(FlagError) {
        if let value = try parsed.bytes("memory") {
            let again = try Quantity.bytes(Quantity.text(bytes: value))
            #expect(again == value)
        }
        _ = try parsed.integer("pids")
        _ = try parsed.milliCPUs("cpus")
        _ = try parsed.duration("timeout")
        _ = try parsed.bytesPerSecond("rate")
        _ = try parsed.countPerSecond("iops")
        _ = try parsed.choice("limits", of: ["strict"])
        for pair in try parsed.pairs("env") {
            #expect(parsed.strings("env").contains("\(pair.key)=\(pair.value)"))
        }
    }

    @Test("Asking for a flag that is not declared traps")
    func undeclared() async {
        await #expect(processExitsWith: .failure) {
            let parsed = try CommandParserTests.run.parse(["i", "--", "c"])
            _ = parsed.string("nothing")
        }
        await #expect(processExitsWith: .failure) {
            let parsed = try CommandParserTests.run.parse(["i", "--", "c"])
            _ = parsed.argument("NOTHING")
        }
    }

    @Test("Near names are found by one edit in three letters, and short ones are left alone")
    func nearest() {
        let names = ["memory", "cpus", "pids", "env"]
        #expect(NearestName.find("memoyr", among: names) == "memory")
        #expect(NearestName.find("cpu", among: names) == "cpus")
        #expect(NearestName.find("enviroment", among: names) == nil)
        #expect(NearestName.find("x", among: names) == nil)
        #expect(NearestName.find("", among: names) == nil)
        #expect(NearestName.find(String(repeating: "a", count: 9000), among: names) == nil)
        #expect(NearestName.distance(Array("ab".utf8), Array("ba".utf8)) == 1)
        #expect(NearestName.distance(Array("kitten".utf8), Array("sitting".utf8)) == 3)
    }
}
