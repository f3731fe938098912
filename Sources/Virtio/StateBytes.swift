/// Why a saved state is none, or is not for what is to take it over.
public enum StateFault: Error, Hashable, Sendable {
    /// It ends in the middle of something, or goes on behind its end.
    case badLength
    /// A number that nothing of the kind can be.
    case badValue(StaticText)
    /// It is of something else.
    case different(String)
    /// A device did not go on with it.
    case device(VirtioKind, DeviceFault)

    public typealias StaticText = DeviceFault.StaticText
}

extension StateFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .badLength: "its parts do not have the length that it says"
        case .badValue(let what): "it has no good value for \(what.text)"
        case .different(let what): what
        case .device(let kind, let fault): "the \(kind) device did not take it: \(fault)"
        }
    }
}

/// Puts a saved state together: numbers with the least byte first, and bytes behind their count.
public struct StateWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func put<Number: FixedWidthInteger>(_ number: Number) {
        put(UInt64(truncatingIfNeeded: number), Number.bitWidth / 8)
    }

    /// Not for any number: what is made for each kind elsewhere is slow.
    private mutating func put(_ number: UInt64, _ count: Int) {
        for index in 0..<count {
            bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(index * 8)))
        }
    }

    public mutating func put(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

    public mutating func put(_ piece: [UInt8]) {
        put(UInt32(piece.count))
        bytes += piece
    }

    public mutating func put<Element>(
        _ list: [Element], _ body: (inout StateWriter, Element) -> Void
    ) {
        put(UInt32(list.count))
        for element in list { body(&self, element) }
    }
}

/// Takes a saved state apart. Whatever the bytes are, it reads within them, and makes nothing that
/// is larger than they are.
public struct StateReader: Sendable {
    private let bytes: [UInt8]
    private var place: Int
    private let end: Int

    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
        place = 0
        end = bytes.count
    }

    public mutating func number<Number: FixedWidthInteger>(
        _ type: Number.Type = Number.self
    ) throws(StateFault) -> Number {
        Number(truncatingIfNeeded: try number(Number.bitWidth / 8))
    }

    private mutating func number(_ count: Int) throws(StateFault) -> UInt64 {
        guard end - place >= count else { throw .badLength }
        defer { place += count }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[place + index]) << UInt64(index * 8) }
        return value
    }

    public mutating func flag() throws(StateFault) -> Bool {
        switch try number(UInt8.self) {
        case 0: false
        case 1: true
        default: throw .badValue("a flag")
        }
    }

    /// Bytes, no more than these.
    public mutating func piece(atMost most: Int) throws(StateFault) -> [UInt8] {
        let count = Int(try number(UInt32.self))
        guard count <= most, end - place >= count else { throw .badLength }
        defer { place += count }
        return Array(bytes[place..<place + count])
    }

    /// A list, no longer than this.
    public mutating func list<Element>(
        atMost most: Int, _ body: (inout StateReader) throws(StateFault) -> Element
    ) throws(StateFault) -> [Element] {
        let count = Int(try number(UInt32.self))
        guard count <= most else { throw .badLength }
        var list: [Element] = []
        for _ in 0..<count { list.append(try body(&self)) }
        return list
    }

    /// Nothing comes behind.
    public func finish() throws(StateFault) {
        guard place == end else { throw .badLength }
    }
}
