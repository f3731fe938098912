/// How a request is meant. Corresponds to `NLM_F_…`.
public struct NetlinkFlags: OptionSet, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    static let request = NetlinkFlags(rawValue: 0x1)
    static let acknowledge = NetlinkFlags(rawValue: 0x4)
    static let dump = NetlinkFlags(rawValue: 0x300)
    /// What is there already is replaced.
    public static let replace = NetlinkFlags(rawValue: 0x100)
    /// What is there already is an error.
    public static let exclusive = NetlinkFlags(rawValue: 0x200)
    /// What is not there is made.
    public static let create = NetlinkFlags(rawValue: 0x400)
    /// Added behind what is there.
    public static let append = NetlinkFlags(rawValue: 0x800)
}

/// Requests that go to the kernel in one piece.
///
/// Those of rtnetlink are independent of each other: one that fails keeps none of the others from
/// being performed.
public struct NetlinkBatch: Sendable {
    struct Entry: Sendable {
        let offset: Int
        let action: StaticString
        let subject: String
    }

    private(set) var writer = NetlinkWriter()
    private(set) var entries: [Entry] = []

    public init() {}

    public var isEmpty: Bool { entries.isEmpty }
    public var count: Int { entries.count }
    var byteCount: Int { writer.bytes.count }

    /// Adds a request.
    ///
    /// - Parameters:
    ///   - action: a verb and its object, for the error.
    ///   - subject: what it is done to, for the error.
    ///   - body: writes what follows the header.
    public mutating func add(
        _ type: UInt16, _ flags: NetlinkFlags, _ action: StaticString, _ subject: String,
        _ body: (inout NetlinkWriter) -> Void
    ) {
        let start = writer.bytes.count
        entries.append(Entry(offset: start, action: action, subject: subject))
        writer.put(UInt32(0))
        writer.put(type)
        writer.put(flags.union(.request).rawValue)
        // The sequence number is set by the socket; the port is the kernel's to fill in.
        writer.put(UInt64(0))
        body(&writer)
        writer.set(UInt32(writer.bytes.count - start), at: start)
        writer.align()
    }

    /// The requests' bytes, numbered from `sequence` on. One is to be acknowledged, the last that
    /// is: that is enough, since the kernel handles them in order and always answers those that
    /// fail.
    mutating func number(from sequence: UInt32, acknowledging acknowledged: Int) -> [UInt8] {
        for (index, entry) in entries.enumerated() {
            writer.set(sequence &+ UInt32(index), at: entry.offset + 8)
        }
        let place = entries[acknowledged].offset + 6
        let flags = UInt16(writer.bytes[place]) | UInt16(writer.bytes[place + 1]) << 8
        writer.set(flags | NetlinkFlags.acknowledge.rawValue, at: place)
        return writer.bytes
    }
}
