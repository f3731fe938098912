import LinuxKernel
import Virtio

/// Where frames come from and go to: sockets that keep messages apart, in place of TAPs.
final class FuzzFrames {
    private static let name = "frames"

    private let directory: Descriptor
    private let listener: Descriptor

    init(folder: String) throws {
        directory = try Files.open(folder, [.readOnly, .directory])
        // One that was left when an input was the last.
        try? Files.removeFile(Self.name, at: directory)
        listener = try MessageSockets.listen(at: Self.name, in: directory, backlog: 1)
    }

    deinit {
        try? Files.removeFile(Self.name, at: directory)
    }

    /// The host's end of a new pair. The device's is ``accept()``.
    func connect() throws -> Descriptor {
        try MessageSockets.connect(to: Self.name, in: directory, takesCredentials: false)
    }

    func accept() throws -> Descriptor {
        guard let device = try UnixSockets.accept(listener) else {
            throw SystemCallError(call: "accept", errorNumber: .noEntry)
        }
        return device
    }
}

extension FuzzSubjects {
    @Sendable static func network(_ host: FuzzHost) throws -> FuzzSubject {
        let frameHost = try host.frames()
        let end = HeldDescriptor(try frameHost.connect())
        guard let address = HardwareAddress([2, 0, 0, 0, 0, 7]) else {
            preconditionFailure("it is an address")
        }
        var settings = NetworkDevice.Settings(address)
        settings.mtu = 1500
        // One that is met now and then, and lets things pass again soon.
        settings.toGuest.bytes = TokenBucket.Limit(perSecond: 1 << 30, burst: 1 << 16)
        let device = try NetworkDevice(packets: try frameHost.accept(), settings)
        return FuzzSubject(
            device: device, beginnings: goodFrames,
            act: { (input) throws(DeviceFault) in
                if input.choice(4) == 0 {
                    _ = try? MessageSockets.receive(from: end.descriptor, atMost: 70_000)
                } else {
                    let count = Int(input.oddNumber() % 70_000)
                    let header = input.choice(2) == 0 ? input.bytes(12) : goodFrames[0]
                    try? MessageSockets.send(
                        header + [UInt8](repeating: 7, count: count), to: end.descriptor)
                }
            },
            outcome: {
                let counters = device.counters
                return [
                    counters.packetsFromGuest, counters.packetsToGuest, counters.invalid,
                    counters.refused, counters.dropped,
                ]
            })
    }

    /// A frame of no protocol, and one in segments with an unfinished checksum.
    private static let goodFrames: [[UInt8]] = {
        let addresses: [UInt8] = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7]
        return [
            [UInt8](repeating: 0, count: 12) + addresses + [0x88, 0xb5],
            [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0] + addresses + [8, 0, 0x45, 0, 0, 99],
        ]
    }()

    @Sendable static func socket(_ host: FuzzHost) throws -> FuzzSubject {
        var settings = SocketDevice.Settings()
        settings.mostConnections = 8
        let device = SocketDevice(cid: 3, settings)
        let ends = Locked<[HeldDescriptor]>([])
        // Of two ports one is kept open, and one is closed at once.
        device.listen(onPort: 1) { descriptor in
            let held = HeldDescriptor(descriptor)
            ends.with { $0.append(held) }
        }
        device.listen(onPort: 2) { _ in }
        return FuzzSubject(
            device: device, beginnings: packets,
            act: { (input) throws(DeviceFault) in
                switch input.choice(4) {
                case 0:
                    guard let end = try? device.connect(toGuestPort: UInt32(input.byte())) else {
                        return
                    }
                    let held = HeldDescriptor(end)
                    ends.with { $0.append(held) }
                case 1:
                    let bytes = [UInt8](repeating: 7, count: Int(input.oddNumber() % 70_000))
                    ends.with { for end in $0 { end.write(bytes) } }
                case 2: ends.with { for end in $0 { end.read() } }
                default: ends.with { _ = $0.popLast() }
                }
            },
            outcome: {
                let counters = device.counters
                return [
                    counters.opened, counters.refused, counters.resets, counters.dropped,
                    counters.bytesFromGuest, counters.bytesToGuest, UInt64(device.connections),
                ]
            })
    }

    /// Of each operation: from port 9 of the guest to port 1 of the host, which answers; and from
    /// port 0 to the first that the host chooses.
    private static let packets: [[UInt8]] = {
        let ports: [[UInt8]] = [[9, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0x40]]
        return ports.flatMap { ports in
            (1...7 as ClosedRange<UInt8>).map { operation in
                [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0] + ports
                    + [operation == 5 ? 4 : 0, 0, 0, 0, 1, 0, operation, 0, 0, 0, 0, 0]
                    + [0, 0, 1, 0, 0, 0, 0, 0]
            }
        }
    }()
}

/// The host's end of a connection.
private final class HeldDescriptor: Sendable {
    let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    func write(_ bytes: [UInt8]) {
        _ = try? descriptor.writeSome(bytes)
    }

    func read() {
        var buffer = [UInt8](repeating: 0, count: 65536)
        var span = buffer.mutableSpan
        _ = try? descriptor.read(into: &span)
    }
}
