import GuestMemory
import LinuxKernel
import Testing
import Virtio

/// The driver's side of a device, in the same process: what a guest's kernel would write.
final class TestDriver {
    static let memoryBytes: UInt64 = 4 << 20

    let memory: GuestMemory
    let loop: EventLoop
    let line: SharedCounter
    let transport: VirtioTransport
    private(set) var queues: [DriverQueue] = []
    /// Where data goes: each request gets its own place.
    private var nextData: UInt64 = 1 << 20

    /// - Parameter size: of each queue.
    init(_ device: any VirtioDevice) throws {
        memory = try GuestMemory.make(bytes: Self.memoryBytes)
        loop = try EventLoop(named: "devices")
        line = try SharedCounter()
        transport = try VirtioTransport(device, memory: memory, loop: loop, line: line)
        try transport.listen()
    }

    func register(_ offset: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: transport.read(at: offset, count: 4))
    }

    func set(_ offset: UInt64, _ value: UInt32) {
        transport.write(UInt64(value), at: offset, count: 4)
    }

    var status: UInt32 { register(0x70) }

    /// Does what drivers do until the device works.
    ///
    /// - Parameters:
    ///   - features: of what is offered; all where none are given.
    ///   - absent: queues that the driver does not use.
    func begin(
        features wanted: UInt64 = .max, queueSize: UInt16 = 16, leavingOut absent: Set<Int> = []
    ) {
        set(0x70, 0)
        set(0x70, 1)
        set(0x70, 3)
        for half in 0..<2 as Range<UInt32> {
            set(0x14, half)
            set(0x24, half)
            set(0x20, register(0x10) & UInt32(truncatingIfNeeded: wanted >> (UInt64(half) * 32)))
        }
        set(0x70, 11)
        queues = transport.doorbells.indices.map { index in
            let base = UInt64(0x1_0000 + index * 0x8000)
            let layout = QueueLayout(
                size: queueSize, descriptors: GuestAddress(rawValue: base),
                available: GuestAddress(rawValue: base + 0x4000),
                used: GuestAddress(rawValue: base + 0x6000))
            // The rings are empty again, as far as they are memory.
            for address in [layout.available, layout.used] {
                try? memory.write([UInt8](repeating: 0, count: 0x1000), to: address)
            }
            if !absent.contains(index) { place(layout, at: index) }
            return DriverQueue(layout, memory)
        }
        set(0x70, 15)
    }

    /// Tells the device where a queue is.
    func place(_ layout: QueueLayout, at index: Int) {
        set(0x30, UInt32(index))
        set(0x38, UInt32(layout.size))
        for (offset, address) in [
            (0x80, layout.descriptors), (0x90, layout.available), (0xa0, layout.used),
        ] as [(UInt64, GuestAddress)] {
            set(offset, UInt32(truncatingIfNeeded: address.rawValue))
            set(offset + 4, UInt32(truncatingIfNeeded: address.rawValue >> 32))
        }
        set(0x44, 1)
    }

    /// Puts a request into a queue: bytes for the device, and room for its answer. Gives where the
    /// room is. ``kick(_:)`` tells the device.
    @discardableResult
    func offer(
        _ bytes: [[UInt8]] = [], room: [Int] = [], to queue: Int
    ) throws -> (head: UInt16, room: [GuestRange]) {
        var parts: [(range: GuestRange, isWritable: Bool)] = []
        for piece in bytes {
            let range = takeData(piece.count)
            try memory.write(piece, to: range.start)
            parts.append((range, false))
        }
        for count in room { parts.append((takeData(count), true)) }
        let head = try queues[queue].offer(parts)
        return (head, parts.filter(\.isWritable).map(\.range))
    }

    /// Puts a request into a queue with room at places that the caller chose.
    func offer(roomAt ranges: [GuestRange], to queue: Int) throws -> UInt16 {
        try queues[queue].offer(ranges.map { ($0, true) })
    }

    /// Puts a request of places of the caller's choice into a queue.
    @discardableResult
    func offer(parts: [(range: GuestRange, isWritable: Bool)], to queue: Int) throws -> UInt16 {
        try queues[queue].offer(parts)
    }

    private func takeData(_ count: Int) -> GuestRange {
        if nextData + UInt64(count) > Self.memoryBytes { nextData = 1 << 20 }
        let range = GuestRange(GuestAddress(rawValue: nextData), count: count)
        nextData += UInt64((count + 15) / 16 * 16)
        return range
    }

    /// Rings a doorbell, as a guest does where the kernel has no part in it.
    func kick(_ queue: Int) {
        set(0x50, UInt32(queue))
    }

    /// Lets the loop do what is ready, until the condition holds.
    func run(until isDone: () -> Bool) {
        loop.runOnThisThread(until: isDone)
    }

    /// What the device has given back of a queue since the last time.
    func collect(_ queue: Int) throws -> [(head: UInt16, written: Int)] {
        try queues[queue].collect()
    }

    /// Offers a request, rings, and waits for its end. Gives what was written.
    func request(
        _ bytes: [[UInt8]] = [], room: [Int] = [], to queue: Int
    ) throws -> [UInt8] {
        let offered = try offer(bytes, room: room, to: queue)
        kick(queue)
        var done: [(head: UInt16, written: Int)] = []
        run {
            done += (try? self.collect(queue)) ?? []
            return !done.isEmpty || transport.failure != nil
        }
        let written = try #require(done.first).written
        var result: [UInt8] = []
        for range in offered.room { result += try memory.bytes(in: range) }
        return Array(result.prefix(written))
    }
}

