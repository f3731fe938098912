import KVM
import LinuxKernel
import Testing

@testable import HostReport

@Suite struct HostReportTests {
    /// A host that has all.
    static let complete: HostFacts = {
        var facts = HostFacts()
        facts.release = "6.12.9-amd64"
        facts.architecture = "x86_64"
        facts.interfaces = Set(KernelInterface.allCases)
        facts.namespaces = Set(HostSubject.namespaceKinds)
        facts.largestUserNamespaceCount = 96365
        facts.seccompActions = ["kill_process", "user_notif", "allow"]
        facts.hasPressure = true
        facts.effectiveUser = 0
        facts.capabilities = Set(0...40)
        facts.openFiles = HostFacts.OpenFileLimit(soft: 65536, hard: .max)
        facts.cgroups = CgroupHierarchy(
            mode: .unified, root: "/sys/fs/cgroup", controllers: ["cpu", "memory", "pids", "io"])
        facts.cgroupKill = .present
        facts.cgroupFreeze = .present
        facts.fileSystems = ["tmpfs", "proc", "devpts", "overlay"]
        facts.memoryBytes = 8 << 30
        facts.cpuCount = 4
        facts.initPath = "/usr/lib/alcove/alcove-init"
        facts.initProgram = .executable
        facts.trial = .started(nanoseconds: 2_345_678)
        facts.kvm = .open(version: 12)
        facts.guestSpeed = measured(0.31)
        return facts
    }()

    static func measured(_ nanoseconds: Double) -> GuestSpeed {
        .measured(
            GuestSpeedMeasurement(
                nanosecondsPerInstruction: nanoseconds, instructions: 200, pairs: 7))
    }

    private func check(_ name: String, _ facts: HostFacts) throws -> HostCheck {
        try #require(HostReport(facts).checks.first { $0.subject.name == name })
    }

    @Test("a host that has all is good in each check, and gets microVMs")
    func complete() throws {
        let report = HostReport(Self.complete)
        for check in report.checks {
            #expect(check.state == .good, "\(check.subject.name): \(check.found)")
            #expect(check.remedy == nil)
        }
        #expect(report.canStart)
        #expect(report.isolation == .microvm)
        #expect(try check("open-files", Self.complete).found == "65536 of unlimited")
        #expect(try check("sandbox-start", Self.complete).found == "2.35 ms to its end")
    }

    @Test("each subject is checked once, in the order of the docs")
    func order() {
        for facts in [Self.complete, HostFacts()] {
            #expect(HostReport(facts).checks.map(\.subject) == HostSubject.all)
        }
        #expect(Set(HostSubject.all.map(\.name)).count == HostSubject.all.count)
    }

    @Test("every subject has a meaning and a remedy, and groups stay together")
    func texts() {
        for subject in HostSubject.all {
            #expect(!subject.meaning.isEmpty && !subject.remedy.isEmpty, "\(subject.name)")
            #expect(!subject.meaning.hasSuffix(".") && !subject.remedy.hasSuffix("."))
        }
        var groups: [HostSubject.Group] = []
        for subject in HostSubject.all where groups.last != subject.group {
            groups.append(subject.group)
        }
        #expect(groups == HostSubject.Group.allCases)
    }

    @Test("where nothing is known nothing is good, and no sandbox starts")
    func nothing() {
        let report = HostReport(HostFacts())
        #expect(!report.canStart)
        #expect(report.isolation == .process)
        for check in report.checks {
            #expect(check.state != .good, "\(check.subject.name)")
            #expect(check.remedy != nil)
        }
    }

    typealias Change = @Sendable (inout HostFacts) -> Void

