import Foundation
import TestSupport
import Testing

@testable import AgentOperations

private func read(_ text: String) throws(ConfigurationError) -> AgentConfiguration {
    try AgentConfiguration.read(Array(text.utf8), source: "alcoved.toml")
}

private func problems(_ text: String) -> [String] {
    do throws(ConfigurationError) {
        _ = try read(text)
        return []
    } catch {
        return error.description.split(separator: "\n").map(String.init)
    }
}

@Suite struct ConfigurationTests {
    @Test("an empty file gives the defaults, and the defaults are a valid file")
    func defaults() throws {
        #expect(try read("") == AgentConfiguration())
        #expect(AgentConfiguration().contradictions().isEmpty)
        #expect(try read(AgentConfiguration().file()) == AgentConfiguration())
    }

    @Test("every key is listed once, in the order of its table")
    func table() {
        let paths = ConfigurationKey.all.map(\.path)
        #expect(Set(paths).count == paths.count)
        var tables: [String] = []
        for key in ConfigurationKey.all {
            let table = key.isTable ? key.path : key.parts.table
            if tables.last != table { tables.append(table) }
            #expect(!key.meaning.hasSuffix(".") && !key.meaning.isEmpty)
        }
        // A table that came again could not be printed as a file.
        #expect(Set(tables).count == tables.count)
    }

    @Test("of a file that is read again, what can change does, and the rest is named")
    func reload() throws {
        let (old, new) = (AgentConfiguration(), try read(Self.everyKey))
        let reload = ConfigurationReload(from: old, to: new)
        for key in ConfigurationKey.all {
            let kept = key.isReloadable ? new : old
            #expect(key.write(reload.configuration) == key.write(kept), "`\(key.path)`")
            #expect(reload.changed.contains(key.path) == key.isReloadable)
            #expect(reload.waiting.contains(key.path) != key.isReloadable)
        }
        #expect(reload.changed.contains("node.labels") && reload.waiting.contains("node.name"))
        // What waits goes on waiting, and what changed has.
        let again = ConfigurationReload(from: reload.configuration, to: new)
        #expect(again.changed.isEmpty && again.waiting == reload.waiting)
        #expect(again.configuration == reload.configuration)
        let back = ConfigurationReload(from: reload.configuration, to: old)
        #expect(back.configuration == old && back.waiting.isEmpty)
    }

