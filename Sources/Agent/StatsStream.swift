internal import AgentAPI
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// One call of `Stats`: measures at each interval, unless the client still has one to take.
final class StatsStream: @unchecked Sendable {
    private let call: TypedCall<StatsRequest, StatsResponse>
    private let node: NodeAgent
    private let managed: ManagedSandbox
    private let interval: Duration?
    private var timer: ScheduledAction?
    private var onEnd: UInt64?

    init(
        _ request: StatsRequest, of managed: ManagedSandbox,
        _ call: TypedCall<StatsRequest, StatsResponse>, _ node: NodeAgent
    ) throws(CallFailure) {
        self.call = call
        self.node = node
        self.managed = managed
        interval = request.intervalNanoseconds.map { .nanoseconds(Int64(clamping: $0)) }
        if let interval, interval < .milliseconds(10) {
            throw .invalid("interval_nanoseconds", "is less than 10 ms")
        }
        guard managed.running != nil else {
            throw .wrongState(managed, "only what runs can be measured")
        }
    }

    func begin() {
        call.onCancel { _ in self.end() }
        onEnd = managed.onEnded.add { [self] in
            end()
            call.finish()
        }
        measure()
    }

    private func measure() {
        guard call.isOpen, let running = managed.running else { return }
        node.offload(to: node.workers) { () throws(SandboxError) in
            running.statistics()
        } then: { [self] result in
            guard call.isOpen else { return }
            switch result {
            case .success(let statistics): call.send(StatsResponse(statistics))
            case .failure(let error):
                end()
                return call.finish(CallFailure(error))
            }
            guard let interval else {
                end()
                return call.finish()
            }
            timer = node.loop.schedule(after: interval) { self.tick() }
        }
    }

    private func tick() {
        timer = nil
        guard call.isOpen else { return }
        guard call.isWritable else {
            return call.onWritable { [self] in
                call.onWritable {}
                measure()
            }
        }
        measure()
    }

    private func end() {
        if let timer { node.loop.cancel(timer) }
        timer = nil
        if let onEnd { managed.onEnded.remove(onEnd) }
        onEnd = nil
    }
}

extension StatsResponse {
    init(_ statistics: SandboxStatistics) {
        self.init(
            atNanoseconds: statistics.atNanoseconds,
            cpu: statistics.cpu.map {
                CPU(
                    userMicroseconds: $0.userMicroseconds,
                    systemMicroseconds: $0.systemMicroseconds,
                    throttledMicroseconds: $0.throttledMicroseconds,
                    throttledPeriods: $0.throttledPeriods)
            },
            memory: statistics.memory.map {
                Memory(
                    currentBytes: $0.currentBytes, peakBytes: $0.peakBytes,
                    swapBytes: $0.swapBytes, limitBytes: $0.limitBytes, kills: $0.kills)
            },
            pids: statistics.pids.map { Pids(current: $0.current, limit: $0.limit) },
            io: statistics.io.map {
                IO(
                    readBytes: $0.readBytes, writeBytes: $0.writeBytes, reads: $0.reads,
                    writes: $0.writes)
            },
            network: statistics.network.map {
                Network(
                    receivedBytes: $0.receivedBytes, receivedPackets: $0.receivedPackets,
                    receivedDropped: $0.receivedDropped, sentBytes: $0.sentBytes,
                    sentPackets: $0.sentPackets, sentDropped: $0.sentDropped)
            },
            cpuPressure: statistics.cpuPressure.map { Pressure($0) },
            memoryPressure: statistics.memoryPressure.map { Pressure($0) },
            ioPressure: statistics.ioPressure.map { Pressure($0) })
    }
}

extension Pressure {
    init(_ pressure: SandboxStatistics.Pressure) {
        self.init(some: Stall(pressure.some), full: pressure.full.map { Stall($0) })
    }
}

extension Pressure.Stall {
    init(_ stall: SandboxStatistics.Pressure.Stall) {
        self.init(
            average10: stall.average10, average60: stall.average60, average300: stall.average300,
            totalMicroseconds: stall.totalMicroseconds)
    }
}
