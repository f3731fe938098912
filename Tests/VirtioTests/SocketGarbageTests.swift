import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

private typealias Operation = GuestPacket.Operation

@Suite struct SocketGarbageTests {
    /// A guest, and a connection of it.
    private func connected() throws -> (GuestSockets, GuestStream, HostEnd) {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        return (guest, stream, host)
    }

    @Test("packets of other addresses, or shorter than they say, are dropped")
    func dropped() throws {
        let (guest, stream, host) = try connected()
        var packets = [GuestPacket](repeating: GuestPacket(5, 1000, Operation.data), count: 5)
        packets[0].sourceCID = 4
        packets[1].targetCID = 1
        packets[2].targetCID = 3 | 1 << 32
        packets[3].claimedCount = 1
        packets[4].claimedCount = .max
        packets[4].data = [1, 2, 3]
        for packet in packets { try guest.send(packet) }
        _ = try guest.driver.offer([[1, 2, 3]], to: 1)
        _ = try guest.driver.offer(room: [64], to: 1)
        guest.driver.kick(1)
        #expect(guest.counters.dropped == 7)
        #expect(guest.inbox.isEmpty && !stream.isReset)
        #expect(try stream.write([9]) == 1)
        #expect(host.read() == [9])
    }

    @Test("packets of no connection, or of another kind, are answered by a reset")
    func answered() throws {
        let (guest, stream, _) = try connected()
        for operation in [
            Operation.response, Operation.shutdown, Operation.data, Operation.creditUpdate,
            Operation.creditRequest, 0, 99,
        ] {
            try guest.send(GuestPacket(8, 9, operation))
            let answer = try guest.next()
            #expect(answer.operation == Operation.reset && answer.kind == 1)
            #expect(answer.sourcePort == 9 && answer.targetPort == 8)
        }
        try guest.send(GuestPacket(8, 9, Operation.reset))
        var packet = GuestPacket(8, 9, Operation.request)
        packet.kind = 2
        try guest.send(packet)
        let answer = try guest.next()
        #expect(answer.operation == Operation.reset && answer.kind == 2)
        #expect(guest.inbox.isEmpty && !stream.isReset)
    }

    @Test(
        "what does not belong into an open connection resets it",
        arguments: [Operation.request, Operation.response, 0, 8, .max])
    func misplaced(operation: UInt16) throws {
        let (guest, stream, host) = try connected()
        try stream.send(operation)
        try guest.run { stream.isReset }
        host.read()
        #expect(host.hasEnded)
        #expect(guest.connections == 0 && guest.counters.resets == 1)
    }

    @Test(
        "what is no answer to a request of the host's ends it",
        arguments: [Operation.request, Operation.data, Operation.shutdown, 77])
    func badAnswer(operation: UInt16) throws {
        let guest = try GuestSockets(SocketDevice(cid: 3))
        let host = HostEnd(try guest.device.connect(toGuestPort: 70))
        let request = try guest.next()
        try guest.send(GuestPacket(70, request.sourcePort, operation))
        #expect(try guest.next().operation == Operation.reset)
        host.read()
        #expect(host.hasEnded && guest.connections == 0)
    }

    @Test("data after the end of sending resets the connection")
    func afterTheEnd() throws {
        let (guest, stream, host) = try connected()
        try stream.send(Operation.shutdown, flags: 2)
        try stream.send(Operation.data, data: [1])
        try guest.run { stream.isReset }
        #expect(host.read().isEmpty)
    }

    @Test("a guest that takes no answers is not asked for more packets than can be answered")
    func noRoomForAnswers() throws {
        let guest = try GuestSockets(SocketDevice(cid: 3), buffers: 0)
        // As many as are taken, and a queue full that waits.
        for _ in 0..<400 {
            try guest.send(GuestPacket(8, 9, Operation.data))
            try guest.pump()
        }
        #expect(guest.counters.dropped == 256)
        try guest.offerMore(0..<24)
        try guest.run { guest.inbox.count == 400 }
        #expect(guest.inbox.allSatisfy { $0.operation == Operation.reset })
    }

    @Test("buffers that are too small go back empty, and larger ones are used")
    func smallBuffers() throws {
        let (guest, stream, host) = try connected()
        for _ in 0..<3 { _ = try guest.driver.offer(room: [20], to: 0) }
        stream.allowance = 1 << 20
        try stream.send(Operation.creditUpdate)
        let bytes = patternedBytes(150_000, seed: 9)
        #expect(host.write(bytes) == bytes.count)
        var written: [Int] = []
        // Those of this test are not the guest's own, so its pump is not used.
        guest.driver.run {
            written += ((try? guest.driver.collect(0)) ?? []).map(\.written)
            return written.count >= 27
        }
        #expect(written.filter { $0 == 0 }.count == 3)
        #expect(written.filter { $0 == 44 + 4096 }.count >= 20)
    }