    @Test("every key of the file reaches the configuration")
    func sample() throws {
        let configuration = try read(Self.everyKey)
        let defaults = AgentConfiguration()
        for key in ConfigurationKey.all {
            #expect(key.write(configuration) != key.write(defaults), "`\(key.path)` is not read")
        }
        #expect(configuration.nodeLabels == ["zone": "a", "example.org/disk": "ssd"])
        #expect(configuration.socket == .init(path: "/s/a", mode: 0o600, group: "alcove"))
        #expect(configuration.monitor == .init(path: "/s/m", mode: 0o666, group: "7"))
        #expect(configuration.allowedUsers == [0, 1000])
        #expect(
            configuration.keptBack
                == .init(
                    milliCPUs: 500, memoryBytes: 1 << 30, pids: 9, diskBytes: 2048))
        #expect(configuration.limitPolicy == .bestEffort && !configuration.allowsProcessIsolation)
        #expect(configuration.microVMs == .never)
        #expect(configuration.monitorDirectory == "/opt/monitor")
        #expect(configuration.logLevel == .debug && configuration.logFormat == .json)
        #expect(configuration.drainDeadline == .seconds(90))
        #expect(configuration.imagesCapacity == 5 << 30 && configuration.imagesPacking == .lz4)
        #expect(try read(configuration.file()) == configuration)
    }

    private static let everyKey = """
        [node]
        name = "node-7.example"
        labels.zone = "a"
        labels."example.org/disk" = "ssd"
        [socket]
        path = "/s/a"
        mode = 0o600
        group = "alcove"
        allowed_users = [0, 1000]
        keepalive = "1m"
        keepalive_timeout = "5s"
        [monitor]
        path = "/s/m"
        mode = "0666"
        group = 7
        [directories]
        state = "/s/state"
        scratch = "/s/scratch"
        [images]
        capacity = "5GiB"
        packing = "lz4"
        [sandboxes]
        init = "/opt/init"
        cgroup = "other"
        process_isolation = false
        microvms = "never"
        monitor = "/opt/monitor"
        limits = "best-effort"
        log_size = "1MiB"
        spare_networks = 0
        [starts]
        in_flight = 2
        queue = 0
        queue_timeout = "250ms"
        [network]
        enabled = true
        slots = "10.0.0.0/20"
        uplink = "10.1.0.0/30"
        link = "up"
        router = "/s/router"
        management = ["10.9.0.0/16", "192.0.2.7"]
        underlay = "192.0.2.1"
        tunnel_port = 4790
        mtu = 8900
        name_servers = ["192.0.2.53"]
        least_ready = 1
        most_ready = 2
        [capacity]
        kept_cpus = "0.5"
        kept_memory = "1GiB"
        kept_pids = 9
        kept_disk = 2048
        overcommit_cpu_permille = 4000
        overcommit_memory_permille = 1100
        max_sandboxes = 10
        addresses = 20
        default_cpus = 2
        default_memory = "16MiB"
        default_pids = 3
        default_disk = "1MiB"
        [events]
        kept = 5000
        [control_plane]
        socket = "/s/c"
        [metrics]
        path = ""
        mode = 0o644
        group = "prometheus"
        port = 9464
        [log]
        level = "debug"
        format = "json"
        [shutdown]
        drain_deadline = "90s"
        """

    @Test(
        "each mistake is one line that says where, what, and what to write",
        arguments: [
            (
                "[sockets]\npath = \"/a\"",
                [
                    "1:1: unknown table `sockets` (did you mean `[socket]`?)",
                    "2:1: unknown key `sockets.path` (did you mean `socket.path`?)",
                ]
            ),
            (
                "[socket]\npaht = \"/a\"",
                ["2:1: unknown key `socket.paht` (did you mean `socket.path`?)"]
            ),
            (
                "drain_deadline = \"1s\"",
                ["1:1: unknown key `drain_deadline` (did you mean `shutdown.drain_deadline`?)"]
            ),
            (
                "xyzzy = 1",
                ["1:1: unknown key `xyzzy` (`alcoved --help-config` lists the keys)"]
            ),
            (
                "[socket]\npath = 1",
                [
                    "2:8: `socket.path`: it takes a path, not an integer "
                        + "(as in `\"/run/alcove/agent.sock\"`)"
                ]
            ),
            ("socket.path = \"a/b\"", ["1:15: `socket.path`: `a/b` does not begin with `/`"]),
            ("socket.path = \"\"", ["1:15: `socket.path`: `` does not begin with `/`"]),
            (
                "socket.path = \"/a/../b\"",
                [
                    "1:15: `socket.path`: `/a/../b` has an empty name, `.` or `..`"
                ]
            ),
            (
                "socket.path = \"/\(String(repeating: "x", count: 107))\"",
                [
                    "1:15: `socket.path`: a path of more than 107 bytes"
                ]
            ),
            (
                "socket.mode = 660",
                [
                    "1:15: `socket.mode`: it takes permissions with which the agent's "
                        + "own user reads and writes (as in `0o660`, where the `0o` makes it octal)"
                ]
            ),
            ("starts.in_flight = 0", ["1:20: `starts.in_flight`: 0 is not between 1 and 1024"]),
            ("starts.in_flight = -1", ["1:20: `starts.in_flight`: -1 is not between 1 and 1024"]),
            ("metrics.port = 65536", ["1:16: `metrics.port`: 65536 is not between 0 and 65535"]),
            (
                "starts.queue_timeout = 10",
                [
                    "1:24: `starts.queue_timeout`: it takes a duration, not an integer "
                        + "(as in `\"10s\"`)"
                ]
            ),
            (
                "starts.queue_timeout = \"10\"",
                [
                    "1:24: `starts.queue_timeout`: `10` is not a duration (add the "
                        + "unit, as in `10s`)"
                ]
            ),
            (
                "capacity.kept_memory = \"1GB\"",
                [
                    "1:24: `capacity.kept_memory`: `1GB` is not a size (did you mean `1GiB`?)"
                ]
            ),
            (
                "log.level = \"warn\"",
                [
                    "1:13: `log.level`: `warn` is none of \"error\", \"warning\", "
                        + "\"info\", \"debug\" "
                        + "(did you mean `warning`?)"
                ]
            ),
            (
                "socket.allowed_users = [1, 1]",
                [
                    "1:24: `socket.allowed_users`: the user 1 is given twice"
                ]
            ),
            (
                "socket.allowed_users = [-1]",
                [
                    "1:24: `socket.allowed_users`: it takes the numbers of users"
                ]
            ),
            ("socket.group = \"a b\"", ["1:16: `socket.group`: \"a b\" is no group's name"]),
            (
                "node.name = \"-a\"",
                [
                    "1:13: `node.name`: it takes letters, digits, `.`, `_` and `-`, "
                        + "with a letter or a digit first and last"
                ]
            ),
            (
                "node.labels = \"a\"",
                [
                    "1:1: `node.labels` is a table (write `[node.labels]`)"
                ]
            ),
            (
                "[node.labels]\nzone = 1",
                [
                    "2:8: `node.labels.zone`: it takes a text, not an integer (as in `\"a\"`)"
                ]
            ),
            (
                "socket.path = \"/a\"\nmonitor.path = \"/a\"",
                [
                    " `socket.path` and `monitor.path` are the same path, /a"
                ]
            ),
            ("a = 1\na = 2", ["2:1: `a` is given twice (the first is in line 1)"]),
        ] as [(String, [String])])
    func mistakes(_ text: String, _ expected: [String]) {
        #expect(problems(text) == expected.map { "alcoved.toml:" + $0 })
    }

    @Test("an unknown key is shown safely and cut, whatever is in it")
    func hostileKey() throws {
        let line = try #require(
            problems("\"\u{1B}[31m\(String(repeating: "x", count: 3000))\" = 1").first)
        #expect(!line.unicodeScalars.contains("\u{1B}") && line.count < 300)
    }

    @Test("at most twenty mistakes are told")
    func manyMistakes() {
        #expect(problems((0..<50).map { "x\($0) = 1\n" }.joined()).count == 20)
    }

    @Test("a file is loaded by its path, and one that is not there is an error that says so")
    func files() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("alcoved.toml")
        try "[log]\nlevel = \"error\"\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try AgentConfiguration.load(path).logLevel == .error)
        let missing = folder.path("missing.toml")
        let error = #expect(throws: ConfigurationError.self) {
            try AgentConfiguration.load(missing)
        }
        #expect(error?.description == "\(missing): No such file or directory")
        #expect(throws: ConfigurationError.self) { try AgentConfiguration.load(folder.path) }
        #expect(throws: ConfigurationError.self) { try AgentConfiguration.load("/dev/zero") }
    }

    @Test(
        "whatever bytes a file holds, reading it ends with a configuration or with problems",
        arguments: [11, 12, 13] as [UInt64])
    func fuzz(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let good = Array(Self.everyKey.utf8)
        var read = 0
        for _ in 0..<300 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.removeSubrange(place..<min(bytes.count, place + 5))
                default: bytes.insert(contentsOf: bytes[place...].prefix(9), at: place)
                }
            }
            do throws(ConfigurationError) {
                let configuration = try AgentConfiguration.read(bytes, source: "f")
                read += 1
                let again = try AgentConfiguration.read(
                    Array(configuration.file().utf8), source: "again")
                #expect(again == configuration, "seed \(seed)")
            } catch {
                #expect(error.source == "f" && !error.problems.isEmpty, "seed \(seed): \(error)")
                #expect(!error.description.utf8.contains(0x1B), "seed \(seed)")
            }
        }
        #expect(read > 0)
    }
}
