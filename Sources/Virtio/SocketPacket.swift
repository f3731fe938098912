/// What is before the bytes of each packet between a guest and its host. Corresponds to
/// `struct virtio_vsock_hdr`: little-endian, without gaps.
struct SocketHeader: Hashable {
    static let size = 44

    /// Corresponds to `VIRTIO_VSOCK_OP_…`.
    enum Operation {
        static let request: UInt16 = 1
        static let response: UInt16 = 2
        static let reset: UInt16 = 3
        static let shutdown: UInt16 = 4
        static let data: UInt16 = 5
        static let creditUpdate: UInt16 = 6
        static let creditRequest: UInt16 = 7
    }

    /// `VIRTIO_VSOCK_TYPE_STREAM`
    static let stream: UInt16 = 1
    /// `VMADDR_CID_HOST`
    static let hostCID: UInt64 = 2

    var sourceCID: UInt64
    var targetCID: UInt64
    var sourcePort: UInt32
    var targetPort: UInt32
    /// How many bytes follow.
    var count: UInt32 = 0
    var kind: UInt16 = Self.stream
    var operation: UInt16
    var flags: UInt32 = 0
    /// How much its sender takes at once without having passed it on.
    var allowance: UInt32 = 0
    /// How many bytes its sender has passed on, ever.
    var forwarded: UInt32 = 0

    /// A packet to the guest.
    init(
        to guestCID: UInt64, _ ports: SocketPorts, _ operation: UInt16, kind: UInt16 = Self.stream
    ) {
        sourceCID = Self.hostCID
        targetCID = guestCID
        sourcePort = ports.host
        targetPort = ports.guest
        self.kind = kind
        self.operation = operation
    }

    /// - Parameter bytes: at least ``size`` of them.
    init(_ bytes: [UInt8]) {
        sourceCID = bytes.number(at: 0)
        targetCID = bytes.number(at: 8)
        sourcePort = bytes.number(at: 16)
        targetPort = bytes.number(at: 20)
        count = bytes.number(at: 24)
        kind = bytes.number(at: 28)
        operation = bytes.number(at: 30)
        flags = bytes.number(at: 32)
        allowance = bytes.number(at: 36)
        forwarded = bytes.number(at: 40)
    }

    /// Writes it into the first bytes.
    func write(into bytes: inout [UInt8]) {
        bytes.set(sourceCID, at: 0)
        bytes.set(targetCID, at: 8)
        bytes.set(sourcePort, at: 16)
        bytes.set(targetPort, at: 20)
        bytes.set(count, at: 24)
        bytes.set(kind, at: 28)
        bytes.set(operation, at: 30)
        bytes.set(flags, at: 32)
        bytes.set(allowance, at: 36)
        bytes.set(forwarded, at: 40)
    }
}

/// Which connection a packet belongs to, there being one guest and one host.
struct SocketPorts: Hashable {
    let guest: UInt32
    let host: UInt32
}

/// Which halves of a connection have ended, as one side says it. Corresponds to
/// `VIRTIO_VSOCK_SHUTDOWN_…`.
struct SocketEnds: OptionSet, Hashable {
    let rawValue: UInt32

    static let receives = SocketEnds(rawValue: 1)
    static let sends = SocketEnds(rawValue: 2)
    static let both: SocketEnds = [.receives, .sends]
}

extension [UInt8] {
    /// A little-endian number.
    func number<Number: FixedWidthInteger>(at start: Int) -> Number {
        var value: Number = 0
        for index in 0..<MemoryLayout<Number>.size {
            value |= Number(truncatingIfNeeded: self[start + index]) << (index * 8)
        }
        return value
    }

    mutating func set(_ value: some FixedWidthInteger, at start: Int) {
        for index in 0..<(value.bitWidth / 8) {
            self[start + index] = UInt8(truncatingIfNeeded: value >> (index * 8))
        }
    }
}