/// The driver's side of one queue.
struct DriverQueue {
    let layout: QueueLayout
    private let memory: GuestMemory
    private var free: [UInt16]
    private var chains: [UInt16: [UInt16]] = [:]
    private var nextAvailable: UInt16 = 0
    private var nextUsed: UInt16 = 0

    init(_ layout: QueueLayout, _ memory: GuestMemory) {
        self.layout = layout
        self.memory = memory
        free = (0..<layout.size).reversed()
    }

    /// Writes one descriptor as it is given.
    func write(
        _ index: UInt16, address: UInt64, count: UInt32, flags: UInt16, next: UInt16
    ) throws {
        let place = layout.descriptors.advanced(by: UInt64(index) * 16)
        try memory.store64(address, place)
        try memory.store32(count, place.advanced(by: 8))
        try memory.store16(flags, place.advanced(by: 12))
        try memory.store16(next, place.advanced(by: 14))
    }

    mutating func offer(_ parts: [(range: GuestRange, isWritable: Bool)]) throws -> UInt16 {
        var used: [UInt16] = []
        for _ in parts {
            let last = free.popLast()
            used.append(try #require(last, "a free descriptor"))
        }
        for (position, part) in parts.enumerated() {
            let isLast = position + 1 == parts.count
            try write(
                used[position], address: part.range.start.rawValue,
                count: UInt32(part.range.count),
                flags: (isLast ? 0 : 1) | (part.isWritable ? 2 : 0),
                next: isLast ? 0 : used[position + 1])
        }
        let head = try #require(used.first)
        chains[head] = used
        try publish(head)
        return head
    }

    /// Puts a head into the ring, whatever it is.
    mutating func publish(_ head: UInt16) throws {
        try memory.store16(
            head, layout.available.advanced(by: 4 + UInt64(nextAvailable % layout.size) * 2))
        nextAvailable &+= 1
        try memory.store16Releasing(nextAvailable, layout.available.advanced(by: 2))
    }

    mutating func collect() throws -> [(head: UInt16, written: Int)] {
        var result: [(head: UInt16, written: Int)] = []
        let index = try memory.load16Acquiring(layout.used.advanced(by: 2))
        while nextUsed != index {
            let entry = layout.used.advanced(by: 4 + UInt64(nextUsed % layout.size) * 8)
            let head = UInt16(truncatingIfNeeded: try memory.load32(entry))
            result.append((head, Int(try memory.load32(entry.advanced(by: 4)))))
            free += chains.removeValue(forKey: head) ?? []
            nextUsed &+= 1
            // Be told of the next.
            try memory.store16(
                nextUsed, layout.available.advanced(by: 4 + UInt64(layout.size) * 2))
        }
        return result
    }
}
