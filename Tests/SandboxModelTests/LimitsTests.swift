import SandboxModel
import Testing

@Suite struct LimitsTests {
    private func settings(
        on node: NodeCapabilities = Sample.node,
        scratch: SandboxSpec.ScratchPlace = .memory, _ change: (inout Limits) -> Void
    ) -> [String] {
        var spec = Sample.spec()
        spec.scratchPlace = scratch
        change(&spec.limits)
        return spec.cgroupSettings(on: node).map { "\($0.file)=\($0.value)" }
    }

    private func statuses(
        on node: NodeCapabilities, scratch: SandboxSpec.ScratchPlace = .memory, _ limits: Limits
    ) -> [LimitStatus] {
        var spec = Sample.spec()
        spec.scratchPlace = scratch
        spec.limits = limits
        return spec.limitStatuses(on: node)
    }

    @Test("nothing is set that is not asked for")
    func none() {
        #expect(settings { _ in } == [])
        #expect(Limits().kinds.isEmpty)
    }

    @Test("memory is bounded with its swap, and is used up by all processes together")
    func memory() {
        #expect(
            settings { $0.memoryBytes = 128 << 20 } == [
                "memory.max=134217728", "memory.swap.max=0", "memory.oom.group=1",
            ])
    }

    @Test("CPUs are microseconds in a tenth of a second")
    func cpu() {
        #expect(settings { $0.milliCPUs = 500 } == ["cpu.max=50000 100000"])
        #expect(settings { $0.milliCPUs = 2000 } == ["cpu.max=200000 100000"])
        #expect(settings { $0.milliCPUs = 10 } == ["cpu.max=1000 100000"])
    }

    @Test("processes and disk rates are set as they are asked for, the disk by its number")
    func others() {
        #expect(settings { $0.pids = 64 } == ["pids.max=64"])
        #expect(settings { $0.readBytesPerSecond = 4096 } == ["io.max=8:0 rbps=4096"])
        #expect(settings { $0.writeBytesPerSecond = 8192 } == ["io.max=8:0 wbps=8192"])
        #expect(
            settings {
                $0.readBytesPerSecond = 4096
                $0.writeBytesPerSecond = 8192
            } == ["io.max=8:0 rbps=4096 wbps=8192"])
    }

    @Test("what the node does not enforce is not set")
    func unenforced() {
        var node = Sample.node
        node.limitKinds = [.pids, .io]
        node.imageDisk = nil
        let found = settings(on: node) {
            $0.memoryBytes = 1 << 20
            $0.milliCPUs = 100
            $0.pids = 2
            $0.readBytesPerSecond = 4096
        }
        #expect(found == ["pids.max=2"])
    }

    @Test("a disk rate does not hold for an image on no disk")
    func noDisk() throws {
        var node = Sample.node
        node.imageDisk = nil
        var limits = Limits()
        limits.readBytesPerSecond = 4096
        let status = try #require(statuses(on: node, limits).first)
        #expect(status.reason == "the image is on no disk of its own")
    }

    @Test("a disk rate holds for the disk of scratch space too, each disk once")
    func scratchDisk() throws {
        var node = Sample.node
        var limits = Limits()
        limits.writeBytesPerSecond = 4096
        let change = { (wanted: inout Limits) in wanted = limits }
        let status = try #require(statuses(on: node, scratch: .disk, limits).first)
        #expect(status.reason == "the scratch space is on no disk of its own")
        #expect(settings(on: node, scratch: .disk, change) == [])
        #expect(try #require(statuses(on: node, limits).first).holds)
        node.scratchDisk = "259:0"
        #expect(
            settings(on: node, scratch: .disk, change) == [
                "io.max=8:0 wbps=4096", "io.max=259:0 wbps=4096",
            ])
        #expect(settings(on: node, change) == ["io.max=8:0 wbps=4096"])
        node.scratchDisk = "8:0"
        #expect(settings(on: node, scratch: .disk, change) == ["io.max=8:0 wbps=4096"])
    }

    @Test("limits are told in units that people use")
    func words() {
        var limits = Limits()
        limits.memoryBytes = 1 << 30
        limits.milliCPUs = 1500
        limits.pids = 7
        limits.readBytesPerSecond = 1 << 20
        limits.writeBytesPerSecond = 5000
        #expect(
            statuses(on: Sample.node, limits).map(\.request) == [
                "1 GiB", "1.5 CPU", "7 processes", "read 1 MiB/s, write 5000 B/s",
            ])
        limits.milliCPUs = 2000
        limits.memoryBytes = 1536 << 20
        #expect(
            statuses(on: Sample.node, limits).prefix(2).map(\.request) == ["1.5 GiB", "2 CPU"])
    }
}
