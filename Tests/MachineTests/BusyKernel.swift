import GuestMemory

/// A kernel of a few instructions that uses every device of a monitor as a whole guest would, says
/// `hello` as its workload, and then counts for ever.
struct BusyKernel {
    private static let request: UInt16 = 1
    private static let shutdown: UInt16 = 4
    private static let data: UInt16 = 5
    private static let linkPort: UInt32 = 1024
    /// Where a program of the host's listens.
    static let hostPort: UInt32 = 999

    private(set) var kernel = TinyKernel()
    private var place: UInt64 = 0x32_0000
    // After the one layer.
    private var disk = TinyDevice(
        index: 1, features: 1 << 9 | 1 << 13 | 1 << 14, queues: [TinyQueue(page: 0x30_0000)])
    private var sockets = TinyDevice(
        index: 2, features: 1,
        queues: [
            TinyQueue(page: 0x30_3000), TinyQueue(page: 0x30_6000), TinyQueue(page: 0x30_9000),
        ])
    private var entropy = TinyDevice(
        index: 3, features: 0, queues: [TinyQueue(page: 0x30_c000)])

    private var balloon = TinyDevice(
        index: 4, features: 0, queues: [TinyQueue(page: 0x30_f000), TinyQueue(page: 0x31_2000)])

    init() {
        prepareDisk()
        prepareSockets()
        let room = TinyQueue.Buffer(address: 0x40_0000, count: 64, isWritable: true)
        kernel.add([room], to: &entropy.queues[0])
        // The number of a page.
        let page = put(TinyKernel.little(UInt32(0x700)))
        kernel.add([page], to: &balloon.queues[0])
        for byte in "booted\n".utf8 { kernel.guest.out(0x3f8, byte) }
        runDisk()
        kernel.begin(entropy)
        kernel.offer(of: 0, on: &entropy)
        kernel.awaitAll(of: 0, on: entropy)
        kernel.begin(balloon)
        kernel.offer(of: 0, on: &balloon)
        kernel.awaitAll(of: 0, on: balloon)
        runSockets()
        kernel.guest.count(at: 0x20_0000)
    }

    private mutating func put(_ bytes: [UInt8]) -> TinyQueue.Buffer {
        kernel.set(bytes, at: place)
        defer { place += UInt64(bytes.count + 15) / 16 * 16 }
        return TinyQueue.Buffer(address: place, count: UInt32(bytes.count), isWritable: false)
    }

    // MARK: - Disk

    private mutating func prepareDisk() {
        let room = { TinyQueue.Buffer(address: 0x40_0000, count: $0, isWritable: true) }
        let extent = TinyKernel.little(UInt64(16)) + TinyKernel.little(UInt64(8))
        // Reads, of which one is too large to be tried at once, a write, a flush, and what clears.
        for (kind, sent, received) in [
            (0, [], 512), (0, [], 512 << 10), (1, [UInt8](repeating: 7, count: 512), 0),
            (4, [], 0), (11, extent, 0), (13, extent, 0),
        ] as [(UInt32, [UInt8], UInt32)] {
            var chain = [put(TinyKernel.little(kind) + [UInt8](repeating: 0, count: 12))]
            if !sent.isEmpty { chain.append(put(sent)) }
            if received > 0 { chain.append(room(received)) }
            chain.append(room(1))
            kernel.add(chain, to: &disk.queues[0])
        }
    }

    private mutating func runDisk() {
        kernel.begin(disk)
        for _ in 0..<disk.queues[0].chains {
            kernel.offer(of: 0, on: &disk)
            kernel.awaitAll(of: 0, on: disk)
        }
    }

    // MARK: - Sockets

    private func packet(
        _ operation: UInt16, from port: UInt32, to host: UInt32, flags: UInt32 = 0,
        _ bytes: [UInt8] = []
    ) -> [UInt8] {
        var packet = TinyKernel.little(UInt64(3)) + TinyKernel.little(UInt64(2))
        packet += TinyKernel.little(port) + TinyKernel.little(host)
        packet += TinyKernel.little(UInt32(bytes.count)) + TinyKernel.little(UInt16(1))
        packet += TinyKernel.little(operation) + TinyKernel.little(flags)
        return packet + TinyKernel.little(UInt32(65536)) + TinyKernel.little(UInt32(0)) + bytes
    }

