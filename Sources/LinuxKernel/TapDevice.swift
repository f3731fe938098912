/// What the other end of a TAP can do with packets, so that the kernel leaves it to it.
/// Corresponds to `TUN_F_…`.
public struct TapOffloads: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// It takes packets without a checksum.
    public static let checksum = TapOffloads(rawValue: 1)
    /// It takes large packets of TCP. Both need ``checksum``.
    public static let segmentation4 = TapOffloads(rawValue: 2)
    public static let segmentation6 = TapOffloads(rawValue: 4)
}

/// A link of the kernel's whose other end is this process: whole Ethernet frames, each after a
/// header of 12 bytes that says how it is to be understood. Non-blocking.
///
/// The link is there as long as this is, unless it was made to stay before.
public struct TapDevice: ~Copyable, Sendable {
    /// Before each frame. Corresponds to `struct virtio_net_hdr_v1`.
    public static let headerBytes = 12

    public let descriptor: Descriptor

    /// IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    private static let flags: UInt16 = 0x0002 | 0x1000 | 0x4000

    /// `struct ifreq`: a name, and flags at the beginning of what follows.
    private typealias Request = (UInt64, UInt64, UInt64, UInt64, UInt64)

    /// Takes a link of a name, or makes it.
    ///
    /// - Parameters:
    ///   - namespace: where the link is; otherwise where the calling thread is.
    ///   - index: the number of a link that is made; otherwise the kernel chooses one.
    public static func open(
        _ name: String, in namespace: NetworkNamespace? = nil, index: UInt32? = nil
    ) throws(SystemCallError) -> TapDevice {
        var request = try request(for: name)
        let path = "/dev/net/tun"
        // The file belongs to the namespace in which it was opened.
        let file: Descriptor
        if let namespace {
            file = try namespace.enter { () throws(SystemCallError) in
                try Files.open(path, [.readWrite, .nonBlocking])
            }
        } else {
            file = try Files.open(path, [.readWrite, .nonBlocking])
        }
        if var index { try file.control(0x4004_54da, with: &index, name: "TUNSETIFINDEX") }
        try file.control(0x4004_54ca, with: &request, name: "TUNSETIFF")
        return try TapDevice(file)
    }

    /// Takes over one that somebody else has opened. It must be for frames with a header.
    public init(adopting descriptor: consuming Descriptor) throws(SystemCallError) {
        var request: Request = (0, 0, 0, 0, 0)
        try descriptor.control(0x8004_54d2, with: &request, name: "TUNGETIFF")
        let flags = UInt16(truncatingIfNeeded: request.2)
        guard flags & Self.flags == Self.flags else {
            throw SystemCallError(
                call: "TUNGETIFF", subject: "a TAP with a header", errorNumber: .invalid)
        }
        try UnixSockets.setNonBlocking(descriptor)
        try self.init(descriptor)
    }

    private init(_ descriptor: consuming Descriptor) throws(SystemCallError) {
        var count = Int32(Self.headerBytes)
        try descriptor.control(0x4004_54d8, with: &count, name: "TUNSETVNETHDRSZ")
        self.descriptor = descriptor
    }

    /// Gives its descriptor to somebody else.
    public consuming func relinquish() -> Descriptor { descriptor }

    /// What packets may be given to the other end from now on.
    public static func set(
        _ offloads: TapOffloads, of descriptor: borrowing Descriptor
    ) throws(SystemCallError) {
        try descriptor.control(0x4004_54d0, offloads.rawValue, name: "TUNSETOFFLOAD")
    }

    private static func request(for name: String) throws(SystemCallError) -> Request {
        let bytes = Array(name.utf8)
        // IFNAMSIZ, with a zero at the end.
        guard !bytes.isEmpty, bytes.count < 16, !bytes.contains(0),
            !bytes.contains(UInt8(ascii: "%"))
        else { throw SystemCallError(call: "TUNSETIFF", subject: name, errorNumber: .invalid) }
        var words: [UInt64] = [0, 0]
        for (index, byte) in bytes.enumerated() {
            words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
        }
        return (words[0], words[1], UInt64(flags), 0, 0)
    }
}
