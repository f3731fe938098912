internal import LinuxKernel

/// The metrics of an agent. Any thread records; `text` is what `GET /metrics` answers.
public final class AgentMetrics: Sendable {
    public let starts = Histogram<StartStage>(
        "alcove_sandbox_start_seconds", "Time of a sandbox's start, by stage.")
    public let creates = Counter<CreateResult>(
        "alcove_sandbox_creates_total", "Requests to create a sandbox, by result.")
    public let startResults = Counter<StartResult>(
        "alcove_sandbox_starts_total", "Starts of sandboxes, by result.")
    public let ends = Counter<EndCause>(
        "alcove_sandbox_ends_total", "Ends of sandboxes, by cause.")
    public let execs = Counter<Unlabelled>(
        "alcove_sandbox_execs_total", "Commands started in running sandboxes.")
    public let sandboxes = Gauge<SandboxStateLabel>(
        "alcove_sandboxes", "Sandboxes on the node, by state.")
    public let startsInFlight = Gauge<Unlabelled>(
        "alcove_starts_in_flight", "Starts that are going on.")
    public let startsQueued = Gauge<Unlabelled>(
        "alcove_starts_queued", "Starts that wait for others.")

    public let cpus = Gauge<AmountLabel>(
        "alcove_node_cpus", "CPUs, by amount.", decimals: 3)
    public let memory = Gauge<AmountLabel>(
        "alcove_node_memory_bytes", "Memory, by amount.")
    public let pids = Gauge<AmountLabel>("alcove_node_pids", "Processes, by amount.")
    public let disk = Gauge<AmountLabel>(
        "alcove_node_disk_bytes", "Space of the disk that scratch space is made on, by amount.")
    public let addresses = Gauge<AmountLabel>(
        "alcove_node_addresses", "Network addresses, by amount.")
    public let slots = Gauge<AmountLabel>(
        "alcove_node_sandbox_slots", "Sandboxes that there can be, by amount.")
    public let draining = Gauge<Unlabelled>(
        "alcove_node_draining", "Whether the node takes no new sandboxes: 0 or 1.")
    public let recovered = Counter<RecoveryResult>(
        "alcove_recovered_total",
        "What this agent did at its start with what an earlier one left, by result.")

    public let images = Gauge<ImageKindLabel>(
        "alcove_images",
        "Images in the store: all, and of them those that are pinned, used by sandboxes, damaged.")
    public let imageLayers = Gauge<LayerKindLabel>(
        "alcove_image_layers",
        "Layers in the store: all, and of them those that are mounted, damaged.")
    public let imageBytes = Gauge<StoreAmountLabel>(
        "alcove_image_bytes", "Size of the store of images, and its bound: 0 without one.")
    public let imports = Counter<ImportResultLabel>(
        "alcove_image_imports_total", "Imports of archives that ended, by result.")
    public let importTimes = Histogram<Unlabelled>(
        "alcove_image_import_seconds",
        "Time of imports that brought an image, what they waited for others included.")
    public let imageRemovals = Counter<ImageRemovalCause>(
        "alcove_image_removals_total", "Images that were removed from the store, by cause.")
    public let scratchTimes = Histogram<Unlabelled>(
        "alcove_scratch_make_seconds", "Time to make scratch space on the disk for a sandbox.")

    public let networkSlots = Gauge<NetworkSlotLabel>(
        "alcove_network_slots",
        "Places in the node's networks: those of sandboxes, those made ahead, and how many there "
            + "are to be of these.")
    public let networkSlotsMissed = Counter<Unlabelled>(
        "alcove_network_slots_missed_total", "Starts that found no place made ahead.")
    public let networkDrops = Counter<NetworkDropReason>(
        "alcove_network_dropped_packets_total",
        "Packets of sandboxes, and for them, that were dropped, by reason.")
    public let networkProxies = Gauge<NetworkProxyLabel>(
        "alcove_network_proxies", "Proxies of VPCs that answer, and that do not.")

    /// Calls by method and code, and their times.
    public let calls: CallMetrics
    public let connections = Counter<ConnectionResult>(
        "alcove_connections_total", "Connections of clients, by result.")
    public let openConnections = Gauge<Unlabelled>(
        "alcove_connections", "Connections of clients that are open.")

    public let events = Counter<Unlabelled>("alcove_events_total", "Events that happened.")
    public let eventsKept = Gauge<Unlabelled>(
        "alcove_events_kept", "Events that a watcher can go back to.")
    public let watchers = Gauge<Unlabelled>(
        "alcove_event_watchers", "Calls that watch events.")
    public let commits = Histogram<Unlabelled>(
        "alcove_store_commit_seconds", "Time of a transaction of the record, until it is on disk.")
    public let storeFailures = Counter<Unlabelled>(
        "alcove_store_failures_total", "Transactions of the record that failed.")
    public let storeBytes = Gauge<Unlabelled>(
        "alcove_store_bytes", "Size of the record's files.")

    public let controlPlaneConnected = Gauge<Unlabelled>(
        "alcove_control_plane_connected", "Whether a session with the control plane lasts: 0 or 1.")
    public let controlPlaneSessions = Counter<Unlabelled>(
        "alcove_control_plane_sessions_total", "Sessions with the control plane that began.")
    public let unacknowledged = Gauge<Unlabelled>(
        "alcove_control_plane_unacknowledged_events",
        "Events that the control plane has not acknowledged.")