    private func frame(_ kind: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [kind, 0, 0, 0] + TinyKernel.little(UInt32(bytes.count)) + bytes
    }

    private mutating func prepareSockets() {
        for index in 0..<32 as Range<UInt64> {
            let room = TinyQueue.Buffer(
                address: 0x50_0000 + index * 4096, count: 4096, isWritable: true)
            kernel.add([room], to: &sockets.queues[0])
        }
        // A version and how long it took.
        let ready = TinyKernel.little(UInt64(1)) + TinyKernel.little(UInt64(1_000_000))
        for bytes in [
            packet(Self.request, from: 5000, to: Self.hostPort),
            packet(Self.data, from: 5000, to: Self.hostPort, Array("to the host".utf8)),
            packet(Self.shutdown, from: 5000, to: Self.hostPort, flags: 2),
            packet(Self.request, from: 5001, to: Self.linkPort),
            packet(Self.data, from: 5001, to: Self.linkPort, frame(1, ready)),
            packet(
                Self.data, from: 5001, to: Self.linkPort,
                frame(16, TinyKernel.little(UInt64(2))) + frame(17, Array("hello\n".utf8))),
        ] {
            let buffer = put(bytes)
            kernel.add([buffer], to: &sockets.queues[1])
        }
    }

    private mutating func runSockets() {
        kernel.begin(sockets)
        kernel.offer(32, of: 0, on: &sockets)
        // Each connection is answered before it is used.
        for (packets, answers) in [(1, 1), (2, 1), (1, 2), (2, 2)] as [(Int, UInt8)] {
            for _ in 0..<packets { kernel.offer(of: 1, on: &sockets) }
            kernel.awaitAll(of: 1, on: sockets)
            if packets == 1 {
                kernel.guest.await(sockets.queues[0].used + 2, is: answers)
            }
        }
    }
}

/// A kernel that says something by the serial port, more by the virtio console than that passes on,
/// and switches itself off.
struct TalkingKernel {
    static let bytes = 16 << 16

    private(set) var kernel = TinyKernel()

    init() {
        var console = TinyDevice(
            index: 5, features: 0,
            queues: [TinyQueue(page: 0x30_0000), TinyQueue(page: 0x30_3000)])
        let line = Array("by virtio\n".utf8)
        let first = TinyQueue.Buffer(
            address: 0x31_0000, count: UInt32(line.count), isWritable: false)
        kernel.set(line, at: first.address)
        kernel.add([first], to: &console.queues[1])
        let more = TinyQueue.Buffer(address: 0x40_0000, count: 1 << 16, isWritable: false)
        for _ in 0..<16 { kernel.add([more], to: &console.queues[1]) }
        for byte in "by a port\n".utf8 { kernel.guest.out(0x3f8, byte) }
        kernel.begin(console)
        for _ in 0..<17 {
            kernel.offer(of: 1, on: &console)
            kernel.awaitAll(of: 1, on: console)
        }
        kernel.guest.reset()
    }
}

/// A kernel that sends one frame by its link and switches itself off.
struct SendingKernel {
    private(set) var kernel = TinyKernel()

    init() {
        var link = TinyDevice(
            index: 5, features: 0,
            queues: [TinyQueue(page: 0x30_0000), TinyQueue(page: 0x30_3000)])
        let frame = TinyQueue.Buffer(address: 0x31_0000, count: 12 + 60, isWritable: false)
        kernel.set([UInt8](repeating: 0, count: 12 + 60), at: frame.address)
        kernel.add([frame], to: &link.queues[1])
        kernel.begin(link)
        kernel.offer(of: 1, on: &link)
        kernel.awaitAll(of: 1, on: link)
        kernel.guest.reset()
    }
}
