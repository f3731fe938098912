/// The value of `grpc-timeout`: at most 8 digits and a unit.
enum CallTimeout {
    /// Nanoseconds, `UInt64.max` for what is longer than those can say; nothing for another text.
    static func nanoseconds(_ text: [UInt8]) -> UInt64? {
        guard let unit = text.last, text.count >= 2, text.count <= 9 else { return nil }
        var value: UInt64 = 0
        for byte in text.dropLast() {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + UInt64(byte - UInt8(ascii: "0"))
        }
        let scale: UInt64? =
            switch unit {
            case UInt8(ascii: "n"): 1
            case UInt8(ascii: "u"): 1000
            case UInt8(ascii: "m"): 1_000_000
            case UInt8(ascii: "S"): 1_000_000_000
            case UInt8(ascii: "M"): 60_000_000_000
            case UInt8(ascii: "H"): 3_600_000_000_000
            default: nil
            }
        guard let scale else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: scale)
        return overflow ? .max : product
    }

    /// The text for a span: the finest unit in which it has no more than 8 digits, rounded up.
    static func text(nanoseconds: UInt64) -> String {
        let units: [(name: Character, scale: UInt64)] = [
            ("n", 1), ("u", 1000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000),
        ]
        for (name, scale) in units {
            let (quotient, rest) = nanoseconds.quotientAndRemainder(dividingBy: scale)
            let count = quotient + (rest > 0 ? 1 : 0)
            if count <= 99_999_999 { return "\(count)\(name)" }
        }
        return "\(nanoseconds / 3_600_000_000_000 + 1)H"
    }
}
