/// Reads and writes the quantities that people type, exactly: nothing is rounded or clamped.
///
/// For each kind, reading what `text` wrote gives the same value.
public enum Quantity {
    /// The longest duration that is read: what fits nanoseconds in 64 bits, 292 years.
    public static var longestDuration: Duration { .nanoseconds(Int64.max) }

    private typealias Unit = (symbol: String, factor: UInt64)

    private static var byteUnits: [Unit] {
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]
    }

    private static var timeUnits: [Unit] {
        [
            ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
            ("ms", 1_000_000), ("us", 1000), ("ns", 1),
        ]
    }

    /// A whole number, with a minus sign or without a sign.
    public static func integer(_ text: String) throws(FlagError) -> Int {
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy(ExactDecimal.isDigit) else {
            throw FlagError("\(PlainText.quoted(text)) is not a whole number")
        }
        guard let value = Int(text) else {
            throw FlagError("\(PlainText.quoted(text)) is too large a number")
        }
        return value
    }

    /// A size: `512B`, `64KiB`, `128MiB`, `1.5GiB`, `1TiB`, or plain bytes.
    ///
    /// Units are powers of 1024 and spelled so. `MB` and `M` mean 1000 or 1024 depending on whom
    /// one asks, and a memory limit is no place to guess: they are refused, with a hint.
    public static func bytes(_ text: String) throws(FlagError) -> UInt64 {
        let (number, unit) = parts(text)
        guard unit.isEmpty || byteUnits.contains(where: { $0.symbol == unit }) else {
            throw FlagError(
                "\(PlainText.quoted(text)) is not a size", hint: sizeHint(number, unit))
        }
        let factor = byteUnits.first { $0.symbol == unit }?.factor ?? 1
        return try exact(
            text, number, factor, kind: "a size", fine: "not a whole number of bytes",
            example: "128MiB")
    }

    /// `128MiB`: in the largest unit that divides it.
    public static func text(bytes: UInt64) -> String { text(bytes, byteUnits, smallest: "B") }

    /// CPUs in thousandths: `2` is 2000, `0.5` is 500. At most three decimals.
    public static func milliCPUs(_ text: String) throws(FlagError) -> Int {
        let value = try exact(
            text, text[...], 1000, kind: "a number of CPUs",
            fine: "finer than a thousandth of a CPU", example: "0.5")
        guard let value = Int(exactly: value) else {
            throw FlagError("\(PlainText.quoted(text)) is too large a number of CPUs")
        }
        return value
    }

    /// `0.5`
    public static func text(milliCPUs: Int) -> String {
        let (whole, part) = milliCPUs.magnitude.quotientAndRemainder(dividingBy: 1000)
        let sign = milliCPUs < 0 ? "-" : ""
        guard part > 0 else { return "\(sign)\(whole)" }
        var digits = String(String(1000 + part).dropFirst())
        while digits.hasSuffix("0") { digits.removeLast() }
        return "\(sign)\(whole).\(digits)"
    }

    /// A length of time: `250ms`, `10s`, `1.5m`, `1h`, also `us` and `ns`. The unit is needed.
    public static func duration(_ text: String) throws(FlagError) -> Duration {
        let (number, unit) = parts(text)
        // The micro sign and the Greek letter look the same and are both typed.
        let symbol = unit == "µs" || unit == "μs" ? "us" : unit
        guard let factor = timeUnits.first(where: { $0.symbol == symbol })?.factor else {
            let isBare = unit.isEmpty && !number.isEmpty
            throw FlagError(
                "\(PlainText.quoted(text)) is not a duration",
                hint: isBare
                    ? "add the unit, as in `\(PlainText.escaped(number.prefix(20)))s`"
                    : "write a number and ns, us, ms, s, m or h, as in `10s`")
        }
        let value = try exact(
            text, number, factor, kind: "a duration", fine: "finer than a nanosecond",
            example: "10s")
        guard let nanoseconds = Int64(exactly: value) else {
            throw FlagError("\(PlainText.quoted(text)) is too long")
        }
        return .nanoseconds(nanoseconds)
    }

    /// `250ms`: in the largest unit that divides it. What is below a nanosecond is left out.
    public static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let nanoseconds = Int128(seconds) * 1_000_000_000 + Int128(attoseconds / 1_000_000_000)
        guard let value = UInt64(exactly: nanoseconds.magnitude) else {
            return "\(seconds)s"
        }
        if value == 0 { return "0s" }
        return (nanoseconds < 0 ? "-" : "") + text(value, timeUnits, smallest: "ns")
    }

    /// Bytes a second: `10MiB/s`, or in network units `100Mbit/s` (`kbit`, `Mbit` and `Gbit` are
    /// powers of 1000).
    public static func bytesPerSecond(_ text: String) throws(FlagError) -> UInt64 {
        let example = "10MiB/s or 100Mbit/s"
        guard text.hasSuffix("/s") else {
            throw FlagError("\(PlainText.quoted(text)) is not a rate", hint: "as in \(example)")
        }
        let amount = String(text.dropLast(2))
        let (number, unit) = parts(amount)
        let bits: [Unit] = [("kbit", 125), ("Mbit", 125_000), ("Gbit", 125_000_000)]
        if let factor = bits.first(where: { $0.symbol == unit })?.factor {
            return try exact(
                text, number, factor, kind: "a rate", fine: "not a whole number of bytes",
                example: example)
        }
        guard !unit.isEmpty else {
            throw FlagError("\(PlainText.quoted(text)) lacks a unit", hint: "as in \(example)")
        }
        return try bytes(amount)
    }

    /// `10MiB/s`
    public static func text(bytesPerSecond: UInt64) -> String {
        text(bytes: bytesPerSecond) + "/s"
    }

    /// Events a second: `1000/s`.
    public static func countPerSecond(_ text: String) throws(FlagError) -> UInt64 {
        guard text.hasSuffix("/s") else {
            throw FlagError("\(PlainText.quoted(text)) is not a rate", hint: "as in 1000/s")
        }
        return try exact(
            text, text.dropLast(2), 1, kind: "a rate", fine: "not a whole number",
            example: "1000/s")
    }

    /// `KEY=VALUE`. The key is not empty; the value may be, and may hold further `=`.
    ///
    /// - Parameter form: how the help calls such a pair.
    public static func pair(
        _ text: String, form: String = "KEY=VALUE"
    ) throws(FlagError) -> KeyValue {
        let (key, value) = PlainText.split(text, at: "=")
        // The value can be a secret: it is never repeated in an error.
        guard let value else {
            throw FlagError(
                "\(PlainText.quoted(text)) has no `=`", hint: "write \(form)")
        }
        guard !key.isEmpty else {
            throw FlagError("the key before `=` is empty", hint: "write \(form)")
        }
        guard !text.unicodeScalars.contains("\0") else {
            throw FlagError("\(PlainText.quoted(key)) holds a zero byte")
        }
        return KeyValue(key: key, value: value)
    }

    private static func parts(_ text: String) -> (number: Substring, unit: Substring) {
        let bytes = text.utf8
        let end = bytes.firstIndex { !ExactDecimal.isDigit($0) && $0 != UInt8(ascii: ".") }
        let border = end ?? bytes.endIndex
        return (text[..<border], text[border...])
    }

    private static func exact(
        _ text: String, _ number: Substring, _ factor: UInt64, kind: String, fine: String,
        example: String
    ) throws(FlagError) -> UInt64 {
        do throws(ExactDecimal.Failure) {
            return try ExactDecimal(number).times(factor)
        } catch {
            let shown = PlainText.quoted(text)
            switch error {
            case .malformed: throw FlagError("\(shown) is not \(kind)", hint: "as in \(example)")
            case .tooLarge: throw FlagError("\(shown) is too large")
            case .tooFine: throw FlagError("\(shown) is \(fine)")
            }
        }
    }

    private static func text(_ value: UInt64, _ units: [Unit], smallest: String) -> String {
        for unit in units where value != 0 && value.isMultiple(of: unit.factor) {
            return "\(value / unit.factor)\(unit.symbol)"
        }
        return "\(value)\(smallest)"
    }

    private static func sizeHint(_ number: Substring, _ unit: Substring) -> String {
        let general = "write bytes, or a number with B, KiB, MiB, GiB or TiB, as in `128MiB`"
        guard !number.isEmpty, number.utf8.count <= 20, unit.utf8.count <= 3 else {
            return general
        }
        let meant: String
        switch unit.lowercased() {
        case "k", "kb", "kib": meant = "KiB"
        case "m", "mb", "mib": meant = "MiB"
        case "g", "gb", "gib": meant = "GiB"
        case "t", "tb", "tib": meant = "TiB"
        case "b": meant = "B"
        default: return general
        }
        return "did you mean `\(number)\(meant)`?"
    }
}
