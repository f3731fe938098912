import CInitProtocol
import TestSupport
import Testing

@testable import GuestLink

@Suite struct FrameTests {
    private static func frame(_ kind: alcove_frame_kind, stream: UInt8 = 0, _ payload: [UInt8])
        -> [UInt8]
    {
        [UInt8(kind.rawValue), stream, 0, 0] + Little.bytes(UInt32(payload.count)) + payload
    }

    private static func value(_ value: Int32, _ detail: UInt32) -> [UInt8] {
        Little.bytes(UInt32(bitPattern: value)) + Little.bytes(detail)
    }

    /// One of each kind, with what it is read as.
    private static let all: [(bytes: [UInt8], frame: GuestFrame)] = [
        (
            frame(
                ALCOVE_FRAME_READY,
                Little.bytes(UInt32(1)) + Little.bytes(UInt32(5)) + Little.bytes(UInt64(77))),
            .ready(version: 1, microseconds: 5, nanoseconds: 77)
        ),
        (
            frame(ALCOVE_FRAME_STATISTICS, (1...5).flatMap { Little.bytes(UInt64($0)) }),
            .statistics(
                GuestStatistics(
                    memoryTotalBytes: 1, memoryAvailableBytes: 2, cpuNanoseconds: 3, processes: 4,
                    outOfMemoryKills: 5))
        ),
        (frame(ALCOVE_FRAME_STARTED, value(12, 0)), .started(pid: 12)),
        (frame(ALCOVE_FRAME_OUTPUT, stream: 1, [104, 105]), .output(.output, [104, 105])),
        (frame(ALCOVE_FRAME_OUTPUT, stream: 2, []), .output(.error, [])),
        (frame(ALCOVE_FRAME_EXITED, value(3, 0)), .ended(.exited(code: 3))),
        (
            frame(ALCOVE_FRAME_SIGNALED, value(9, 3)),
            .ended(.signaled(signal: 9, leftCore: true, outOfMemory: true))
        ),
        (frame(ALCOVE_FRAME_FAILED, value(2, 4)), .ended(.failed(error: 2, stage: 4))),
        (frame(ALCOVE_FRAME_REFUSED, value(2, 0)), .ended(.refused(reason: 2))),
    ]

    @Test("frames come out as they went in, whatever the pieces", arguments: 0..<20)
    func pieces(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let chosen = (0..<50).map { _ in Self.all.randomElement(using: &random) ?? Self.all[0] }
        let stream = chosen.flatMap(\.bytes)
        var reader = FrameReader()
        var found: [GuestFrame] = []
        var place = 0
        while place < stream.count {
            let count = min(.random(in: 1...40, using: &random), stream.count - place)
            reader.feed(stream[place..<place + count])
            place += count
            while let frame = try reader.next() { found.append(frame) }
        }
        #expect(found == chosen.map(\.frame), "seed \(seed)")
    }

    @Test("frames that are too long, of no kind, or of another length are faults")
    func faults() {
        func fault(_ bytes: [UInt8]) -> FrameFault? {
            var reader = FrameReader()
            reader.feed(bytes[...])
            do throws(FrameFault) {
                _ = try reader.next()
                return nil
            } catch {
                return error
            }
        }
        #expect(fault([17, 1, 0, 0] + Little.bytes(UInt32(16385))) == .tooLong(16385))
        #expect(fault([17, 1, 0, 0] + Little.bytes(UInt32.max)) == .tooLong(.max))
        #expect(fault(Self.frame(ALCOVE_FRAME_START, Self.value(1, 0))) == .unknownKind(32))
        #expect(
            fault(Self.frame(ALCOVE_FRAME_EXITED, [1])) == .badLength(kind: 19, length: 1))
        #expect(fault([1, 0, 0, 0] + Little.bytes(UInt32(0))) == .badLength(kind: 1, length: 0))
        #expect(fault([17, 1, 0]) == nil)
    }

    @Test("bytes at random are frames or a fault", arguments: 0..<20)
    func garbage(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            var reader = FrameReader()
            var bytes = Self.all.randomElement(using: &random)?.bytes ?? []
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                bytes[.random(in: 0..<bytes.count, using: &random)] =
                    .random(in: 0...255, using: &random)
            }
            reader.feed(bytes[...])
            while let frame = try? reader.next() { _ = "\(frame)" }
        }
    }

    @Test("what a process is asked for is laid out as the guest reads it")
    func start() {
        var start = GuestStart(programs: ["/bin/a"], arguments: ["a", "b"])
        start.environment = ["K=V"]
        start.user = 7
        start.group = 8
        start.terminal = (24, 80)
        start.limits = [GuestStart.Limit(resource: 1, soft: 2, hard: 3)]
        var expected: [UInt8] = [1, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 24, 0, 80, 0]
        expected += [1, 0, 2, 0, 1, 0, 1, 0]
        expected += [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
        expected += Array("/\0/bin/a\0a\0b\0K=V\0".utf8)
        #expect(start.bytes == expected)
        #expect(start.fault == nil)
        #expect(
            HostFrame.start(start).bytes.prefix(8)
                == [32, 0, 0, 0, UInt8(expected.count), 0, 0, 0])
        start.environment = [String(repeating: "x", count: 131_072)]
        #expect(start.fault != nil)
        start.environment = ["A=\0"]
        #expect(start.fault != nil)
    }

    @Test("A network is written as the guest reads it")
    func network() {
        let network = GuestNetwork(
            address: 0xac1f_ff02, prefixLength: 30, gateway: 0xac1f_ff01, nameServer: 0x0a00_0001,
            mtu: 1450)
        #expect(
            HostFrame.network(network).bytes
                == [52, 0, 0, 0, 16, 0, 0, 0] + [172, 31, 255, 2] + [172, 31, 255, 1]
                + [10, 0, 0, 1] + [30, 0, 0xaa, 5])
    }
}
