internal import LinuxKernel

extension LastingSandbox {
    /// What it uses now.
    public func statistics() -> SandboxStatistics {
        var statistics = SandboxStatistics()
        statistics.atNanoseconds = RealClock.nanoseconds
        let files = CgroupFiles(cgroup)
        statistics.cpu = files.cpu
        statistics.memory = files.memory
        statistics.pids = files.pids
        statistics.io = files.io
        statistics.cpuPressure = files.pressure("cpu.pressure")
        statistics.memoryPressure = files.pressure("memory.pressure")
        statistics.ioPressure = files.pressure("io.pressure")
        statistics.network = network
        return statistics
    }

    /// Nothing of one that has ended: its number may be another process's by now.
    private var network: SandboxStatistics.Network? {
        guard let table = try? Files.read("/proc/\(pid)/net/dev") else { return nil }
        var interests = [Readiness.Interest(processDescriptor)]
        guard (try? Readiness.wait(for: &interests, waits: false)) != nil, !interests[0].isReady
        else { return nil }
        return SandboxStatistics.Network(table: table)
    }

    /// The numbers that a cgroup tells, file by file: a controller that is not there has none.
    private struct CgroupFiles {
        let texts: [String: String]

        private static let names = [
            "cpu.stat", "memory.current", "memory.peak", "memory.swap.current", "memory.max",
            "memory.events", "pids.current", "pids.max", "io.stat", "cpu.pressure",
            "memory.pressure", "io.pressure", "cgroup.procs",
        ]

        init(_ cgroup: borrowing Cgroup) {
            var texts: [String: String] = [:]
            for name in Self.names { texts[name] = try? cgroup.read(name) }
            self.texts = texts
        }

        func number(_ file: String) -> UInt64? {
            texts[file].flatMap { UInt64($0.prefix { $0 != "\n" }) }
        }

        func table(_ file: String) -> [Substring: UInt64]? {
            texts[file].map { SandboxStatistics.table($0) }
        }

        var cpu: SandboxStatistics.CPU? {
            table("cpu.stat").map { table in
                var cpu = SandboxStatistics.CPU()
                cpu.userMicroseconds = table["user_usec"] ?? 0
                cpu.systemMicroseconds = table["system_usec"] ?? 0
                cpu.throttledMicroseconds = table["throttled_usec"] ?? 0
                cpu.throttledPeriods = table["nr_throttled"] ?? 0
                return cpu
            }
        }

        var memory: SandboxStatistics.Memory? {
            number("memory.current").map { current in
                var memory = SandboxStatistics.Memory()
                memory.currentBytes = current
                memory.peakBytes = number("memory.peak") ?? current
                memory.swapBytes = number("memory.swap.current") ?? 0
                memory.limitBytes = number("memory.max")
                memory.kills = table("memory.events")?["oom_kill"] ?? 0
                return memory
            }
        }

        /// Without the controller, threads are not counted, and there is no limit.
        var pids: SandboxStatistics.Pids? {
            var pids = SandboxStatistics.Pids()
            if let current = number("pids.current") {
                pids.current = UInt32(clamping: current)
                pids.limit = number("pids.max").map { UInt32(clamping: $0) }
                return pids
            }
            guard let list = texts["cgroup.procs"] else { return nil }
            pids.current = UInt32(clamping: list.utf8.count { $0 == UInt8(ascii: "\n") })
            return pids
        }

        var io: SandboxStatistics.IO? { texts["io.stat"].map(SandboxStatistics.IO.init(disks:)) }

        func pressure(_ file: String) -> SandboxStatistics.Pressure? {
            texts[file].flatMap(SandboxStatistics.Pressure.init(lines:))
        }
    }
}

extension SandboxStatistics {
    /// A key and a number on each line.
    static func table(_ text: String) -> [Substring: UInt64] {
        var table: [Substring: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, let number = UInt64(words[1]) { table[words[0]] = number }
        }
        return table
    }
}

extension SandboxStatistics.IO {
    /// A line for each disk: its number, then `rbytes=1 wbytes=2 rios=3 wios=4` and more.
    init(disks text: String) {
        for line in text.split(separator: "\n") {
            for word in line.split(separator: " ").dropFirst() {
                let parts = word.split(separator: "=")
                guard parts.count == 2, let number = UInt64(parts[1]) else { continue }
                switch parts[0] {
                case "rbytes": readBytes &+= number
                case "wbytes": writeBytes &+= number
                case "rios": reads &+= number
                case "wios": writes &+= number
                default: break
                }
            }
        }
    }
}

extension SandboxStatistics.Network {
    /// `/proc/PID/net/dev`: two lines of headings, then a link on each: its name and a colon,
    /// eight numbers of what was received and eight of what was sent.
    init(table text: String) {
        for line in text.split(separator: "\n").dropFirst(2) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].drop(while: { $0 == " " }) != "lo" else { continue }
            let numbers = parts[1].split(separator: " ").map { UInt64($0) ?? 0 }
            guard numbers.count >= 16 else { continue }
            receivedBytes &+= numbers[0]
            receivedPackets &+= numbers[1]
            receivedDropped &+= numbers[3]
            sentBytes &+= numbers[8]
            sentPackets &+= numbers[9]
            sentDropped &+= numbers[11]
        }
    }
}

extension SandboxStatistics.Pressure {
    /// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the like with `full`. Nothing where
    /// the kernel has it switched off, and cannot be read.
    init?(lines text: String) {
        var stalls: [Substring: Stall] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let name = words.first else { continue }
            var stall = Stall()
            for word in words.dropFirst() {
                let parts = word.split(separator: "=")
                guard parts.count == 2 else { continue }
                switch parts[0] {
                case "avg10": stall.average10 = Double(parts[1]) ?? 0
                case "avg60": stall.average60 = Double(parts[1]) ?? 0
                case "avg300": stall.average300 = Double(parts[1]) ?? 0
                case "total": stall.totalMicroseconds = UInt64(parts[1]) ?? 0
                default: break
                }
            }
            stalls[name] = stall
        }
        guard let some = stalls["some"] else { return nil }
        self.init(some: some, full: stalls["full"])
    }
}
