import Foundation
import TestSupport
import Testing

@testable import AgentOperations

private let methods = ["/alcove.v1.Sandboxes/Create", "/alcove.v1.Node/Info"]

/// What Prometheus's own library makes of a text.
func judged(_ text: String, port: UInt16? = nil) throws -> [String: MetricFound] {
    let script = PackageRoot.path("Tests/AgentOperationsTests/Python/metrics_judge.py")
    let result = try run(
        PythonEnvironment.interpreter, arguments: ["-B", script] + (port.map { ["\($0)"] } ?? []),
        input: text)
    try #require(result.succeeded, "\(result.errorOutput)")
    return try JSONDecoder().decode([String: MetricFound].self, from: Data(result.outputBytes))
}

struct MetricFound: Decodable {
    struct Sample: Decodable {
        let name: String
        let labels: [String: String]
        let value: Double

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            name = try list.decode(String.self)
            labels = try list.decode([String: String].self)
            value = try list.decode(Double.self)
        }
    }

    let type: String
    let samples: [Sample]

    func value(_ labels: [String: String] = [:], _ suffix: String = "") -> Double? {
        samples.first { $0.labels == labels && $0.name.hasSuffix(suffix) }?.value
    }
}

@Suite struct MetricsTests {
    @Test(
        "numbers are written exactly",
        arguments: [
            (0, 9, "0"), (1, 9, "0.000000001"), (1000, 9, "0.000001"), (60_000_000_000, 9, "60"),
            (1_500_000_000, 9, "1.5"), (UInt64.max, 9, "18446744073.709551615"), (1500, 3, "1.5"),
            (20, 2, "0.2"), (7, 0, "7"),
        ] as [(UInt64, Int, String)])
    func numbers(_ value: UInt64, _ decimals: Int, _ expected: String) {
        #expect(MetricText.number(value, decimals: decimals) == expected)
    }

    @Test("buckets go from a microsecond to a minute, and hold their upper bound")
    func buckets() {
        let bounds = HistogramBounds.nanoseconds
        #expect(HistogramBounds.texts.first == "0.000001" && HistogramBounds.texts.last == "60")
        #expect(bounds == bounds.sorted() && Set(bounds).count == bounds.count)
        #expect(HistogramBounds.bucket(of: 0) == 0)
        for (index, bound) in bounds.enumerated() {
            #expect(HistogramBounds.bucket(of: bound) == index)
            #expect(HistogramBounds.bucket(of: bound + 1) == index + 1)
        }
        #expect(HistogramBounds.bucket(of: .max) == bounds.count)
    }

    @Test("a family is written as the text format has it")
    func golden() {
        let family = MetricFamily(
            "test_seconds", .histogram, "A \\ and\na line.", labels: [("a", ["x\"\\\n", "y"])],
            isSparse: true)
        family.record(nanoseconds: 1500, series: 0)
        family.record(nanoseconds: 61_000_000_000, series: 0)
        var text = ""
        family.append(to: &text)
        let lines = text.split(separator: "\n")
        #expect(lines[0] == "# HELP test_seconds A \\\\ and\\na line.")
        #expect(lines[1] == "# TYPE test_seconds histogram")
        #expect(lines[2] == #"test_seconds_bucket{a="x\"\\\n",le="0.000001"} 0"#)
        #expect(lines[3] == #"test_seconds_bucket{a="x\"\\\n",le="0.000002"} 1"#)
        #expect(
            lines.suffix(3) == [
                #"test_seconds_bucket{a="x\"\\\n",le="+Inf"} 2"#,
                #"test_seconds_sum{a="x\"\\\n"} 61.0000015"#,
                #"test_seconds_count{a="x\"\\\n"} 2"#,
            ])

