/// What is sent beside the messages of a call, in order. Names can repeat.
public struct Metadata: Hashable, Sendable {
    public enum Value: Hashable, Sendable {
        /// Printable ASCII.
        case text(String)
        /// Of a name that ends with `-bin`.
        case binary([UInt8])
    }

    public struct Entry: Hashable, Sendable {
        public let name: String
        public let value: Value
    }

    /// A name or a value that cannot be sent.
    public struct Invalid: Error, Hashable, Sendable, CustomStringConvertible {
        public let name: String
        public let reason: String

        public var description: String { "metadata `\(name)`: \(reason)" }
    }

    public private(set) var entries: [Entry] = []

    public init() {}

    public var isEmpty: Bool { entries.isEmpty }

    /// The first text under a name.
    public subscript(name: String) -> String? {
        for entry in entries where entry.name == name {
            if case .text(let text) = entry.value { return text }
        }
        return nil
    }

    /// The first bytes under a name that ends with `-bin`.
    public func binary(_ name: String) -> [UInt8]? {
        for entry in entries where entry.name == name {
            if case .binary(let bytes) = entry.value { return bytes }
        }
        return nil
    }

    /// Adds a text of printable ASCII under a lower-case name.
    public mutating func add(_ name: String, _ text: String) throws(Invalid) {
        try Self.check(name)
        guard !name.hasSuffix("-bin") else {
            throw Invalid(name: name, reason: "the name is one for bytes")
        }
        guard Self.isText(text.utf8), text.utf8.first != 0x20, text.utf8.last != 0x20 else {
            throw Invalid(name: name, reason: "the value is not printable ASCII")
        }
        entries.append(Entry(name: name, value: .text(text)))
    }

    /// Adds bytes under a lower-case name that ends with `-bin`.
    public mutating func add(_ name: String, _ bytes: [UInt8]) throws(Invalid) {
        try Self.check(name)
        guard name.hasSuffix("-bin") else {
            throw Invalid(name: name, reason: "a name for bytes ends with `-bin`")
        }
        entries.append(Entry(name: name, value: .binary(bytes)))
    }

    private static func check(_ name: String) throws(Invalid) {
        guard isName(name.utf8) else {
            throw Invalid(name: name, reason: "the name has other bytes than a-z 0-9 - _ .")
        }
        guard !isReserved(name) else {
            throw Invalid(name: name, reason: "the name is one of gRPC or HTTP itself")
        }
    }

    static func isName(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    static func isText(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.allSatisfy { $0 >= 0x20 && $0 <= 0x7e }
    }

    /// Names that a call's metadata cannot have.
    static func isReserved(_ name: String) -> Bool {
        if name.hasPrefix("grpc-") { return true }
        switch name {
        case "content-type", "content-length", "te", "connection", "keep-alive",
            "proxy-connection", "transfer-encoding", "upgrade", "host":
            return true
        default: return false
        }
    }

    /// Takes a field as it came. Names of gRPC's and HTTP's own are left out by the caller.
    mutating func receive(_ name: String, _ value: [UInt8]) throws(Invalid) {
        guard Self.isName(name.utf8) else {
            throw Invalid(name: "?", reason: "the name has other bytes than a-z 0-9 - _ .")
        }
        guard name.hasSuffix("-bin") else {
            guard Self.isText(value) else {
                throw Invalid(name: name, reason: "the value is not printable ASCII")
            }
            let text = String(decoding: value, as: UTF8.self)
            entries.append(Entry(name: name, value: .text(text)))
            return
        }
        // Several values can come joined.
        for part in value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard let bytes = Base64.decode(part.drop { $0 == 0x20 }) else {
                throw Invalid(name: name, reason: "the value is not base64")
            }
            entries.append(Entry(name: name, value: .binary(bytes)))
        }
    }
}

/// Bytes as text, as metadata carries them: with or without padding in, without it out.
enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xff, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }()

    static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 4 / 3 + 3)
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count)) & 63])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count)) & 63]) }
        return text
    }

    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count * 3 / 4)
        var bits: UInt32 = 0
        var count = 0
        var digits = 0
        var padding = 0
        for byte in text {
            if byte == UInt8(ascii: "=") {
                padding += 1
                continue
            }
            let value = values[Int(byte)]
            if value == 0xff || padding > 0 { return nil }
            digits += 1
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        // One digit alone holds no byte, and padding fills up to four.
        if digits % 4 == 1 || padding > 2 || padding > 0 && (digits + padding) % 4 != 0 {
            return nil
        }
        return bytes
    }
}
