/// The SHA-256 digest of some content: how images, layers and documents are known.
public struct Digest: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// 64 digits, `0` to `9` and `a` to `f`.
    public let hexadecimal: String

    /// Reads `sha256:` and 64 digits. Other algorithms are not read.
    public init?(_ text: String) {
        let prefix = "sha256:"
        guard text.utf8.count == prefix.utf8.count + 64, text.hasPrefix(prefix) else { return nil }
        self.init(hexadecimal: String(text.dropFirst(prefix.count)))
    }

    /// Reads 64 digits.
    public init?(hexadecimal text: String) {
        guard text.utf8.count == 64, text.utf8.allSatisfy(Self.isDigit) else { return nil }
        hexadecimal = text
    }

    init(bytes: [UInt8]) {
        precondition(bytes.count == 32, "a digest has 32 bytes")
        let digits = Array("0123456789abcdef".utf8)
        hexadecimal = String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
            as: UTF8.self)
    }

    public var description: String { "sha256:" + hexadecimal }

    /// Enough to tell it from others, for people.
    public var short: String { String(hexadecimal.prefix(12)) }

    public static func < (left: Digest, right: Digest) -> Bool {
        left.hexadecimal < right.hexadecimal
    }

    /// Its first 16 bytes, marked as an identifier of a file system that is made from a digest.
    var identifier: [UInt8] {
        var bytes: [UInt8] = []
        var digits = hexadecimal.utf8.prefix(32).makeIterator()
        while let high = digits.next(), let low = digits.next() {
            bytes.append(Self.value(of: high) << 4 | Self.value(of: low))
        }
        bytes[6] = bytes[6] & 0x0F | 0x80
        bytes[8] = bytes[8] & 0x3F | 0x80
        return bytes
    }

    private static func value(of digit: UInt8) -> UInt8 {
        digit < UInt8(ascii: "a") ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): true
        default: false
        }
    }
}
