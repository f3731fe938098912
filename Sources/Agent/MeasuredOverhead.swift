internal import AgentAPI
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// What sandboxes of one kind were measured to cost this node beside their workloads.
///
/// The first sandboxes that have run for a while are looked at, so that nothing is started for it.
/// Of alcove-init's memory the most counts: what later ones share with it, the first one pays. Of
/// the kernel's the least does, since a workload's own part is in it.
struct MeasuredOverhead: Equatable {
    /// After so many, more would tell nothing new.
    static let mostSamples = 8

    private(set) var cost: SandboxCost
    private(set) var samples: Int
    private(set) var atNanoseconds: Int64

    init(_ cost: SandboxCost, at nanoseconds: Int64) {
        self.cost = cost
        samples = 1
        atNanoseconds = nanoseconds
    }

    mutating func add(_ other: SandboxCost, at nanoseconds: Int64) {
        cost.initBytes = max(cost.initBytes, other.initBytes)
        cost.pids = max(cost.pids, other.pids)
        cost.kernelBytes = [cost.kernelBytes, other.kernelBytes].compactMap { $0 }.min()
        samples += 1
        atNanoseconds = nanoseconds
    }

    var isDone: Bool { samples >= Self.mostSamples }

    var resources: SandboxModel.Resources {
        SandboxModel.Resources(memoryBytes: cost.initBytes, pids: cost.pids)
            .adding(SandboxModel.Resources(memoryBytes: cost.kernelBytes ?? 0))
    }

    /// For people.
    var source: String {
        let count = samples == 1 ? "1 sandbox" : "\(samples) sandboxes"
        return cost.kernelBytes == nil
            ? "PSS of alcove-init, of \(count); no memory controller tells the kernel's part"
            : "PSS of alcove-init and kernel memory of its cgroup, of \(count)"
    }

    // MARK: - In the record

    /// Another kernel or another agent may make it another.
    static func circumstances(
        kernel: String = Machine.kernelRelease, version: String = AgentVersion.current
    ) -> String {
        "\(kernel) \(version)".filter { $0 != "\n" }
    }

    func text(in circumstances: String) -> String {
        let kernel = cost.kernelBytes.map { "\($0)" } ?? "-"
        return "\(circumstances)\n\(cost.initBytes) \(kernel) \(cost.pids) \(samples)"
            + " \(atNanoseconds)"
    }

    /// Nothing where it was measured in other circumstances, or by an agent that wrote otherwise.
    init?(_ text: String, in circumstances: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count == 2, lines[0] == circumstances[...] else { return nil }
        let words = lines[1].split(separator: " ")
        guard words.count == 5, let memory = UInt64(words[0]), let pids = UInt64(words[2]),
            let samples = Int(words[3]), samples > 0, let nanoseconds = Int64(words[4])
        else { return nil }
        let kernel = UInt64(words[1])
        guard kernel != nil || words[1] == "-" else { return nil }
        cost = SandboxCost(initBytes: memory, kernelBytes: kernel, pids: pids)
        self.samples = samples
        atNanoseconds = nanoseconds
    }
}

extension NodeAgent {
    private static func overheadKey(_ kind: SandboxModel.IsolationKind) -> String {
        "overhead-\(kind.rawValue)"
    }

    /// What a sandbox reserves beside what it asks for: what was measured, and never less than
    /// what the agent came with, which holds what no measurement shows.
    func overhead(of engine: any SandboxEngine) -> SandboxModel.Overhead {
        var overhead = engine.overhead
        if let measured = measuredOverheads[engine.kind] {
            overhead.fixed = overhead.fixed.orMore(measured.resources)
        }
        return overhead
    }

    func overheadMessage(of engine: any SandboxEngine) -> AgentAPI.Overhead {
        var message = AgentAPI.Overhead(engine.kind, overhead(of: engine))
        if let measured = measuredOverheads[engine.kind] {
            message.measured = AgentAPI.Resources(measured.resources)
            message.measuredAtNanoseconds = measured.atNanoseconds
            message.source = measured.source
        }
        return message
    }

    /// Takes over what an earlier agent measured.
    func restoreOverheads() {
        for kind in engines.keys {
            guard let bytes = journal.value(Self.overheadKey(kind)) else { continue }
            measuredOverheads[kind] = MeasuredOverhead(
                String(decoding: bytes, as: UTF8.self), in: MeasuredOverhead.circumstances())
        }
    }

    /// A workload runs: once it has done so for a while, what it costs is measured, unless that is
    /// known. One at a time.
    func measureLater(_ managed: ManagedSandbox) {
        let kind = managed.engine.kind
        guard !isMeasuringCost, measuredOverheads[kind]?.isDone != true else { return }
        isMeasuringCost = true
        _ = loop.schedule(after: costDelay) { [weak self, weak managed] in
            guard let self else { return }
            guard let running = managed?.running, managed?.state == .running else {
                isMeasuringCost = false
                return
            }
            offload(to: workers) { () throws(SandboxError) in
                running.cost()
            } then: { [self] result in
                isMeasuringCost = false
                if case .success(let cost?) = result { note(cost, of: kind) }
            }
        }
    }

    private func note(_ cost: SandboxCost, of kind: SandboxModel.IsolationKind) {
        let now = WallClock.nanoseconds
        var measured = measuredOverheads[kind]
        if measured == nil {
            measured = MeasuredOverhead(cost, at: now)
        } else {
            measured?.add(cost, at: now)
        }
        guard let measured else { return }
        measuredOverheads[kind] = measured
        let text = measured.text(in: MeasuredOverhead.circumstances())
        journal.record { $0.set(Self.overheadKey(kind), to: Array(text.utf8)) }
        capacityChanged()
    }
}
