/// Reads numbers from the kernel's bytes. Each step is checked, and gives nothing beyond the end.
struct NetlinkReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    var remaining: Int { rest.count }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, count <= rest.count else { return nil }
        let taken = rest.prefix(count)
        rest = rest.dropFirst(count)
        return taken
    }

    /// A number of this machine's order of bytes, which is little-endian.
    mutating func number<Number: FixedWidthInteger & UnsignedInteger>(
        _: Number.Type = Number.self
    ) -> Number? {
        guard let taken = take(Number.bitWidth / 8) else { return nil }
        return taken.reversed().reduce(0) { $0 << 8 | Number($1) }
    }
}

/// One message of the kernel's.
public struct NetlinkMessage {
    public let type: UInt16
    let flags: UInt16
    let sequence: UInt32
    /// What follows the header.
    public let payload: ArraySlice<UInt8>

    /// struct nlmsghdr
    static let headerBytes = 16

    /// Takes the message apart that begins at the start of `bytes`, and takes it off. Nothing when
    /// it does not hold what its header says.
    init?(takingFrom bytes: inout ArraySlice<UInt8>) {
        var reader = NetlinkReader(bytes)
        guard let length = reader.number(UInt32.self), let type = reader.number(UInt16.self),
            let flags = reader.number(UInt16.self), let sequence = reader.number(UInt32.self),
            reader.number(UInt32.self) != nil, length >= Self.headerBytes,
            let payload = reader.take(Int(length) - Self.headerBytes)
        else { return nil }
        self.type = type
        self.flags = flags
        self.sequence = sequence
        self.payload = payload
        // The last may lack the bytes up to the next multiple of four.
        bytes = bytes.dropFirst(Int(length) + (-Int(length) & 3))
    }

    /// The attributes behind a header of the message's own. Nothing when they are damaged.
    public func attributes(after header: Int) -> NetlinkAttributes? {
        guard header <= payload.count else { return nil }
        return NetlinkAttributes(payload.dropFirst(header))
    }
}

/// Attributes of a message, or of another attribute.
public struct NetlinkAttributes {
    /// In their order; a type can come more than once.
    public let all: [(type: UInt16, content: ArraySlice<UInt8>)]

    /// Nothing when one is longer than what there is.
    public init?(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        var all: [(type: UInt16, content: ArraySlice<UInt8>)] = []
        while !rest.isEmpty {
            var reader = NetlinkReader(rest)
            guard let length = reader.number(UInt16.self), let type = reader.number(UInt16.self),
                length >= 4, let content = reader.take(Int(length) - 4)
            else { return nil }
            // NLA_F_NESTED and NLA_F_NET_BYTEORDER
            all.append((type & 0x3fff, content))
            rest = rest.dropFirst(Int(length) + (-Int(length) & 3))
        }
        self.all = all
    }

    public subscript(_ type: UInt16) -> ArraySlice<UInt8>? {
        all.first { $0.type == type }?.content
    }

    /// A number of exactly the size that is asked for.
    public func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ type: UInt16, as _: Number.Type = Number.self
    ) -> Number? {
        guard let content = self[type], content.count == Number.bitWidth / 8 else { return nil }
        var reader = NetlinkReader(content)
        return reader.number()
    }

    /// A number in the order of the network.
    public func networkNumber<Number: FixedWidthInteger & UnsignedInteger>(
        _ type: UInt16, as _: Number.Type = Number.self
    ) -> Number? {
        number(type, as: Number.self)?.byteSwapped
    }

    /// A text up to its zero byte.
    public func text(_ type: UInt16) -> String? {
        self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    public func address(_ type: UInt16) -> IPv4Address? {
        self[type].flatMap { IPv4Address(bytes: $0) }
    }

    public func nested(_ type: UInt16) -> NetlinkAttributes? {
        self[type].flatMap { NetlinkAttributes($0) }
    }
}

/// What the kernel says on a request: that it succeeded, or why it did not.
struct NetlinkAnswer {
    let errorNumber: Int32
    let words: String?

    /// NLMSG_ERROR: an error number, the request's header, and attributes where a flag says so.
    /// NLMSG_DONE, the end of a list: the same without the header.
    init?(_ message: NetlinkMessage, endOfList: Bool = false) {
        var reader = NetlinkReader(message.payload)
        guard let raw = reader.number(UInt32.self) else { return nil }
        let number = Int32(bitPattern: raw)
        guard number <= 0, number > -4096 else { return nil }
        errorNumber = -number
        // NLM_F_ACK_TLVS
        guard message.flags & 0x200 != 0 else {
            words = nil
            return
        }
        let header = endOfList ? 0 : Self.echoedBytes(message, errorNumber: number)
        // NLMSGERR_ATTR_MSG, bounded.
        words = message.attributes(after: 4 + header)?.text(1).map { String($0.prefix(200)) }
    }

    /// How much of the request stands in the answer.
    private static func echoedBytes(_ message: NetlinkMessage, errorNumber: Int32) -> Int {
        var reader = NetlinkReader(message.payload.dropFirst(4))
        let length = reader.number(UInt32.self) ?? 0
        // NLM_F_CAPPED: the header of the request alone stands here, though it says the length of
        // all that it was. A success never has more.
        let capped = message.flags & 0x100 != 0 || errorNumber == 0
        let request = capped ? NetlinkMessage.headerBytes : Int(length)
        return request + (-request & 3)
    }
}
