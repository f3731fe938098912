import Foundation
import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

/// A packet as a guest's kernel writes and reads it.
struct GuestPacket: Equatable {
    enum Operation {
        static let request: UInt16 = 1
        static let response: UInt16 = 2
        static let reset: UInt16 = 3
        static let shutdown: UInt16 = 4
        static let data: UInt16 = 5
        static let creditUpdate: UInt16 = 6
        static let creditRequest: UInt16 = 7
    }

    var sourceCID: UInt64 = 3
    var targetCID: UInt64 = 2
    var sourcePort: UInt32
    var targetPort: UInt32
    /// How many bytes it says that follow, if not as many as do.
    var claimedCount: UInt32?
    var kind: UInt16 = 1
    var operation: UInt16
    var flags: UInt32 = 0
    var allowance: UInt32 = 1 << 16
    var forwarded: UInt32 = 0
    var data: [UInt8] = []

    init(_ sourcePort: UInt32, _ targetPort: UInt32, _ operation: UInt16) {
        self.sourcePort = sourcePort
        self.targetPort = targetPort
        self.operation = operation
    }

    init(_ bytes: [UInt8]) {
        func number(_ start: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
        }
        sourceCID = number(0, 8)
        targetCID = number(8, 8)
        sourcePort = UInt32(number(16, 4))
        targetPort = UInt32(number(20, 4))
        claimedCount = UInt32(number(24, 4))
        kind = UInt16(number(28, 2))
        operation = UInt16(number(30, 2))
        flags = UInt32(number(32, 4))
        allowance = UInt32(number(36, 4))
        forwarded = UInt32(number(40, 4))
        data = Array(bytes[44...])
    }

    var header: [UInt8] {
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
            (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }
        return bytes(sourceCID) + bytes(targetCID) + bytes(sourcePort) + bytes(targetPort)
            + bytes(claimedCount ?? UInt32(data.count)) + bytes(kind) + bytes(operation)
            + bytes(flags) + bytes(allowance) + bytes(forwarded)
    }
}

/// A guest's side of a device for sockets.
final class GuestSockets {
    let driver: TestDriver
    let device: SocketDevice
    /// What came for no stream.
    var inbox: [GuestPacket] = []
    var streams: [UInt32: GuestStream] = [:]
    private var freeSlots = Array(0..<32)
    private var sending: [UInt16: Int] = [:]
    private var receiving: [UInt16: Int] = [:]
    private var outbox: [GuestPacket] = []
    /// How many buffers the device is given.
    private let buffers: Int
    private let bufferBytes: Int

    init(
        _ device: SocketDevice, buffers: Int = 24, bufferBytes: Int = 4096,
        features: UInt64 = .max
    ) throws {
        self.device = device
        self.buffers = buffers
        self.bufferBytes = bufferBytes
        driver = try TestDriver(device)
        driver.begin(features: features, queueSize: 64)
        let line = driver.line
        try driver.loop.watch(line.descriptor, for: .readable) { _ in line.clear() }
        driver.run { true }
        for slot in 0..<buffers { try offer(slot) }
        driver.kick(0)
    }

    convenience init(handling ports: [UInt32: SocketDevice.Handler]) throws {
        let device = SocketDevice(cid: 3)
        for (port, handler) in ports { device.listen(onPort: port, handler) }
        try self.init(device)
    }

    private func range(_ start: Int, _ count: Int) -> GuestRange {
        GuestRange(GuestAddress(rawValue: UInt64(start)), count: count)
    }

    private func offer(_ slot: Int) throws {
        let head = try driver.offer(
            parts: [
                (range(1 << 20 | slot * 64, 44), true),
                (range(2 << 20 | slot * 16384, bufferBytes), true),
            ], to: 0)
        receiving[head] = slot
    }

    /// Gives the device further buffers.
    func offerMore(_ slots: Range<Int>) throws {
        for slot in slots { try offer(slot) }
        driver.kick(0)
    }

    /// Sends a packet when there is room. What is longer than its data claims otherwise.
    func send(_ packet: GuestPacket) throws {
        outbox.append(packet)
        try pushOut()
    }

