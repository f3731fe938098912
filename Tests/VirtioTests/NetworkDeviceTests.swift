import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

@Suite struct NetworkDeviceTests {
    @Test("the driver finds its address, its MTU and that the link is up")
    func configuration() throws {
        let peer = try FramePeer { $0.mtu = 1400 }
        let guest = try GuestNetwork(peer.device)
        let transport = guest.driver.transport
        #expect(guest.driver.register(8) == 1)
        #expect(transport.read(at: 0x100, count: 8) == 0x0001_0700_0000_0002)
        #expect(transport.read(at: 0x108, count: 4) == 1400 << 16 | 1)
        guest.driver.set(0x14, 0)
        #expect(guest.driver.register(0x10) & 1 << 3 != 0)
        let other = try GuestNetwork(FramePeer().device)
        other.driver.set(0x14, 0)
        #expect(other.driver.register(0x10) & 1 << 3 == 0)
        #expect(HardwareAddress([1, 0, 0, 0, 0, 1]) == nil)
        #expect(HardwareAddress([0, 0, 0, 0, 0, 0]) == nil)
        #expect(HardwareAddress([2, 0, 0, 0, 0]) == nil)
    }

    @Test("frames of the guest's arrive whole and in order")
    func fromGuest() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        for (index, size) in [14, 60, 1514, 65_553].enumerated() {
            let frame = patternedBytes(size, seed: index)
            #expect(try guest.send(frame))
            #expect(try peer.receive() == [UInt8](repeating: 0, count: 12) + frame)
        }
        #expect(guest.counters.packetsFromGuest == 4)
        #expect(guest.counters.bytesFromGuest == 14 + 60 + 1514 + 65_553)
    }

    @Test("large frames fill many buffers, and small ones one each")
    func merged() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        try guest.offer(0..<60, bytes: 1526)
        let sizes = [60, 60_000, 1514, 1515, 14, 20_000]
        for (index, size) in sizes.enumerated() {
            #expect(try peer.send(patternedBytes(size, seed: index)))
        }
        try guest.run { guest.frames.count == sizes.count }
        #expect(guest.bufferCounts == [1, 40, 1, 2, 1, 14])
        for (index, size) in sizes.enumerated() {
            #expect(guest.frames[index] == patternedBytes(size, seed: index))
        }
        #expect(guest.counters.packetsToGuest == 6 && guest.counters.dropped == 0)
    }

    @Test("what the host says of a frame reaches the guest")
    func headers() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        try guest.offer(0..<2, bytes: 1526)
        let header: [UInt8] = [1, 1, 66, 0, 0xb4, 5, 34, 0, 16, 0, 9, 9]
        #expect(try peer.send(patternedBytes(100, seed: 1), header: header))
        try guest.run { guest.frames.count == 1 }
        #expect(guest.headers == [Array(header.prefix(10)) + [1, 0]])
    }

    @Test("without merged buffers each frame is in one, and larger ones are dropped")
    func single() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(
            peer.device, features: ~GuestNetwork.Feature.mergedBuffers)
        // One for each: those that were too small go back empty.
        try guest.offer(0..<5, bytes: 1526)
        for size in [1515, 1514, 60_000, 60, 14] {
            #expect(try peer.send(patternedBytes(size, seed: size)))
        }
        try guest.run { guest.frames.count == 3 }
        #expect(guest.frames.map(\.count) == [1514, 60, 14])
        #expect(guest.bufferCounts == [1, 1, 1])
        #expect(guest.frames.allSatisfy { $0 == patternedBytes($0.count, seed: $0.count) })
        #expect(guest.counters.dropped == 2)
    }

    @Test("a frame for which all the guest's buffers are too small is dropped, the next is not")
    func tooLarge() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        try guest.offer(0..<3, bytes: 200)
        #expect(try peer.send(patternedBytes(800, seed: 1)))
        #expect(try peer.send(patternedBytes(400, seed: 2)))
        try guest.run { guest.frames.count == 1 }
        #expect(guest.frames == [patternedBytes(400, seed: 2)])
        #expect(guest.bufferCounts == [3] && guest.counters.dropped == 1)
    }

    @Test("frames wait for a guest that has no buffers")
    func noBuffers() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        for index in 0..<20 { #expect(try peer.send(patternedBytes(500, seed: index))) }
        try guest.settle()
        #expect(guest.frames.isEmpty)
        for index in 0..<20 {
            try guest.offer(index..<index + 1, bytes: 1526)
            try guest.run { guest.frames.count == index + 1 }
        }
        #expect(guest.frames == (0..<20).map { patternedBytes(500, seed: $0) })
        // And again when they are back.
        try guest.offer(0..<20, bytes: 1526)
        #expect(try peer.send([UInt8](repeating: 3, count: 60)))
        try guest.run { guest.frames.count == 21 }
    }

    @Test("buffers without room for a header go back empty")
    func smallBuffers() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        try guest.offer(0..<3, bytes: 11)
        try guest.offer(3..<4, bytes: 12)
        try guest.offer(4..<5, bytes: 1526)
        #expect(try peer.send(patternedBytes(60, seed: 1)))
        try guest.run { guest.frames.count == 1 }
        #expect(guest.frames == [patternedBytes(60, seed: 1)] && guest.bufferCounts == [2])
    }

    @Test("frames wait for a host that does not take them, and none is lost")
    func fullHost() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        var sent = 0
        while try guest.send(patternedBytes(1000, seed: sent)) { sent += 1 }
        try guest.settle()
        #expect(guest.isSending)
        #expect(guest.counters.packetsFromGuest < UInt64(sent))
        var received = 0
        try guest.run {
            while let frame = try peer.receive() {
                #expect(Array(frame.dropFirst(12)) == patternedBytes(1000, seed: received))
                received += 1
            }
            return received == sent
        }
        #expect(!guest.isSending)
    }

    @Test("a limit holds frames back until it is changed", arguments: [true, false])
    func limits(isFromGuest: Bool) throws {
        // Two frames of a hundred bytes, and a third in some days.
        let limits = TransferLimits(bytes: TokenBucket.Limit(perSecond: 1, burst: 200))
        let peer = try FramePeer {
            if isFromGuest { $0.fromGuest = limits } else { $0.toGuest = limits }
        }
        let guest = try GuestNetwork(peer.device)
        try guest.offer(0..<8, bytes: 1526)
        var received = 0
        for _ in 0..<5 {
            if isFromGuest {
                try guest.send(patternedBytes(100, seed: 1))
            } else {
                try peer.send(patternedBytes(100, seed: 1))
            }
            try guest.settle()
        }
        func count() throws -> Int {
            while try peer.receive() != nil { received += 1 }
            return received + guest.frames.count
        }
        #expect(try count() == 2)
        guest.driver.transport.withDevice { _ in
            guest.device.change(fromGuest: .none, toGuest: .none)
        }
        try guest.run { try count() == 5 }
    }

    @Test("frames that a limit held back go on by themselves", arguments: [true, false])
    func rate(isFromGuest: Bool) throws {
        let limits = TransferLimits(
            operations: TokenBucket.Limit(perSecond: 2000, burst: 1))
        let peer = try FramePeer {
            if isFromGuest { $0.fromGuest = limits } else { $0.toGuest = limits }
        }
        let guest = try GuestNetwork(peer.device)
        try guest.offer(0..<12, bytes: 1526)
        var received = 0
        let watch = try guest.driver.loop.watch(peer.number, for: .readable) { _ in }
        defer { watch.cancel() }
        for _ in 0..<12 {
            if isFromGuest {
                try guest.send(patternedBytes(100, seed: 1))
            } else {
                try peer.send(patternedBytes(100, seed: 1))
            }
        }
        try guest.run {
            while try peer.receive() != nil { received += 1 }
            return received + guest.frames.count == 12
        }
    }

    @Test("a link that goes away is told to the driver, and turns no wheel")
    func linkDown() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        #expect(guest.driver.transport.read(at: 0x106, count: 2) == 1)
        peer.close()
        try guest.run { guest.driver.transport.read(at: 0x106, count: 2) == 0 }
        #expect(guest.driver.register(0x60) & 2 != 0)
    }

    @Test("a driver that begins anew goes on with the frames that wait")
    func restart() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        try guest.offer(0..<8, bytes: 1526)
        try guest.run { true }
        let device = peer.device
        let transport = guest.driver.transport
        transport.write(0, at: 0x70, count: 4)
        #expect(try peer.send(patternedBytes(77, seed: 1)))
        guest.driver.begin(queueSize: 64)
        try guest.driver.offer(room: [1526], to: 0)
        guest.driver.kick(0)
        var done: [(head: UInt16, written: Int)] = []
        guest.driver.run {
            done += (try? guest.driver.collect(0)) ?? []
            return !done.isEmpty
        }
        #expect(done.map(\.written) == [12 + 77])
        #expect(device.counters.packetsToGuest == 1)
    }
}