    @Test("thousands of random packets end in answers, and nothing else", arguments: 0..<4)
    func random(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let device = SocketDevice(cid: 3)
        let ends = HandedEnds()
        for port in 0..<4 as Range<UInt32> { device.listen(onPort: port) { ends.add($0) } }
        let guest = try GuestSockets(device)
        for _ in 0..<4000 {
            var packet = GuestPacket(
                .random(in: 0..<6, using: &random), .random(in: 0..<6, using: &random),
                .random(in: 0..<9, using: &random))
            if Int.random(in: 0..<20, using: &random) == 0 {
                packet.kind = .random(in: 0..<4, using: &random)
                packet.sourceCID = .random(in: 2..<5, using: &random)
                packet.claimedCount = .random(in: 0...(.max), using: &random)
            }
            packet.flags = .random(in: 0..<5, using: &random)
            packet.allowance = .random(in: 0...(.max), using: &random)
            packet.forwarded = .random(in: 0...(.max), using: &random)
            if packet.operation == Operation.data {
                packet.data = [UInt8](repeating: 7, count: .random(in: 0..<9000, using: &random))
            }
            try guest.send(packet)
            try guest.pump()
            switch Int.random(in: 0..<40, using: &random) {
            case 0: try guest.run { true }
            case 1: ends.act(&random)
            case 2:
                ends.add(try device.connect(toGuestPort: .random(in: 0..<6, using: &random)))
            default: break
            }
            #expect(guest.driver.transport.failure == nil)
            #expect(guest.connections <= 36 + ends.count)
            guest.inbox = []
        }
        // The device still works.
        ends.closeAll()
        let host = HostEnd()
        device.listen(onPort: 1000, host.handler)
        let stream = try guest.connect(from: 5000, to: 1000)
        try guest.run { host.isThere }
        #expect(try stream.write([1, 2]) == 2)
        #expect(host.read() == [1, 2])
    }

    @Test("connections of every ending leave no socket open")
    func leaks() async {
        await #expect(processExitsWith: .success) {
            let before = try openSockets()
            try churn()
            let after = try openSockets()
            #expect(before == after)
        }
    }
}

/// Makes connections both ways, ends them by each side, and leaves some to the end of the device.
private func churn() throws {
    let device = SocketDevice(cid: 3)
    let ends = HandedEnds()
    device.listen(onPort: 1000) { ends.add($0) }
    let guest = try GuestSockets(device)
    for round in 0..<60 as Range<UInt32> {
        let stream = try guest.connect(from: 5000 + round, to: 1000)
        try guest.run { ends.count > 0 }
        _ = try stream.write([1, 2, 3])
        switch round % 6 {
        case 0: try stream.close()
        case 1: try stream.send(Operation.reset)
        case 2:
            ends.closeAll()
            try guest.run { stream.hostEnds == 3 }
            try stream.send(Operation.reset)
        case 3: try stream.send(99)
        case 4:
            ends.add(try device.connect(toGuestPort: 7))
            let request = try guest.next()
            try guest.send(GuestPacket(7, request.sourcePort, Operation.reset))
        default: ends.add(try device.connect(toGuestPort: 8))
        }
        try guest.run { true }
        ends.closeAll()
        guest.inbox = []
    }
}

/// Programs' ends, some of which do something now and then.
private final class HandedEnds: @unchecked Sendable {
    private var ends: [HostEnd] = []

    var count: Int { ends.count }

    func add(_ descriptor: consuming Descriptor) {
        ends.append(HostEnd(descriptor))
    }

    func closeAll() {
        for end in ends { end.close() }
        ends = []
    }

    func act(_ random: inout SeededRandom) {
        guard let end = ends.randomElement(using: &random) else { return }
        switch Int.random(in: 0..<5, using: &random) {
        case 0: end.read()
        case 1: _ = end.write([1, 2, 3])
        case 2: UnixSockets.shutDown(.sending, of: end.number)
        case 3: UnixSockets.shutDown(.receiving, of: end.number)
        default:
            end.close()
            ends.removeAll { $0 === end }
        }
    }
}