    private func pushOut() throws {
        var isFirst = true
        while !outbox.isEmpty, let slot = freeSlots.popLast() {
            let packet = outbox.removeFirst()
            let place = 3 << 20 | slot * 16384
            let header = range(1 << 20 | 65536 | slot * 64, 44)
            try driver.memory.write(packet.header, to: header.start)
            var parts = [(range: header, isWritable: false)]
            if !packet.data.isEmpty {
                let data = range(place, packet.data.count)
                try driver.memory.write(packet.data, to: data.start)
                parts.append((data, false))
            }
            sending[try driver.offer(parts: parts, to: 1)] = slot
            isFirst = false
        }
        if !isFirst { driver.kick(1) }
    }

    /// Takes what the device did. False when that was nothing.
    @discardableResult
    func pump() throws -> Bool {
        let sent = try driver.collect(1)
        for (head, _) in sent {
            if let slot = sending.removeValue(forKey: head) { freeSlots.append(slot) }
        }
        let received = try driver.collect(0)
        for (head, written) in received {
            let given = receiving.removeValue(forKey: head)
            let slot = try #require(given)
            if written > 0 { try take(slot, written) }
            try offer(slot)
        }
        if !received.isEmpty { driver.kick(0) }
        try pushOut()
        return !sent.isEmpty || !received.isEmpty
    }

    private func take(_ slot: Int, _ written: Int) throws {
        #expect(written >= 44)
        var bytes = try driver.memory.bytes(in: range(1 << 20 | slot * 64, 44))
        bytes += try driver.memory.bytes(in: range(2 << 20 | slot * 16384, written - 44))
        let packet = GuestPacket(bytes)
        #expect(packet.claimedCount == UInt32(packet.data.count))
        #expect(packet.sourceCID == 2 && packet.targetCID == 3)
        if let stream = streams[packet.targetPort] {
            try stream.take(packet)
        } else {
            inbox.append(packet)
        }
    }

    /// Lets everything happen that does until the condition holds.
    func run(until isDone: () throws -> Bool) throws {
        var failure: (any Error)?
        driver.run {
            do {
                while try self.pump() {}
                return try isDone() || self.driver.transport.failure != nil
            } catch {
                failure = error
                return true
            }
        }
        if let failure { throw failure }
        #expect(driver.transport.failure == nil)
    }

    /// The next packet for no stream.
    func next() throws -> GuestPacket {
        try run { !inbox.isEmpty }
        return try #require(inbox.isEmpty ? nil : inbox.removeFirst())
    }

    /// A connection that the guest asks for.
    func connect(from port: UInt32, to hostPort: UInt32) throws -> GuestStream {
        let stream = GuestStream(self, port, hostPort)
        streams[port] = stream
        try stream.send(GuestPacket.Operation.request)
        try run { stream.isOpen || stream.isReset }
        return stream
    }

    /// Takes a connection that the host asks for.
    func accept() throws -> GuestStream {
        let request = try next()
        #expect(request.operation == GuestPacket.Operation.request)
        let stream = GuestStream(self, request.targetPort, request.sourcePort)
        streams[request.targetPort] = stream
        try stream.take(request)
        try stream.send(GuestPacket.Operation.response)
        return stream
    }

    /// What the device says of itself.
    var counters: SocketCounters {
        var counters = SocketCounters()
        driver.transport.withDevice { _ in counters = device.counters }
        return counters
    }

    var connections: Int {
        var count = 0
        driver.transport.withDevice { _ in count = device.connections }
        return count
    }
}

/// One end of a stream, which keeps to the credit it is given and holds the device to its own.
final class GuestStream {
    private unowned let sockets: GuestSockets
    let port: UInt32
    let hostPort: UInt32
    var isOpen = false
    var isReset = false
    /// What the host has ended: bit 0 receiving, bit 1 sending.
    var hostEnds: UInt32 = 0
    var allowance: UInt32 = 32768
    /// Whether what comes is read at once.
    var reads = true
    private(set) var unread: [UInt8] = []
    private(set) var received: [UInt8] = []
    private var arrived: UInt32 = 0
    private var forwarded: UInt32 = 0
    private var sent: UInt32 = 0
    private var hostAllowance: UInt32 = 0
    private var hostForwarded: UInt32 = 0
    private(set) var creditRequests = 0

    init(_ sockets: GuestSockets, _ port: UInt32, _ hostPort: UInt32) {
        self.sockets = sockets
        self.port = port
        self.hostPort = hostPort
    }

