extension CallPolicy.Condition: CustomStringConvertible {
    /// As people read it: `argument 0 is 16`. Arguments count from 0, as in every manual of calls.
    public var description: String {
        switch test {
        case .equal(let value): "argument \(argument) is \(Self.number(value))"
        case .notEqual(let value): "argument \(argument) is not \(Self.number(value))"
        // The kernel takes such an argument as an `int`.
        case .maskedEqual(mask: 0xffff_ffff, let value):
            "argument \(argument) is \(Self.number(value))"
        case .maskedEqual(let mask, value: 0):
            "argument \(argument) has none of the bits \(Self.hexadecimal(mask))"
        case .maskedEqual(let mask, let value) where mask == value:
            "argument \(argument) has all of the bits \(Self.hexadecimal(mask))"
        case .maskedEqual(let mask, let value):
            "of the bits \(Self.hexadecimal(mask)) argument \(argument) has"
                + " \(Self.hexadecimal(value)) alone"
        }
    }

    /// Small numbers are counts and families, large ones are sums of bits.
    private static func number(_ value: UInt64) -> String {
        value < 256 ? "\(value)" : hexadecimal(value)
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        "0x" + String(value, radix: 16)
    }
}

extension CallPolicy.Case {
    /// All of its conditions in words.
    public var words: String {
        conditions.isEmpty
            ? "always" : "when " + conditions.map(\.description).joined(separator: " and ")
    }
}
