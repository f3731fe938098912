internal import LinuxKernel

/// What Prometheus's own libraries tell of a process, under the same names.
final class ProcessMetrics: Sendable {
    private let cpu = Counter<Unlabelled>(
        "process_cpu_seconds_total", "CPU time of the agent's own process.", decimals: 2)
    private let resident = Gauge<Unlabelled>(
        "process_resident_memory_bytes", "Resident memory of the agent's own process.")
    private let virtual = Gauge<Unlabelled>(
        "process_virtual_memory_bytes", "Address space of the agent's own process.")
    private let started = Gauge<Unlabelled>(
        "process_start_time_seconds", "When the agent's process started, since 1970.",
        decimals: 2)
    private let open = Gauge<Unlabelled>("process_open_fds", "Open descriptors of the agent.")
    private let mostOpen = Gauge<Unlabelled>(
        "process_max_fds", "Descriptors that the agent may have open.")
    private let threads = Gauge<Unlabelled>("process_threads", "Threads of the agent.")
    private let bootHundredths = WallClock.bootNanoseconds / 10_000_000

    private static let pageSize: UInt64 = 4096

    var families: [MetricFamily] {
        [
            cpu.family, resident.family, virtual.family, started.family, open.family,
            mostOpen.family, threads.family,
        ]
    }

    func update() {
        guard let stat = try? Files.read("/proc/self/stat", limit: 4096) else { return }
        // The name, in parentheses, can hold anything; fields are counted from the state on.
        guard let end = stat.lastIndex(of: ")") else { return }
        let fields = stat[stat.index(after: end)...].split(separator: " ").map { UInt64($0) ?? 0 }
        guard fields.count > 21 else { return }
        // utime and stime, in hundredths of a second.
        cpu.set(fields[11] &+ fields[12])
        threads.set(fields[17])
        started.set(bootHundredths + Int64(clamping: fields[19]))
        virtual.set(fields[20])
        resident.set(fields[21] &* Self.pageSize)
        if let limit = ThisProcess.openFileLimit { mostOpen.set(limit.soft) }
        // One of them is the folder itself, while it is read.
        if let names = try? DirectoryListing.names(in: "/proc/self/fd") {
            open.set(names.count - 1)
        }
    }
}
