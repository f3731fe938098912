import SandboxModel
import Testing

/// The whole plan of each kind of sandbox, as it is printed. A change of order shows here first.
@Suite struct SandboxPlanTests {
    private func lines(_ plan: SandboxPlan) -> [String] {
        plan.steps.map { "\($0.performer.rawValue): \($0)" }
    }

    private let beforeProcess = [
        "host: create cgroup `/cgroups/alcove/sandbox-1`",
        "host: clone image `/images/base`",
    ]
    private let processLimits = [
        "child: limit core to 0:0", "child: limit nofile to 1024:4096",
        "child: limit rtprio to 0:0",
    ]
    private let inside = [
        "child: mount `/proc`", "child: mount `/dev`", "child: mount `/dev/pts`",
        "child: mount `/tmp`", "child: mask `/proc/acpi`, `/proc/keys`",
        "child: make read-only `/proc/bus`, `/proc/sys`", "child: set hostname `sandbox`",
    ]
    private let privileges = [
        "child: drop capabilities from the bounding set", "child: drop supplementary groups",
        "child: become user 0, group 0", "child: drop all capabilities",
        "child: change directory to `/`", "child: forbid new privileges",
        "child: close all other descriptors on exec",
        "child: load system-call filter, a denied call kills",
        "child: execute `/bin/app --serve` by alcove-init",
    ]

