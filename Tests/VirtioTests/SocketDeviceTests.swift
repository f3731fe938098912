import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

private typealias Operation = GuestPacket.Operation

@Suite struct SocketDeviceTests {
    @Test("the driver finds its address")
    func address() throws {
        let guest = try GuestSockets(SocketDevice(cid: 0x1234_5678))
        #expect(guest.driver.register(8) == 19)
        #expect(guest.driver.transport.read(at: 0x100, count: 8) == 0x1234_5678)
    }

    @Test("the guest connects to a port of the program's, and both talk and end")
    func guestConnects() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        #expect(stream.isOpen)
        #expect(try stream.write(Array("hello"[...].utf8)[...]) == 5)
        #expect(host.read() == Array("hello".utf8))
        #expect(host.write(Array("world!".utf8)) == 6)
        stream.reads = false
        try guest.run { stream.unread.count == 6 }
        #expect(stream.unread == Array("world!".utf8))
        try stream.close()
        host.read()
        #expect(host.hasEnded)
        #expect(guest.connections == 0)
        #expect(guest.counters.opened == 1 && guest.counters.resets == 0)
        #expect(guest.counters.bytesFromGuest == 5 && guest.counters.bytesToGuest == 6)
    }

    @Test("the program connects to a port of the guest's, and both talk and end")
    func programConnects() throws {
        let guest = try GuestSockets(SocketDevice(cid: 3))
        let host = HostEnd(try guest.device.connect(toGuestPort: 70))
        // What is written before the guest has answered is not lost.
        #expect(host.write([1, 2, 3]) == 3)
        let stream = try guest.accept()
        #expect(stream.port == 70)
        stream.reads = false
        try guest.run { stream.unread == [1, 2, 3] }
        #expect(try stream.write([9, 8]) == 2)
        #expect(host.read() == [9, 8])
        host.close()
        try guest.run { stream.hostEnds == 3 }
        #expect(guest.connections == 1)
        try stream.send(Operation.reset)
        try guest.run { guest.connections == 0 }
    }

    @Test("a port that nobody listens at refuses the guest")
    func refused() throws {
        let guest = try GuestSockets(SocketDevice(cid: 3))
        let stream = try guest.connect(from: 5, to: 1000)
        #expect(stream.isReset && !stream.isOpen)
        #expect(guest.counters.refused == 1 && guest.connections == 0)
    }

    @Test("a guest that refuses closes the program's end")
    func guestRefuses() throws {
        let guest = try GuestSockets(SocketDevice(cid: 3))
        let host = HostEnd(try guest.device.connect(toGuestPort: 70))
        let request = try guest.next()
        try guest.send(GuestPacket(70, request.sourcePort, Operation.reset))
        try guest.run { guest.connections == 0 }
        host.read()
        #expect(host.hasEnded)
        #expect(guest.counters.refused == 1)
    }

    @Test("a guest that does not answer is given up, and told so")
    func timeOut() throws {
        var settings = SocketDevice.Settings()
        settings.connectTimeout = .nanoseconds(1)
        let guest = try GuestSockets(SocketDevice(cid: 3, settings))
        let host = HostEnd(try guest.device.connect(toGuestPort: 70))
        try guest.run {
            host.read()
            return host.hasEnded
        }
        #expect(guest.counters.refused == 1)
        // The end is told where the beginning was.
        try guest.run { guest.connections == 0 }
        #expect(
            guest.inbox.map(\.operation) == []
                || guest.inbox.map(\.operation) == [Operation.request, Operation.reset])
    }

    @Test("without a driver there is no port of the guest's")
    func noDriver() throws {
        let device = SocketDevice(cid: 3)
        #expect(throws: SystemCallError.self) { _ = try device.connect(toGuestPort: 1) }
    }

    @Test("the host's end of sending leaves the other direction as it is")
    func hostHalf() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        UnixSockets.shutDown(.sending, of: host.number)
        try guest.run { stream.hostEnds != 0 }
        #expect(stream.hostEnds == 2)
        #expect(try stream.write([1, 2]) == 2)
        #expect(host.read() == [1, 2])
        #expect(!host.hasEnded)
        // The guest ends the other half, and then there is nothing left.
        try stream.send(Operation.shutdown, flags: 2)
        host.read()
        #expect(host.hasEnded)
        try guest.run { stream.hostEnds == 3 }
        try stream.send(Operation.reset)
        try guest.run { guest.connections == 0 }
        #expect(guest.counters.resets == 0)
    }

    @Test("the guest's end of sending leaves the other direction as it is")
    func guestHalf() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        stream.reads = false
        try stream.send(Operation.shutdown, flags: 2)
        host.read()
        #expect(host.hasEnded)
        #expect(host.write([7, 7, 7]) == 3)
        try guest.run { stream.unread == [7, 7, 7] }
        host.close()
        try guest.run { stream.hostEnds == 3 }
        try stream.close()
        #expect(guest.connections == 0)
    }

    @Test("a guest that receives no more makes the program's writing fail")
    func guestReceivesNoMore() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        try stream.send(Operation.shutdown, flags: 1)
        #expect(host.write([1]) == 0 && host.wasRefused)
        #expect(try stream.write([4, 5]) == 2)
        #expect(host.read() == [4, 5])
        try stream.close()
        host.read()
        #expect(host.hasEnded)
    }

    @Test("a program that receives no more makes the guest hear of it")
    func hostReceivesNoMore() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        UnixSockets.shutDown(.receiving, of: host.number)
        #expect(try stream.write([4, 5]) == 2)
        try guest.run { stream.hostEnds == 1 }
        stream.reads = false
        #expect(host.write([6]) == 1)
        try guest.run { stream.unread == [6] }
        try stream.close()
    }

    @Test("a reset by the guest closes the program's end")
    func guestResets() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        try stream.send(Operation.reset)
        try guest.run { guest.connections == 0 }
        host.read()
        #expect(host.hasEnded)
        #expect(guest.inbox.isEmpty && !stream.isReset)
    }

    @Test("a guest that does not acknowledge the end is reset")
    func closeTimeOut() throws {
        let host = HostEnd()
        var settings = SocketDevice.Settings()
        settings.closeTimeout = .nanoseconds(1)
        let device = SocketDevice(cid: 3, settings)
        device.listen(onPort: 1000, host.handler)
        let guest = try GuestSockets(device)
        let stream = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        host.close()
        try guest.run { stream.isReset }
        #expect(guest.connections == 0 && guest.counters.resets == 1)
    }

    @Test("connections beyond the limit are refused, until one has ended")
    func limit() throws {
        var settings = SocketDevice.Settings()
        settings.mostConnections = 3
        let device = SocketDevice(cid: 3, settings)
        let hosts = (0..<4).map { _ in HostEnd() }
        for index in 0..<4 as Range<UInt32> {
            device.listen(onPort: 1000 + index, hosts[Int(index)].handler)
        }
        let guest = try GuestSockets(device)
        var streams: [GuestStream] = []
        for index in 0..<4 as Range<UInt32> {
            streams.append(try guest.connect(from: 5 + index, to: 1000 + index))
        }
        #expect(streams.map(\.isReset) == [false, false, false, true])
        let refused = HostEnd(try guest.device.connect(toGuestPort: 9))
        try guest.run {
            refused.read()
            return refused.hasEnded
        }
        #expect(guest.inbox.isEmpty && guest.counters.refused == 2)
        try streams[1].close()
        #expect(try guest.connect(from: 99, to: 1003).isOpen)
    }

    @Test("a driver that begins anew finds no connections, and programs find the end")
    func restart() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        let stream = try guest.connect(from: 5, to: 1000)
        let asking = HostEnd(try guest.device.connect(toGuestPort: 9))
        try guest.run { host.isThere && !guest.inbox.isEmpty }
        #expect(stream.isOpen && guest.connections == 2)
        guest.driver.set(0x70, 0)
        host.read()
        asking.read()
        #expect(host.hasEnded && asking.hasEnded)
        #expect(guest.connections == 0)
    }

    @Test("a guest that goes on elsewhere is told that its connections are gone")
    func transportReset() throws {
        let host = HostEnd()
        let guest = try GuestSockets(handling: [1000: host.handler])
        _ = try guest.connect(from: 5, to: 1000)
        try guest.run { host.isThere }
        guest.device.resetTransport()
        try guest.run { guest.connections == 0 }
        host.read()
        #expect(host.hasEnded)
        // There was no room for the event until now.
        let event = try guest.driver.request(room: [4], to: 2)
        #expect(event == [0, 0, 0, 0])
        let other = try guest.driver.offer(room: [4], to: 2)
        guest.driver.kick(2)
        #expect(try guest.driver.collect(2).isEmpty)
        guest.device.resetTransport()
        var heads: [UInt16] = []
        try guest.run {
            heads += try guest.driver.collect(2).map(\.head)
            return !heads.isEmpty
        }
        #expect(heads == [other.head])
    }

    @Test("drivers that come and go on other threads than the loop's leave nothing")
    func threads() async {
        await #expect(processExitsWith: .success) {
            let device = SocketDevice(cid: 3)
            device.listen(onPort: 1000) { _ in }
            let before = try openSockets()
            do {
                let driver = try TestDriver(device)
                let thread = try driver.loop.start()
                for round in 0..<300 as Range<UInt32> {
                    driver.begin(queueSize: 64)
                    for port in 0..<round % 8 {
                        _ = try driver.offer(
                            [GuestPacket(port, 1000, Operation.request).header], to: 1)
                    }
                    driver.kick(1)
                    for port in 0..<round % 3 { _ = try? device.connect(toGuestPort: port) }
                }
                driver.set(0x70, 0)
                #expect(driver.transport.failure == nil)
                driver.loop.stop()
                thread.join()
            }
            #expect(try openSockets() == before)
        }
    }
}
