import AgentAPI
import AgentViews
import Console
import Testing

/// What the agent says, as people read it.
@Suite struct AgentTextTests {
    /// 2026-01-31T12:00:05.123456789Z
    static let now: Int64 = 1_769_860_805_123_456_789
    static let second: Int64 = 1_000_000_000

    static let sandboxes = [
        Sandbox(
            id: "web-1",
            spec: SandboxSpec(
                image: "base", command: ["/bin/app", "--name", "it's a b"],
                limits: Limits(memoryBytes: 128 << 20, milliCPUs: 500, pids: 64)),
            state: .running, isolation: .process, pid: 77,
            createdAtNanoseconds: now - 200 * second,
            limits: [
                LimitStatus(kind: .memory, request: "128 MiB", holds: true),
                LimitStatus(
                    kind: .cpu, request: "0.5 CPU", holds: false,
                    reason: "no cgroup v2 `cpu` controller (hybrid mode)"),
            ]),
        Sandbox(
            id: "job",
            spec: SandboxSpec(image: "/srv/tree", command: ["true\u{1b}[31m"]), state: .stopped,
            createdAtNanoseconds: now - 100_000 * second,
            outcome: Outcome(ending: Ending(how: .ended(Exit(how: .code(3)))), exitCode: 3)),
    ]

