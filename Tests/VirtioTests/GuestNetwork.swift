import Foundation
import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

/// A guest's side of a device for a network, and what is at the other end of it.
final class GuestNetwork {
    static let address = HardwareAddress([2, 0, 0, 0, 0, 7])

    enum Feature {
        static let mergedBuffers: UInt64 = 1 << 15
        static let all: UInt64 = .max
    }

    let driver: TestDriver
    let device: NetworkDevice
    /// What came, without its headers.
    var frames: [[UInt8]] = []
    /// How many buffers each of them took, and the beginning of its header.
    var bufferCounts: [Int] = []
    var headers: [[UInt8]] = []
    private var freeSlots = Array(0..<16)
    private var sending: [UInt16: Int] = [:]
    private var receiving: [UInt16: GuestRange] = [:]
    private var partial: [UInt8] = []
    private var partialCount = 0
    private var missing = 0

    init(
        _ device: NetworkDevice, features: UInt64 = Feature.all, queueSize: UInt16 = 64
    ) throws {
        self.device = device
        driver = try TestDriver(device)
        driver.begin(features: features, queueSize: queueSize)
        let line = driver.line
        try driver.loop.watch(line.descriptor, for: .readable) { _ in line.clear() }
        driver.run { true }
    }

    /// Gives the device so many further buffers. There is room for 64 of 16 KiB, or of 65 KiB for
    /// the first 15.
    func offer(_ slots: Range<Int>, bytes: Int, stride: Int = 16384) throws {
        for slot in slots {
            let range = GuestRange(
                GuestAddress(rawValue: UInt64(1 << 20 + slot * stride)), count: bytes)
            receiving[try driver.offer(parts: [(range, true)], to: 0)] = range
        }
        driver.kick(0)
    }

    /// Sends a frame, its header apart. False where there is no place for it.
    @discardableResult
    func send(_ frame: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: 12)) throws -> Bool {
        try pump()
        guard let slot = freeSlots.popLast() else { return false }
        let place = UInt64(2 << 20 + slot * 131072)
        let parts = [
            GuestRange(GuestAddress(rawValue: place), count: header.count),
            GuestRange(GuestAddress(rawValue: place + 64), count: frame.count),
        ]
        try driver.memory.write(header, to: parts[0].start)
        try driver.memory.write(frame, to: parts[1].start)
        let used = parts.filter { $0.count > 0 }.map { (range: $0, isWritable: false) }
        sending[try driver.offer(parts: used, to: 1)] = slot
        driver.kick(1)
        return true
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
            let bytes = try driver.memory.bytes(in: try #require(given).prefix(written))
            if written > 0 { try take(bytes) }
        }
        return !sent.isEmpty || !received.isEmpty
    }

    private func take(_ bytes: [UInt8]) throws {
        if missing == 0 {
            let count = Int(bytes[10]) | Int(bytes[11]) << 8
            try #require(count > 0)
            headers.append(Array(bytes.prefix(12)))
            partial = Array(bytes.dropFirst(12))
            partialCount = count
            missing = count
        } else {
            partial += bytes
        }
        missing -= 1
        if missing == 0 {
            frames.append(partial)
            bufferCounts.append(partialCount)
        }
    }

    /// Whether a frame is only in part there.
    var isWhole: Bool { missing == 0 }

    var isSending: Bool { !sending.isEmpty }

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

    /// Lets everything happen that is ready.
    func settle() throws {
        let loop = driver.loop
        for _ in 0..<2 {
            // The first is called before the loop looks at anything.
            let isOver = Locked(false)
            loop.enqueue { loop.enqueue { isOver.with { $0 = true } } }
            try run { isOver.with { $0 } }
        }
    }

    /// How many buffers the device has.
    var buffersOut: Int { receiving.count }

    var counters: NetworkCounters {
        var counters = NetworkCounters()
        driver.transport.withDevice { _ in counters = device.counters }
        return counters
    }
}

/// Something in place of a TAP: a socket that keeps frames apart.
final class FramePeer {
    private var descriptor: Descriptor?
    let device: NetworkDevice

    init(change: (inout NetworkDevice.Settings) -> Void = { _ in }) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "alcove-frames-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let directory = try Files.open(folder.path, [.readOnly, .directory])
        let listener = try MessageSockets.listen(at: "s", in: directory, backlog: 1)
        let ours = try MessageSockets.connect(to: "s", in: directory, takesCredentials: false)
        guard let theirs = try UnixSockets.accept(listener) else {
            throw SystemCallError(call: "accept", errorNumber: .noEntry)
        }
        descriptor = .some(ours)
        var settings = NetworkDevice.Settings(try #require(GuestNetwork.address))
        change(&settings)
        device = try NetworkDevice(packets: theirs, settings)
    }

    var number: Int32 { descriptor.number }

    func close() { descriptor = nil }

    /// A frame after its header; nothing where there is none.
    func receive() throws -> [UInt8]? {
        switch descriptor {
        case .some(let descriptor):
            guard let message = try MessageSockets.receive(from: descriptor, atMost: 70_000) else {
                return nil
            }
            return message.bytes
        case .none: return nil
        }
    }

    /// False where the device has enough that it did not take yet.
    @discardableResult
    func send(_ frame: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: 12)) throws -> Bool {
        switch descriptor {
        case .some(let descriptor):
            do throws(SystemCallError) {
                try MessageSockets.send(header + frame, to: descriptor)
            } catch {
                guard error.errorNumber == .wouldBlock else { throw error }
                return false
            }
            return true
        case .none: return false
        }
    }
}