    func send(_ operation: UInt16, flags: UInt32 = 0, data: [UInt8] = []) throws {
        var packet = GuestPacket(port, hostPort, operation)
        packet.flags = flags
        packet.data = data
        packet.allowance = allowance
        packet.forwarded = forwarded
        try sockets.send(packet)
    }

    /// How much the host takes.
    var credit: Int { Int(hostAllowance) - Int(sent &- hostForwarded) }

    /// Sends what the credit allows. Gives how much that was.
    func write(_ bytes: ArraySlice<UInt8>) throws -> Int {
        var done = 0
        while done < bytes.count, credit > 0 {
            let piece = bytes.dropFirst(done).prefix(min(credit, 16384))
            sent &+= UInt32(piece.count)
            done += piece.count
            try send(GuestPacket.Operation.data, data: Array(piece))
        }
        return done
    }

    func take(_ packet: GuestPacket) throws {
        #expect(packet.sourcePort == hostPort)
        hostAllowance = packet.allowance
        hostForwarded = packet.forwarded
        switch packet.operation {
        case GuestPacket.Operation.request, GuestPacket.Operation.response: isOpen = true
        case GuestPacket.Operation.reset: isReset = true
        case GuestPacket.Operation.shutdown: hostEnds |= packet.flags
        case GuestPacket.Operation.data:
            arrived &+= UInt32(packet.data.count)
            #expect(arrived &- forwarded <= allowance)
            #expect(hostEnds & 2 == 0)
            unread += packet.data
            if reads { try read() }
        case GuestPacket.Operation.creditRequest:
            creditRequests += 1
            if reads { try send(GuestPacket.Operation.creditUpdate) }
        default: break
        }
    }

    /// Reads what has come, and says so.
    func read() throws {
        guard !unread.isEmpty else { return }
        received += unread
        forwarded &+= UInt32(unread.count)
        unread = []
        try send(GuestPacket.Operation.creditUpdate)
    }

    /// Says that it neither sends nor receives any more, and waits for the answer.
    func close() throws {
        try send(GuestPacket.Operation.shutdown, flags: 3)
        try sockets.run { isReset }
    }
}

/// A program's end of a connection.
final class HostEnd: @unchecked Sendable {
    private(set) var descriptor: Descriptor?
    private(set) var received: [UInt8] = []
    var hasEnded = false
    var wasRefused = false

    /// Takes what a device hands over.
    var handler: SocketDevice.Handler {
        { [self] descriptor in self.descriptor = .some(descriptor) }
    }

    init() {}

    init(_ descriptor: consuming Descriptor) {
        self.descriptor = .some(descriptor)
    }

    var number: Int32 { descriptor.number }
    var isThere: Bool { descriptor.number >= 0 }

    func close() { descriptor = nil }

    /// Reads what is there.
    @discardableResult
    func read(atMost count: Int = 65536) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        switch UnixSockets.receive(number, into: &buffer) {
        case .bytes(let count):
            hasEnded = count == 0
            let bytes = Array(buffer.prefix(count))
            received += bytes
            return bytes
        case .wouldBlock: return []
        case .failed:
            hasEnded = true
            return []
        }
    }

    /// Gives how much was written.
    func write(_ bytes: [UInt8], from start: Int = 0) -> Int {
        switch UnixSockets.send(bytes, from: start, to: number) {
        case .bytes(let count): return count
        case .wouldBlock: return 0
        case .failed:
            wasRefused = true
            return 0
        }
    }
}

/// Bytes that look like nothing in particular, others for another seed.
func patternedBytes(_ count: Int, seed: Int) -> [UInt8] {
    var bytes = pattern
    while bytes.count < count + seed { bytes += bytes }
    return Array(bytes[seed..<seed + count])
}

/// Of a length that no buffer's is a multiple of.
private let pattern: [UInt8] = {
    var random = SeededRandom(seed: 1)
    return (0..<65521).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}()

/// The sockets that this process has open. What else it has is also the test runner's.
func openSockets() throws -> [String] {
    let folder = "/proc/self/fd/"
    return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().compactMap {
        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: folder + $0)
        return target?.hasPrefix("socket:") == true ? $0 : nil
    }
}