        let gauge = MetricFamily("g", .gauge, "G.", decimals: 3)
        gauge.set(-1500, series: 0)
        text = ""
        gauge.append(to: &text)
        #expect(text == "# HELP g G.\n# TYPE g gauge\ng -1.5\n")
    }

    @Test("threads that count at once lose nothing")
    func threads() throws {
        let metrics = AgentMetrics(version: "1", methods: methods)
        let threads = try (0..<4).map { thread in
            try JoinedThread {
                for number in 0..<5000 {
                    metrics.events.add()
                    metrics.commits.record(nanoseconds: UInt64(number * 1000))
                    metrics.calls.began()
                    metrics.calls.ended(method: methods[thread % 2], code: 0, nanoseconds: 1)
                }
            }
        }
        for thread in threads { thread.join() }
        let text = metrics.text()
        #expect(text.contains("\nalcove_events_total 20000\n"))
        #expect(text.contains("\nalcove_store_commit_seconds_count 20000\n"))
        #expect(text.contains("\nalcove_calls_in_flight 0\n"))
        #expect(
            text.contains(
                "\nalcove_calls_total{method=\"alcove.v1.Node/Info\",code=\"OK\"} 10000\n"))
    }

    @Test("Prometheus's own library reads the metrics of an agent", .needs(.pythonEnvironment))
    func parsed() throws {
        let metrics = AgentMetrics(version: "1.2.3", methods: methods)
        metrics.creates.add(3, .exhausted)
        metrics.sandboxes.set(7, .running)
        metrics.cpus.set(3500, .allocatable)
        metrics.memory.set(UInt64(8) << 30, .total)
        metrics.controlPlaneConnected.set(true)
        metrics.commits.record(.milliseconds(3))
        metrics.calls.began()
        metrics.calls.began()
        metrics.calls.ended(method: methods[0], code: 8, nanoseconds: 2_500_000)
        metrics.calls.ended(method: "/made/Up", code: 99, nanoseconds: 1)
        metrics.started(
            timeline: [
                ("requested", 0), ("cgroup and pipe ready", 100_000), ("process created", 250_000),
                ("alcove-init ready", 1_250_000), ("workload started", 1_500_000),
            ], waited: (queued: 1000, recorded: 500_000))
        metrics.collect { metrics.startsQueued.set(4) }

        let found = try judged(metrics.text())
        #expect(
            Set(found.keys)
                == Set(
                    metrics.descriptions.map { description in
                        description.kind == .counter
                            ? String(description.name.dropLast("_total".count)) : description.name
                    }))
        #expect(found["alcove_build_info"]?.value(["version": "1.2.3"]) == 1)
        #expect(found["alcove_sandbox_creates"]?.value(["result": "exhausted"]) == 3)
        #expect(found["alcove_sandbox_creates"]?.value(["result": "created"]) == 0)
        #expect(found["alcove_sandboxes"]?.value(["state": "running"]) == 7)
        #expect(found["alcove_node_cpus"]?.value(["amount": "allocatable"]) == 3.5)
        #expect(found["alcove_node_memory_bytes"]?.value(["amount": "total"]) == 8_589_934_592)
        #expect(found["alcove_starts_queued"]?.value() == 4)
        #expect(found["alcove_calls"]?.samples.count == 2)
        #expect(
            found["alcove_calls"]?.value([
                "method": "alcove.v1.Sandboxes/Create", "code": "RESOURCE_EXHAUSTED",
            ]) == 1)
        #expect(found["alcove_calls"]?.value(["method": "other", "code": "UNKNOWN"]) == 1)
        let starts = try #require(found["alcove_sandbox_start_seconds"])
        let sums = StartStage.allCases.map { starts.value(["stage": $0.rawValue], "_sum") }
        #expect(sums == [0.000001, 0.0005, 0.0001, 0.00015, 0.001, 0.00025, 0.002001])
        #expect((found["process_open_fds"]?.value() ?? 0) > 2)
        #expect((found["process_threads"]?.value() ?? 0) >= 1)
        let memory = try #require(found["process_resident_memory_bytes"]?.value())
        #expect(memory > 1_000_000)
        let started = try #require(found["process_start_time_seconds"]?.value())
        #expect(started < Date().timeIntervalSince1970 && started > 1_600_000_000)
    }

    @Test("the number of series is bounded, and each metric has a unit and a sentence")
    func shape() throws {
        let metrics = AgentMetrics(version: "1", methods: methods)
        let names = metrics.descriptions.map(\.name)
        #expect(Set(names).count == names.count)
        for description in metrics.descriptions {
            let name = description.name
            #expect(description.help.hasSuffix("."), "\(name)")
            #expect((description.kind == .counter) == name.hasSuffix("_total"), "\(name)")
            if description.kind == .histogram { #expect(name.hasSuffix("_seconds"), "\(name)") }
            #expect(!description.labels.contains { $0.name == "id" }, "\(name)")
        }
        for code in -1...20 {
            for method in methods + ["/a/B", "/c/D"] {
                metrics.calls.ended(method: method, code: code, nanoseconds: 1)
            }
        }
        for stage in StartStage.allCases { metrics.starts.record(nanoseconds: 1, stage) }
        #expect(metrics.text().split(separator: "\n").count < 600)
    }

    @Test("the metrics follow what a log counts")
    func log() throws {
        let pipe = Pipe()
        let log = Log(format: .json, descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let metrics = AgentMetrics(version: "1", methods: [])
        metrics.follow(log)
        for _ in 0..<2000 { log.info("line") }
        let (written, dropped) = (log.counters.written, log.counters.dropped)
        #expect(dropped > 0)
        let text = metrics.text()
        #expect(text.contains("\nalcove_log_lines_total \(written)\n"))
        #expect(text.contains("\nalcove_log_dropped_total \(dropped)\n"))
    }
}
