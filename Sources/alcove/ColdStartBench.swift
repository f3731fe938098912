internal import Console
internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// Starts a prepared sandbox many times, some at the same time, and keeps what each took.
struct ColdStartBench: ~Copyable {
    private let prepared: PreparedSandbox
    private let concurrency: Int
    /// Where the workload's streams go: what it prints is not part of the measurement. What it
    /// complains of is for whoever measures.
    private let nowhere: Descriptor

    init(_ prepared: PreparedSandbox, concurrency: Int) throws(SystemCallError) {
        self.prepared = prepared
        self.concurrency = concurrency
        // Out of the way of the child's own numbers, so that no start has to move it.
        nowhere = try Files.open("/dev/null", .readWrite).raised(toAtLeast: 16)
    }

    func run(count: Int, networks: [NetworkNamespace]) throws -> ColdStartResult {
        var networks = networks
        var samples: [ColdStartResult.Sample] = []
        samples.reserveCapacity(count)
        var inFlight: [(sandbox: RunningSandbox, network: NetworkNamespace?)] = []
        var started = 0
        let began = MonotonicClock.nanoseconds
        while samples.count < count {
            while inFlight.count < concurrency, started < count {
                let network = networks.popLast()
                let stream = nowhere.rawValue
                inFlight.append(
                    (
                        try prepared.start(
                            streams: (stream, stream, 2), network: network?.descriptor),
                        network
                    ))
                started += 1
            }
            var interests = inFlight.map { Readiness.Interest($0.sandbox.processDescriptor) }
            try Readiness.wait(for: &interests)
            for index in interests.indices.reversed() where interests[index].isReady {
                guard let outcome = try inFlight[index].sandbox.finish() else { continue }
                inFlight.remove(at: index)
                samples.append(try ColdStartResult.Sample(outcome))
            }
        }
        return ColdStartResult(
            samples: samples, elapsed: MonotonicClock.nanoseconds - began)
    }
}

/// What the starts took.
struct ColdStartResult {
    /// One sandbox, in nanoseconds.
    struct Sample {
        let total: UInt64
        /// What was reached, and when, from the request on.
        let timeline: [SandboxOutcome.Moment]

        /// Refuses a sandbox that did not end well: its time says nothing.
        init(total: UInt64, timeline: [SandboxOutcome.Moment]) {
            self.total = total
            self.timeline = timeline
        }

        init(_ outcome: SandboxOutcome) throws(SandboxError) {
            if case .failed(let error) = outcome.ending { throw error }
            guard outcome.ending == .ended(.exited(code: 0)), let end = outcome.timeline.last else {
                throw SandboxError(
                    .setUpFailed, "the command ended with \(outcome.exitCode)",
                    hint: "measure one that succeeds, such as /bin/true")
            }
            total = end.nanoseconds
            timeline = outcome.timeline
        }
    }

    private(set) var samples: [Sample] = []
    private var elapsed: UInt64 = 0

    /// What a sample is from and to.
    private let whole: String

    init(samples: [Sample] = [], elapsed: UInt64 = 0, whole: String = "request to reaped") {
        self.samples = samples
        self.elapsed = elapsed
        self.whole = whole
    }

    static func += (result: inout ColdStartResult, more: ColdStartResult) {
        result.samples += more.samples
        result.elapsed += more.elapsed
    }

    var perSecond: Double { Double(samples.count) * 1e9 / Double(max(elapsed, 1)) }

    /// What each stage took, in the order of the first sample.
    private var stages: [(name: String, distribution: Distribution)] {
        guard let first = samples.first else { return [] }
        return first.timeline.indices.dropFirst().compactMap { index in
            let spans = samples.compactMap { sample -> UInt64? in
                guard sample.timeline.indices.contains(index) else { return nil }
                return sample.timeline[index].nanoseconds - sample.timeline[index - 1].nanoseconds
            }
            return Distribution(nanoseconds: spans).map { (first.timeline[index].what, $0) }
        }
    }

    /// For people: percentiles of the whole and of each stage.
    var table: String {
        guard let total = Distribution(nanoseconds: samples.map(\.total)) else { return "" }
        var table = TextTable(header: ["stage", "median", "p90", "p99", "max"])
        let rows = stages + [(whole, total)]
        for (name, distribution) in rows {
            table.add(
                [PlainText.cut(name, to: TimelineText.widestLabel)]
                    + [
                        distribution.median, distribution.p90, distribution.p99,
                        distribution.maximum,
                    ]
                    .map { TimeUnit.text(nanoseconds: $0) })
        }
        return table.render()
            + "\(samples.count) sandboxes, \(NumberText.short(perSecond)) a second\n"
    }

    /// For programs: a line for each sample, then the summary.
    func jsonLines(parameters: JSONValue) -> String {
        var lines = samples.enumerated().map { index, sample in
            JSONWriter.text([
                "sample": JSONValue(index),
                "microseconds": JSONValue(Double(sample.total) / 1000),
                "timeline": JSONValue(
                    sample.timeline.map { moment in
                        [
                            "what": JSONValue(moment.what), "ns": JSONValue(moment.nanoseconds),
                        ] as JSONValue
                    }),
            ])
        }
        if let total = Distribution(nanoseconds: samples.map(\.total)) {
            lines.append(
                JSONWriter.text([
                    "summary": [
                        "count": JSONValue(samples.count),
                        "median_us": JSONValue(total.median / 1000),
                        "p90_us": JSONValue(total.p90 / 1000),
                        "p99_us": JSONValue(total.p99 / 1000),
                        "min_us": JSONValue(total.minimum / 1000),
                        "max_us": JSONValue(total.maximum / 1000),
                        "mean_us": JSONValue(total.mean / 1000),
                        "per_second": JSONValue(perSecond),
                        "parameters": parameters,
                    ]
                ]))
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
