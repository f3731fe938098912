internal import AgentAPI
internal import LinuxKernel
internal import SandboxModel

/// What the node's resources are used by now, as the kernel tells.
struct NodeLoad {
    var memoryBytes: UInt64 = 0
    var memoryAvailable: UInt64 = 0
    var memoryTotal: UInt64 = 0
    var pids: UInt64 = 0
    var pidsLimit: UInt64 = 0
    var diskBytes: UInt64 = 0
    var diskTotal: UInt64 = 0
    private var isStateFull = false
    var milliCPUs: UInt64 = 0
    var cpuPressure: Pressure?
    var memoryPressure: Pressure?
    var ioPressure: Pressure?

    static func measure(_ settings: NodeSettings, _ processors: ProcessorUse) -> NodeLoad {
        var load = NodeLoad()
        load.milliCPUs = processors.milliCPUs
        load.readMemory()
        load.readProcesses()
        if let space = try? Files.space(below: settings.scratchDirectory) {
            load.diskTotal = space.totalBytes
            load.diskBytes = space.totalBytes - space.freeBytes
        }
        if let space = try? Files.space(below: settings.stateDirectory) {
            load.isStateFull = space.freeBytes < space.totalBytes / 20
        }
        load.cpuPressure = Pressure.read("/proc/pressure/cpu")
        load.memoryPressure = Pressure.read("/proc/pressure/memory")
        load.ioPressure = Pressure.read("/proc/pressure/io")
        return load
    }

    private mutating func readMemory() {
        for line in ((try? Files.read("/proc/meminfo")) ?? "").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 2, let kilobytes = UInt64(words[1]) else { continue }
            switch words[0] {
            case "MemTotal:": memoryTotal = kilobytes << 10
            case "MemAvailable:":
                memoryAvailable = kilobytes << 10
                memoryBytes = memoryTotal - min(memoryTotal, memoryAvailable)
                return
            default: break
            }
        }
    }

    /// `0.52 0.40 0.31 2/180 9711`: loads, threads that run and all, the newest pid.
    private mutating func readProcesses() {
        let words = ((try? Files.read("/proc/loadavg")) ?? "").split { $0 == " " || $0 == "\n" }
        guard words.count >= 4 else { return }
        pids = words[3].split(separator: "/").last.flatMap { UInt64($0) } ?? 0
        let limit = (try? Files.read("/proc/sys/kernel/pid_max")) ?? ""
        pidsLimit = UInt64(limit.prefix { $0 != "\n" }) ?? 0
    }

    func inUse(sandboxes: UInt64) -> SandboxModel.Resources {
        SandboxModel.Resources(
            milliCPUs: milliCPUs, memoryBytes: memoryBytes, pids: pids, diskBytes: diskBytes,
            addresses: sandboxes, sandboxes: sandboxes)
    }

    /// Below a twentieth of what there is, a resource is nearly used up.
    var conditions: [Condition] {
        var conditions: [Condition] = []
        if isStateFull {
            conditions.append(
                Condition(kind: .diskPressure, message: "less than 5 % of the disk is free"))
        }
        if memoryTotal > 0, memoryAvailable < memoryTotal / 20 {
            conditions.append(
                Condition(
                    kind: .memoryPressure, message: "less than 5 % of the memory is available"))
        }
        if pidsLimit > 0, pids > pidsLimit / 20 * 19 {
            conditions.append(
                Condition(kind: .pidPressure, message: "less than 5 % of the pids are free"))
        }
        return conditions
    }
}

extension Pressure {
    /// Reads a file of the kernel's pressure stall information; nil where there is none.
    static func read(_ path: String) -> Pressure? {
        guard let text = try? Files.read(path) else { return nil }
        var pressure = Pressure()
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            let stall = Stall(words.dropFirst())
            switch words.first {
            case "some": pressure.some = stall
            case "full": pressure.full = stall
            default: break
            }
        }
        return pressure
    }
}

extension Pressure.Stall {
    /// `avg10=0.00 avg60=0.00 avg300=0.00 total=0`
    init(_ words: ArraySlice<Substring>) {
        self.init()
        for word in words {
            let parts = word.split(separator: "=")
            guard parts.count == 2 else { continue }
            switch parts[0] {
            case "avg10": average10 = Double(parts[1]) ?? 0
            case "avg60": average60 = Double(parts[1]) ?? 0
            case "avg300": average300 = Double(parts[1]) ?? 0
            case "total": totalMicroseconds = UInt64(parts[1]) ?? 0
            default: break
            }
        }
    }
}
