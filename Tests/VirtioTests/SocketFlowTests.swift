import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

private typealias Operation = GuestPacket.Operation

/// More than all buffers and credits between the two ends.
private let manyBytes = 2 << 20

@Suite struct SocketFlowTests {
    /// Moves bytes both ways at once.
    private func exchange(
        _ guest: GuestSockets, _ stream: GuestStream, _ host: HostEnd, hostReads: Int = 65536
    ) throws {
        let toHost = patternedBytes(manyBytes, seed: 1)
        let toGuest = patternedBytes(manyBytes, seed: 2)
        var sent = 0
        var written = 0
        let watch = try guest.driver.loop.watch(host.number, for: [.readable, .writable]) { _ in }
        defer { watch.cancel() }
        try guest.run {
            if sent < toHost.count { sent += try stream.write(toHost[sent...]) }
            if written < toGuest.count { written += host.write(toGuest, from: written) }
            if written == toGuest.count { watch.change(to: .readable) }
            host.read(atMost: hostReads)
            return host.received.count == manyBytes && stream.received.count == manyBytes
        }
        #expect(host.received == toHost)
        #expect(stream.received == toGuest)
    }

    @Test(
        "megabytes go both ways whole, however small the buffers are",
        arguments: [(24, 4096, 65536), (24, 1500, 1000), (1, 700, 65536), (2, 16384, 4096)])
    func both(buffers: Int, bufferBytes: Int, hostReads: Int) throws {
        let host = HostEnd()
        let device = SocketDevice(cid: 3)
        device.listen(onPort: 1000, host.handler)
        let guest = try GuestSockets(device, buffers: buffers, bufferBytes: bufferBytes)
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        try exchange(guest, stream, host, hostReads: hostReads)
        try stream.close()
        #expect(guest.counters.resets == 0)
        #expect(guest.counters.bytesFromGuest == UInt64(manyBytes))
        #expect(guest.counters.bytesToGuest == UInt64(manyBytes))
    }

    @Test("a connection that the program began does the same, also without event indices")
    func begun() throws {
        let guest = try GuestSockets(SocketDevice(cid: 3), features: ~(1 << 29))
        let host = HostEnd(try guest.device.connect(toGuestPort: 70))
        let stream = try guest.accept()
        try exchange(guest, stream, host)
        host.close()
        try guest.run { stream.hostEnds == 3 }
    }

    @Test("what the guest sent before it closed reaches a program that reads later")
    func late() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        let bytes = patternedBytes(manyBytes, seed: 3)
        var sent = 0
        var last = -1
        try guest.run {
            (last, sent) = (sent, sent + (try stream.write(bytes[sent...])))
            return last == sent
        }
        // The socket's buffer and the connection's, and no more.
        #expect(sent < 1 << 20 && sent > 256 << 10)
        #expect(stream.credit == 0)
        try stream.send(Operation.shutdown, flags: 3)
        try guest.run { true }
        #expect(!stream.isReset)
        // The guest gives up waiting, and forgets the connection.
        try stream.send(Operation.reset)
        try guest.driver.loop.watch(host.number, for: .readable) { _ in }
        try guest.run {
            host.read()
            return host.hasEnded
        }
        #expect(host.received == Array(bytes.prefix(sent)))
        #expect(guest.connections == 0)
    }

    @Test("a guest that sends more than it was allowed is reset")
    func greedy() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        let piece = [UInt8](repeating: 1, count: 16384)
        for _ in 0..<64 {
            try stream.send(Operation.data, data: piece)
            try guest.run { true }
        }
        try guest.run { stream.isReset }
        host.read()
        #expect(guest.connections == 0 && guest.counters.resets == 1)
    }

    @Test("a guest that does not read is asked for credit once, and sent no more")
    func lazyGuest() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        stream.reads = false
        let bytes = patternedBytes(manyBytes, seed: 4)
        var written = 0
        while true {
            let count = host.write(bytes, from: written)
            try guest.run { true }
            written += count
            if count == 0 { break }
        }
        try guest.run { stream.creditRequests == 1 }
        #expect(stream.unread.count == Int(stream.allowance))
        // The program's end is full, and the device holds nothing.
        #expect(written < 1 << 20)
        #expect(guest.counters.bytesToGuest == UInt64(stream.allowance))
        stream.reads = true
        try stream.read()
        try guest.run { stream.received.count == written }
        #expect(stream.received == Array(bytes.prefix(written)))
    }

    @Test("a guest that has closed its window and says so is left alone by a program that ends")
    func endWithoutCredit() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        stream.reads = false
        let bytes = patternedBytes(100_000, seed: 4)
        #expect(host.write(bytes) == bytes.count)
        try guest.run { stream.unread.count == Int(stream.allowance) }
        host.close()
        // It is told of the half that it can know of at once.
        try guest.run { stream.hostEnds == 1 }
        stream.reads = true
        try stream.read()
        try guest.run { stream.hostEnds == 3 }
        #expect(stream.received == bytes)
        try stream.send(Operation.reset)
        try guest.run { guest.connections == 0 }
    }

    @Test("connections share a guest's few buffers by turns")
    func turns() throws {
        let device = SocketDevice(cid: 3)
        let hosts = (0..<8).map { _ in HostEnd() }
        for (index, host) in hosts.enumerated() {
            device.listen(onPort: UInt32(index), host.handler)
        }
        let guest = try GuestSockets(device, buffers: 1)
        var streams: [GuestStream] = []
        for index in hosts.indices {
            streams.append(try guest.connect(from: UInt32(index), to: UInt32(index)))
            streams[index].allowance = 1 << 20
            try streams[index].send(Operation.creditUpdate)
        }
        try guest.run { hosts.allSatisfy(\.isThere) }
        let bytes = patternedBytes(64 << 10, seed: 5)
        for host in hosts { #expect(host.write(bytes) == bytes.count) }
        // When the first is through, no other is far behind.
        try guest.run { streams.contains { $0.received.count == bytes.count } }
        let least = streams.map(\.received.count).min() ?? 0
        #expect(least >= bytes.count - 3 * 4096)
        try guest.run { streams.allSatisfy { $0.received.count == bytes.count } }
    }

    @Test("a program that closes before it has read everything does not lose what it sent")
    func closesUnread() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        #expect(try stream.write([1, 2, 3]) == 3)
        #expect(host.write([4, 5]) == 2)
        host.close()
        try guest.run { stream.hostEnds == 3 }
        #expect(stream.received.count == 2)
    }
}
