import Foundation
import GuestMemory

/// A kernel file of a few instructions and the memory that they find, entered by the protocol of
/// paravirtual machines: for the finished monitor.
struct TinyKernel {
    static let data: UInt64 = 0x30_0000
    var guest = TinyGuest()
    /// What is in memory from ``data`` on.
    private(set) var memory: [UInt8] = []

    mutating func set(_ bytes: [UInt8], at address: UInt64) {
        let start = Int(address - Self.data)
        if memory.count < start + bytes.count {
            memory += [UInt8](repeating: 0, count: start + bytes.count - memory.count)
        }
        memory.replaceSubrange(start..<start + bytes.count, with: bytes)
    }

    static func little<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
        (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Number($0 * 8)) }
    }

    /// An ELF file for x86-64 with a note that says where 32-bit mode begins.
    var file: [UInt8] {
        let entry = TinyGuest.start.rawValue
        let note =
            Self.little(UInt32(4)) + Self.little(UInt32(4)) + Self.little(UInt32(18))
            + Array("Xen\0".utf8) + Self.little(UInt32(entry))
        let parts: [(kind: UInt32, address: UInt64, bytes: [UInt8])] = [
            (4, 0, note), (1, entry, guest.code), (1, Self.data, memory),
        ]
        var head: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        head += Self.little(UInt16(2)) + Self.little(UInt16(62)) + Self.little(UInt32(1))
        head += Self.little(entry) + Self.little(UInt64(64)) + Self.little(UInt64(0))
        head += Self.little(UInt32(0)) + Self.little(UInt16(64)) + Self.little(UInt16(56))
        head += Self.little(UInt16(parts.count)) + [UInt8](repeating: 0, count: 6)
        var body: [UInt8] = []
        let start = 64 + 56 * parts.count
        for part in parts {
            head += Self.little(part.kind) + Self.little(UInt32(4))
            head += Self.little(UInt64(start + body.count))
            head += Self.little(part.address) + Self.little(part.address)
            let count = UInt64(part.bytes.count)
            head += Self.little(count) + Self.little(max(count, 1)) + Self.little(UInt64(4096))
            body += part.bytes
        }
        return head + body
    }

    /// Sets a device of the guest up and lets it work.
    mutating func begin(_ device: TinyDevice) {
        let window = device.window
        for value in [0, 1, 3] as [UInt32] { guest.store(value, window + 0x70) }
        for (half, features) in [device.features, 1].enumerated() {
            guest.store(UInt32(half), window + 0x24)
            guest.store(features, window + 0x20)
        }
        guest.store(11, window + 0x70)
        for (index, queue) in device.queues.enumerated() {
            guest.store(UInt32(index), window + 0x30)
            guest.store(UInt32(queue.size), window + 0x38)
            guest.store(UInt32(queue.descriptors), window + 0x80)
            guest.store(UInt32(queue.available), window + 0x90)
            guest.store(UInt32(queue.used), window + 0xa0)
            guest.store(1, window + 0x44)
        }
        guest.store(15, window + 0x70)
    }

    /// Puts a chain of buffers into a queue, for the driver to offer by ``offer(_:of:)``.
    mutating func add(_ buffers: [TinyQueue.Buffer], to queue: inout TinyQueue) {
        set(Self.little(UInt16(queue.next)), at: queue.available + 4 + UInt64(queue.chains) * 2)
        queue.chains += 1
        for (index, buffer) in buffers.enumerated() {
            let isLast = index == buffers.count - 1
            let flags: UInt16 = (isLast ? 0 : 1) | (buffer.isWritable ? 2 : 0)
            set(
                Self.little(buffer.address) + Self.little(buffer.count) + Self.little(flags)
                    + Self.little(UInt16(isLast ? 0 : queue.next + 1)),
                at: queue.descriptors + UInt64(queue.next) * 16)
            queue.next += 1
        }
    }

    /// Offers so many more chains, and rings.
    mutating func offer(_ count: Int = 1, of queue: Int, on device: inout TinyDevice) {
        device.queues[queue].offered += count
        guest.storeHalf(
            UInt16(device.queues[queue].offered), device.queues[queue].available + 2)
        guest.store(UInt32(queue), device.window + 0x50)
    }

    /// Waits until all that was offered has come back.
    mutating func awaitAll(of queue: Int, on device: TinyDevice) {
        let queue = device.queues[queue]
        guest.await(queue.used + 2, is: UInt8(queue.offered))
    }
}

/// A device as a driver of a few instructions has it.
struct TinyDevice {
    let index: Int
    let features: UInt32
    var queues: [TinyQueue]

    var window: UInt64 { 0xd000_0000 + UInt64(index) * 0x1000 }
}

/// A queue of at most 64 descriptors in three pages.
struct TinyQueue {
    struct Buffer {
        let address: UInt64
        let count: UInt32
        let isWritable: Bool
    }

    let page: UInt64
    let size = 64
    fileprivate(set) var next = 0
    fileprivate(set) var chains = 0
    fileprivate(set) var offered = 0

    var descriptors: UInt64 { page }
    var available: UInt64 { page + 0x1000 }
    var used: UInt64 { page + 0x2000 }

    init(page: UInt64) {
        self.page = page
    }
}