    @Test("sandboxes are a row each; limits that do not hold stand in parentheses")
    func sandboxTable() {
        #expect(
            SandboxText.table(Self.sandboxes, now: Self.now) == #"""
                ID     STATE                   IMAGE       CPUS   MEMORY  PIDS     AGE  \#
                COMMAND
                web-1  running                 base       (0.5)  128 MiB    64  3m 20s  \#
                /bin/app --name 'it'\''s a b'
                job    stopped: exited with 3  /srv/tree                         1d 3h  \#
                true\u{1b}[31m

                """#)
        #expect(
            SandboxText.warnings(Self.sandboxes[0]) == [
                "the cpu limit of 0.5 CPU does not hold:"
                    + " no cgroup v2 `cpu` controller (hybrid mode)"
            ])
    }

    @Test("a table is no wider than the terminal", arguments: [40, 60, 80])
    func widths(width: Int) {
        let table = SandboxText.table(Self.sandboxes, now: Self.now, width: width)
        #expect(table.split(separator: "\n").allSatisfy { $0.count <= max(width, 46) }, "\(table)")
    }

    @Test("each way to end has words of its own")
    func endings() {
        let endings: [(Ending.How?, String)] = [
            (.ended(Exit(how: .code(0))), "exited with 0"),
            (.ended(Exit(how: .signal(.init(number: 9, name: "SIGKILL")))), "ended by SIGKILL"),
            (.denied(.init(call: "mount")), "killed by the denied call mount"),
            (.outOfMemory(.init()), "out of memory"), (.timedOut(.init()), "timed out"),
            (.failed(.init(message: "no such image")), "no such image"), (nil, "ended with 7"),
        ]
        for (how, words) in endings {
            #expect(SandboxText.ending(Outcome(ending: Ending(how: how), exitCode: 7)) == words)
        }
    }

    @Test("events are one line each")
    func events() {
        let outcome = Outcome(ending: Ending(how: .timedOut(.init())))
        let kinds: [(Event.Kind?, String)] = [
            (
                .created(.init(spec: SandboxSpec(image: "base"), isolation: .process)),
                "created from base as a process sandbox"
            ),
            (
                .stateChanged(.init(before: .running, after: .stopped, outcome: outcome)),
                "running → stopped: timed out"
            ),
            (
                .resourcesUpdated(.init(limits: Limits(memoryBytes: 1 << 30, milliCPUs: 1500))),
                "limits changed: cpus 1.5, memory 1 GiB"
            ),
            (.removed(.init()), "removed"),
            (.adopted(.init(state: .paused)), "taken over by the agent, paused"),
            (.undone(.init(operation: "create")), "a half-done create was undone"),
            (.agentStarted(.init(version: "0.2.0")), "agent 0.2.0 started"),
            (.drainEnded(.init()), "draining ended"),
            (nil, "something that this version does not know"),
        ]
        for (kind, words) in kinds {
            let event = Event(
                number: 12, atNanoseconds: Self.now, sandboxID: "web-1", kind: kind)
            #expect(EventText.line(event) == "12  2026-01-31T12:00:05.123Z  web-1  \(words)\n")
        }
        let drain = Event(
            number: 1, atNanoseconds: 0,
            kind: .drainStarted(.init(deadlineAtNanoseconds: Self.now)))
        #expect(
            EventText.line(drain)
                == "1  1970-01-01T00:00:00.000Z  node  draining until 2026-01-31T12:00:05Z\n")
    }

    @Test("statistics show the CPU between two measurements, and nothing that was not measured")
    func stats() {
        let before = StatsResponse(
            atNanoseconds: Self.now, cpu: .init(userMicroseconds: 1_000_000))
        let after = StatsResponse(
            atNanoseconds: Self.now + 2 * Self.second,
            cpu: .init(userMicroseconds: 1_500_000, systemMicroseconds: 500_000),
            memory: .init(currentBytes: 3 << 19, limitBytes: 128 << 20),
            pids: .init(current: 3, limit: 64))
        #expect(
            StatsText.table([
                .init(id: "web-1", sample: UsageSample(after, after: before)),
                .init(id: "job", sample: UsageSample(before)),
            ]) == """
                ID     CPU  CPU TIME             MEMORY    PIDS  READ  WRITTEN  RECEIVED  SENT
                web-1  50%    2.00 s  1.5 MiB / 128 MiB  3 / 64
                job           1.00 s

                """)
    }

    static let capacity = Capacity(
        version: 9, atNanoseconds: now,
        total: Resources(milliCPUs: 4000, memoryBytes: 8 << 30, pids: 1000, sandboxes: 100),
        allocatable: Resources(milliCPUs: 3000, memoryBytes: 6 << 30, pids: 1000, sandboxes: 100),
        reserved: Resources(milliCPUs: 2000, memoryBytes: 3 << 30, pids: 10, sandboxes: 2),
        inUse: Resources(milliCPUs: 1000, memoryBytes: 4 << 30, pids: 5, sandboxes: 2),
        overheads: [
            Overhead(isolation: .process, fixed: Resources(memoryBytes: 1 << 20, pids: 1)),
            Overhead(
                isolation: .microvm, fixed: Resources(memoryBytes: 2 << 20, pids: 1),
                measuredAtNanoseconds: 1, measured: Resources(memoryBytes: 3 << 19, pids: 1),
                source: "PSS of its processes"),
        ],
        overCommit: OverCommit(cpuPermille: 1500, memoryPermille: 1000), startsLimit: 16,
        images: ["base", "web"], cpuPressure: Pressure(some: .init(average10: 1.25)),
        conditions: [Condition(kind: .draining, message: "no new sandboxes")])

    @Test("the capacity has a bar for each resource")
    func capacity() {
        #expect(
            CapacityText.text(Self.capacity, width: 78) == """
                                                 RESERVED  ALLOCATABLE  IN USE  TOTAL
                cpus       █████▒▒▒▒▒░░░░░·····         2            3       1      4
                memory     ██████████░░░░░·····     3 GiB        6 GiB   4 GiB  8 GiB
                pids       █░░░░░░░░░░░░░░░░░░░        10         1000       5   1000
                disk       ····················       0 B          0 B     0 B    0 B
                addresses  ····················         0            0       0      0
                sandboxes  █░░░░░░░░░░░░░░░░░░░         2          100       2    100
                █ in use  ▒ reserved  ░ free  · kept back

                starts       0 of 16 in flight, 0 waiting
                pressure     cpu 1.25%
                over-commit  cpu ×1.50, memory ×1.00
                overhead     process: memory 1 MiB, pids 1 (built in)
                overhead     microvm: memory 2 MiB, pids 1 (measured memory 1.5 MiB, pids 1 at
                             1970-01-01T00:00:00Z: PSS of its processes)
                condition    draining: no new sandboxes
                images       base web
                version      9, 2026-01-31T12:00:05Z

                """)
    }

    @Test("a picture of `top` has the busiest first, and fits", arguments: [11, 14, 40])
    func top(height: Int) {
        let node = InfoResponse(
            nodeName: "node-1", version: "0.2.0",
            agentStartedAtNanoseconds: Self.now - 3600 * Self.second)
        let busy = UsageSample(
            StatsResponse(
                atNanoseconds: Self.now + Self.second, cpu: .init(userMicroseconds: 900_000)),
            after: StatsResponse(atNanoseconds: Self.now, cpu: .init()))
        let idle = Sandbox(id: "a-idle", state: .paused)
        let rows = [
            TopFrame.Row(sandbox: idle, sample: nil),
            TopFrame.Row(sandbox: Self.sandboxes[0], sample: busy),
        ]
        let frame = TopFrame(node: node, capacity: Self.capacity, rows: rows, now: Self.now)
        let lines = frame.lines(width: 90, height: height)
        #expect(lines.count <= height && lines.allSatisfy { $0.count <= 90 })
        #expect(lines[0] == "node-1  agent 0.2.0, up 1h  2026-01-31T12:00:05Z")
        #expect(lines[1] == "sandboxes  1 running, 1 paused")
        if height == 40 {
            let ids = lines.suffix(2).map { $0.prefix { $0 != " " } }
            #expect(ids == ["web-1", "a-idle"], "\(lines)")
        } else if height == 11 {
            #expect(lines.last?.hasPrefix("… ") == true, "\(lines)")
        }
    }

    @Test("logs get their time where a line begins")
    func logs() {
        var writer = LogWriter(withTimestamps: true)
        let time = Array("2026-01-31T12:00:05.123456Z ".utf8)
        func entry(_ text: String, _ stream: LogStream, partial: Bool = false) -> LogEntry {
            LogEntry(
                stream: stream, atNanoseconds: Self.now, data: Array(text.utf8), partial: partial)
        }
        #expect(writer.bytes(entry("a", .stdout, partial: true)) == time + [97])
        #expect(writer.bytes(entry("e\n", .stderr)) == time + [101, 10])
        #expect(writer.bytes(entry("b\n", .stdout)) == [98, 10])
        #expect(writer.bytes(entry("c\n", .stdout)) == time + [99, 10])
        var plain = LogWriter(withTimestamps: false)
        #expect(plain.bytes(entry("a", .stdout)) == [97])
        #expect(LogWriter.loss(LogEntry(lost: 1)) == "a line is lost: older log files were removed")
        #expect(LogWriter.loss(LogEntry()) == nil)
    }

    @Test("a node and its draining are told")
    func node() {
        #expect(
            NodeText.drain(DrainResponse(remaining: 1, draining: true))
                == "the node takes no new sandboxes: 1 sandbox left\n")
        #expect(NodeText.drain(DrainResponse()) == "the node takes sandboxes (0 sandboxes left)\n")
        let info = InfoResponse(
            nodeName: "n", nodeID: "1-2", version: "0.2.0", kernel: "6.18.5",
            architecture: "x86_64", agentStartedAtNanoseconds: Self.now - 90 * Self.second,
            cpu: CPUModel(name: "A CPU", count: 2),
            isolations: [
                OfferedIsolation(kind: .process, offered: true, preferred: true),
                OfferedIsolation(kind: .microvm, reason: "KVM is slow here"),
            ], labels: ["zone": "b", "disk": "fast one"])
        #expect(
            NodeText.info(info, now: Self.now) == """
                node     n
                id       1-2
                labels   disk=fast one, zone=b
                agent    0.2.0, up 1m 30s
                kernel   6.18.5 x86_64
                booted   1970-01-01T00:00:00Z
                cpu      2 × A CPU
                process  offered, chosen by auto
                microvm  not offered: KVM is slow here

                """)
    }
}