    private static let losses: [(name: String, state: HostCheck.State, change: Change)] = [
        ("kernel-release", .missing, { $0.release = "5.10.0-30-amd64" }),
        ("architecture", .missing, { $0.architecture = "aarch64" }),
        ("clone3", .missing, { $0.interfaces.remove(.clone3) }),
        ("clone-into-cgroup", .missing, { $0.interfaces.remove(.cloneIntoCgroup) }),
        ("mount-interface", .missing, { $0.interfaces.remove(.setMountAttributes) }),
        ("seccomp-notify", .missing, { $0.seccompActions.remove("user_notif") }),
        ("namespace-net", .missing, { $0.namespaces.remove("net") }),
        ("namespace-user", .limited, { $0.namespaces.remove("user") }),
        ("user-namespaces", .limited, { $0.largestUserNamespaceCount = 0 }),
        ("pressure", .limited, { $0.hasPressure = false }),
        ("root", .missing, { $0.effectiveUser = 1000 }),
        ("capabilities", .missing, { $0.capabilities.remove(21) }),
        ("cap-sys-resource", .limited, { $0.capabilities.remove(24) }),
        ("open-files", .limited, { $0.openFiles = HostFacts.OpenFileLimit(soft: 256, hard: 512) }),
        ("cgroup-kill", .missing, { $0.cgroupKill = .absent }),
        ("cgroup-freeze", .limited, { $0.cgroupFreeze = .absent }),
        ("tmpfs", .missing, { $0.fileSystems.remove("tmpfs") }),
        ("overlay", .limited, { $0.fileSystems.remove("overlay") }),
        ("alcove-init", .missing, { $0.initProgram = .absent }),
        ("sandbox-start", .missing, { $0.trial = .failed(reason: "mount `/proc`: no") }),
        ("kvm-device", .missing, { $0.kvm = .absent }),
        ("kvm-device", .limited, { $0.kvm = .notPermitted }),
        ("kvm-version", .limited, { $0.kvm = .open(version: 11) }),
        ("kvm-speed", .limited, { $0.guestSpeed = measured(2000) }),
    ]

    @Test("what is lost is seen at its place, and stops sandboxes where it is required")
    func losses() throws {
        for (name, state, change) in Self.losses {
            var facts = Self.complete
            change(&facts)
            let report = HostReport(facts)
            let check = try check(name, facts)
            #expect(check.state == state, "\(name)")
            #expect(check.remedy == check.subject.remedy, "\(name)")
            #expect(
                report.canStart == !(state == .missing && check.subject.isRequired), "\(name)")
        }
    }

    @Test("a hybrid host loses each limit by itself, and still starts sandboxes")
    func hybrid() throws {
        var facts = Self.complete
        facts.cgroups = CgroupHierarchy(
            mode: .hybrid, root: "/sys/fs/cgroup/unified", controllers: ["pids"])
        #expect(try check("cgroup-mode", facts).found == "hybrid, v2 at /sys/fs/cgroup/unified")
        #expect(try check("cgroup-memory", facts).state == .limited)
        #expect(try check("cgroup-pids", facts).state == .good)
        #expect(HostReport(facts).canStart)
    }

    @Test("a host without cgroup v2 starts sandboxes, since nothing needs cgroup.kill there")
    func legacy() throws {
        var facts = Self.complete
        facts.cgroups = CgroupHierarchy(mode: .legacy, root: nil, controllers: [])
        facts.cgroupKill = .absent
        facts.cgroupFreeze = .absent
        #expect(try check("cgroup-kill", facts).state == .limited)
        #expect(HostReport(facts).canStart)
    }

    @Test("what may not be looked at is judged by the kernel's release")
    func unknown() throws {
        var facts = Self.complete
        facts.cgroupKill = .unknown
        #expect(try check("cgroup-kill", facts).found == "since Linux 5.14; not looked at")
        facts.release = "5.13.2"
        #expect(try check("cgroup-kill", facts).state == .missing)
    }

    @Test("missing capabilities are named")
    func capabilities() throws {
        var facts = Self.complete
        facts.capabilities = [6, 7, 8, 24]
        let found = try check("capabilities", facts).found
        #expect(found == "without cap_net_admin, cap_sys_admin, cap_mknod")
    }

    @Test("`auto` chooses by the measured speed alone, and says why")
    func isolation() throws {
        let refused = SystemCallError(call: "open", errorNumber: .permissionDenied)
        let cases: [(GuestSpeed, String)] = [
            (Self.measured(0.4), "microvm"),
            (Self.measured(1963), "process, since KVM emulates guest kernel mode"),
            (.absent, "process, since there is no KVM"),
            (.notPermitted(refused), "process, since KVM may not be used"),
            (.unusable(.unexpectedExit(.shutdown)), "process, since KVM runs no guest"),
            (.notMeasured, "process, since KVM's speed was not measured"),
        ]
        for (speed, words) in cases {
            var facts = Self.complete
            facts.guestSpeed = speed
            #expect(try check("isolation", facts).found == words)
            #expect(HostReport(facts).isolation == (speed.isFast ? .microvm : .process))
            #expect(HostReport(facts).canStart)
        }
    }

    @Test(
        "numbers have two decimals below 100",
        arguments: [
            (0.0, "0.00"), (0.304, "0.30"), (2.345678, "2.35"), (99.99, "99.99"), (1963.4, "1963"),
            (-0.5, "-0.50"), (Double.infinity, "inf"),
        ])
    func decimals(value: Double, text: String) {
        #expect(Decimals.text(value) == text)
    }
}