    public let logLines = Counter<Unlabelled>(
        "alcove_log_lines_total", "Lines of the log that went out.")
    public let logDrops = Counter<Unlabelled>(
        "alcove_log_dropped_total", "Lines of the log that found no room and were dropped.")

    private let process = ProcessMetrics()
    private let families: [MetricFamily]
    private let collectors = Locked<[@Sendable () -> Void]>([])

    /// - Parameters:
    ///   - version: of the agent.
    ///   - methods: paths of all calls there are: `/alcove.v1.Sandboxes/Create`.
    public init(version: String, methods: [String]) {
        calls = CallMetrics(methods: methods)
        let build = MetricFamily(
            "alcove_build_info", .gauge, "1, with the agent's version.",
            labels: [("version", [version])])
        build.set(1, series: 0)
        families =
            [
                build, starts.family, creates.family, startResults.family, ends.family,
                execs.family, sandboxes.family, startsInFlight.family, startsQueued.family,
                cpus.family, memory.family, pids.family, disk.family, addresses.family,
                slots.family, draining.family, recovered.family, images.family,
                imageLayers.family, imageBytes.family, imports.family, importTimes.family,
                imageRemovals.family, scratchTimes.family, networkSlots.family,
                networkSlotsMissed.family, networkDrops.family, networkProxies.family,
            ] + calls.families
            + [
                connections.family, openConnections.family, events.family, eventsKept.family,
                watchers.family, commits.family, storeFailures.family, storeBytes.family,
                controlPlaneConnected.family, controlPlaneSessions.family, unacknowledged.family,
                logLines.family, logDrops.family,
            ] + process.families
    }

    /// Has a function called before each answer, on the thread that answers: for gauges of what
    /// is cheaper to look at than to follow. It must not wait.
    public func collect(_ collector: @escaping @Sendable () -> Void) {
        collectors.with { $0.append(collector) }
    }

    /// All metrics in the text format of Prometheus, version 0.0.4.
    public func text() -> String {
        for collector in collectors.with({ $0 }) { collector() }
        process.update()
        var text = ""
        text.reserveCapacity(32768)
        for family in families { family.append(to: &text) }
        return text
    }

    /// What there is, for the documentation.
    public var descriptions: [MetricDescription] { families.map(\.description) }

    /// Takes over what a log counts.
    public func follow(_ log: Log) {
        let (lines, drops) = (logLines, logDrops)
        collect {
            let counters = log.counters
            lines.set(counters.written)
            drops.set(counters.dropped)
        }
    }

    /// Records the stages of a start by the moments of its timeline, which are in the order of
    /// time, in nanoseconds since the request.
    ///
    /// - Parameter waited: the time before that: in the queue, and until the intent was written.
    public func started(
        timeline: [(what: String, nanoseconds: UInt64)],
        waited: (queued: UInt64, recorded: UInt64) = (0, 0)
    ) {
        starts.record(nanoseconds: waited.queued, .queued)
        starts.record(nanoseconds: waited.recorded, .recorded)
        var last: UInt64 = 0
        for (what, stage) in Self.moments {
            guard let moment = timeline.first(where: { $0.what == what }) else { continue }
            starts.record(nanoseconds: moment.nanoseconds - min(last, moment.nanoseconds), stage)
            last = max(last, moment.nanoseconds)
        }
        starts.record(nanoseconds: waited.queued &+ waited.recorded &+ last, .total)
    }

    /// The moment of a timeline at which each stage is over.
    private static let moments: [(what: String, stage: StartStage)] = [
        ("cgroup and pipe ready", .prepared), ("process created", .spawned),
        ("alcove-init ready", .isolated), ("workload started", .executed),
    ]
}

/// Calls by method and code.
public final class CallMetrics: Sendable {
    private let counts: MetricFamily
    private let times: MetricFamily
    private let running: MetricFamily
    private let indexes: [String: Int]
    private let inFlight = Locked<Int64>(0)

    /// The codes of gRPC, by their numbers.
    public static let codes = [
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
        "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
        "UNAUTHENTICATED",
    ]

    init(methods: [String]) {
        // What clients make up has one series together.
        let names = methods.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 } + ["other"]
        indexes = Dictionary(
            zip(methods, 0...), uniquingKeysWith: { first, _ in first })
        counts = MetricFamily(
            "alcove_calls_total", .counter, "Calls that ended, by method and code.",
            labels: [("method", names), ("code", Self.codes)], isSparse: true)
        times = MetricFamily(
            "alcove_call_seconds", .histogram,
            "Time from a call's request to its end, by method. Streams last as long as they are "
                + "wanted.", labels: [("method", names)], isSparse: true)
        running = MetricFamily("alcove_calls_in_flight", .gauge, "Calls that are going on.")
    }

    var families: [MetricFamily] { [counts, times, running] }

    public func began() {
        inFlight.with { count in
            count += 1
            running.set(count, series: 0)
        }
    }

    /// - Parameters:
    ///   - method: its path.
    ///   - code: of its status, as gRPC numbers them.
    public func ended(method: String, code: Int, nanoseconds: UInt64) {
        let index = indexes[method] ?? indexes.count
        let code = Self.codes.indices.contains(code) ? code : 2
        counts.add(1, series: index * Self.codes.count + code)
        times.record(nanoseconds: nanoseconds, series: index)
        inFlight.with { count in
            count -= 1
            running.set(count, series: 0)
        }
    }
}