    @Test("the plan of a writable root")
    func writable() {
        #expect(
            lines(Sample.plan()) == beforeProcess + [
                "host: create process in new mount, pid, ipc, uts, network namespaces,"
                    + " inside its cgroup",
                "child: enter new cgroup namespace", "child: make mounts private",
                "child: make scratch memory of 64 MiB",
                "child: mount image below a writable layer",
                "child: make process file system", "child: create devices",
                "child: enter new root",
            ] + inside + ["child: raise loopback"] + processLimits + privileges)
    }

    @Test("the plan of a read-only root")
    func readOnly() {
        #expect(
            lines(Sample.plan { $0.root = .readOnly }) == beforeProcess + [
                "host: create process in new mount, pid, ipc, uts, network namespaces,"
                    + " inside its cgroup",
                "child: enter new cgroup namespace", "child: make mounts private",
                "child: make scratch memory of 64 MiB", "child: mount image read-only",
                "child: make process file system", "child: create devices",
                "child: enter new root",
            ] + inside + ["child: raise loopback"] + processLimits + privileges)
    }

    @Test("the monitor of a microVM gets KVM and its guest's disks, and nothing else more")
    func machine() {
        let plan = Sample.plan {
            $0.root = .readOnly
            $0.machine = MachineParts(files: [
                MachineParts.File("layer-0", at: "/store/a"),
                MachineParts.File("scratch", at: "/store/b", isWritable: true),
            ])
        }
        let without = lines(Sample.plan { $0.root = .readOnly })
        let more = lines(plan).filter { !without.contains($0) }
        #expect(
            more == [
                "child: create `/dev/kvm`, clone `/store/a`, `/store/b`",
                "child: mount `/dev/layer-0`, `/dev/scratch`",
            ])
        let order = plan.steps.map { "\($0)" }
        let places = [
            "create devices", more[0].dropFirst(7), "enter new root", "mount `/dev`",
            more[1].dropFirst(7),
        ].map { step in order.firstIndex { $0 == step } ?? -1 }
        #expect(places == places.sorted() && !places.contains(-1))
    }

    @Test("scratch space on the disk is made by the host, and mounted by the child")
    func scratchOnDisk() {
        let memory = lines(Sample.plan())
        let disk = lines(
            Sample.plan {
                $0.scratchPlace = .disk
                $0.scratchBytes = 1 << 30
            })
        let change = disk.difference(from: memory)
        #expect(
            change.insertions.map(\.line) == [
                "host: make a file system of 1 GiB on the disk",
                "child: mount scratch space on the disk",
            ])
        #expect(change.removals.map(\.line) == ["child: make scratch memory of 64 MiB"])
    }

    @Test("the plan of a user namespace")
    func userNamespace() {
        let plan = Sample.plan {
            $0.identityMaps = [
                .init(inside: 0, outside: 100_000, count: 1000),
                .init(inside: 1000, outside: 5000, count: 1),
            ]
        }
        #expect(
            lines(plan) == beforeProcess + [
                "host: create process in new mount, pid, ipc, uts, network, user namespaces,"
                    + " inside its cgroup",
                "child: await identity maps `0:100000:1000 1000:5000:1`",
                "child: enter new cgroup namespace", "child: make mounts private",
                "child: make scratch memory of 64 MiB",
                "child: mount image below a writable layer",
                "child: make process file system", "child: bind devices",
                "child: enter new root",
            ] + inside + ["child: raise loopback"] + processLimits + privileges)
    }

    @Test("the plan of a terminal")
    func terminal() {
        #expect(
            lines(Sample.plan { $0.terminal = true }).suffix(14) == [
                "child: raise loopback", "child: open terminal",
            ] + processLimits + privileges)
    }

    @Test("the plan with a pooled network namespace")
    func pooled() {
        #expect(
            lines(Sample.plan(.pooled)) == beforeProcess + [
                "host: create process in new mount, pid, ipc, uts namespaces, inside its cgroup",
                "child: enter new cgroup namespace", "child: join network namespace made ahead",
                "child: make mounts private", "child: make scratch memory of 64 MiB",
                "child: mount image below a writable layer",
                "child: make process file system", "child: create devices",
                "child: enter new root",
            ] + inside + processLimits + privileges)
    }

    @Test("the plan of a host that does nothing else drops the bounding set first, and once")
    func dedicated() {
        let plan = SandboxPlan(
            for: Sample.spec(), on: Sample.node, cgroup: nil, boundingSet: .host)
        let found = lines(plan)
        #expect(found.first == "host: drop capabilities from the bounding set")
        #expect(found.count { $0.contains("bounding set") } == 1)
        #expect(found.suffix(8) == privileges.dropFirst())
    }

    @Test("the plan with limits, and other values everywhere")
    func limits() {
        let plan = Sample.plan {
            $0.limits.memoryBytes = 64 << 20
            $0.limits.milliCPUs = 1500
            $0.limits.pids = 9
            $0.limits.writeBytesPerSecond = 4096
            $0.processLimits = [.init(.stack, soft: 4096, hard: .max)]
            $0.deniedCalls = .errno
            $0.user = .init(user: 7, group: 8)
            $0.workingDirectory = "/data"
            $0.hostname = "web-1"
        }
        let found = lines(plan)
        #expect(
            found[1...6] == [
                "host: set `memory.max` to `67108864`", "host: set `memory.swap.max` to `0`",
                "host: set `memory.oom.group` to `1`", "host: set `cpu.max` to `150000 100000`",
                "host: set `pids.max` to `9`", "host: set `io.max` to `8:0 wbps=4096`",
            ])
        #expect(found.contains("child: set hostname `web-1`"))
        #expect(
            found.suffix(10) == [
                "child: limit stack to 4096:unlimited",
                "child: drop capabilities from the bounding set",
                "child: drop supplementary groups", "child: become user 7, group 8",
                "child: drop all capabilities", "child: change directory to `/data`",
                "child: forbid new privileges", "child: close all other descriptors on exec",
                "child: load system-call filter, a denied call fails",
                "child: execute `/bin/app --serve` by alcove-init",
            ])
    }

    @Test("the plan of a host without a version 2 tree has no cgroup")
    func noCgroup() {
        let plan = SandboxPlan(for: Sample.spec(), on: Sample.node, cgroup: nil)
        #expect(
            lines(plan).prefix(2) == [
                "host: clone image `/images/base`",
                "host: create process in new mount, pid, ipc, uts, network namespaces",
            ])
    }

    @Test("nothing to mask reads as nothing")
    func nothingMasked() {
        var node = Sample.node
        node.maskedPaths = []
        node.readOnlyPaths = []
        let found = lines(Sample.plan(on: node))
        #expect(found.contains("child: mask nothing"))
        #expect(found.contains("child: make read-only nothing"))
    }

    @Test("the table for the documentation has a row for each step, and no bar breaks it")
    func table() {
        let plan = Sample.plan { $0.command = ["/bin/sh", "-c", "a | b"] }
        let rows = PlanDocument.table(of: plan).split(separator: "\n")
        #expect(rows.count == plan.steps.count + 2)
        #expect(rows.last?.contains("a \\| b") == true)
    }
}

extension CollectionDifference<String>.Change {
    fileprivate var line: String {
        switch self {
        case .insert(_, let line, _), .remove(_, let line, _): line
        }
    }
}
