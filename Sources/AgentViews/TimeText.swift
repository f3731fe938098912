public import Console

/// Points of time as the API has them, nanoseconds since 1970-01-01 00:00 UTC, for people.
public enum TimeText {
    static let second: Int64 = 1_000_000_000

    /// `2026-01-31T12:00:05Z`, in UTC, with so many digits of the second's parts.
    public static func utc(_ nanoseconds: Int64, decimals: Int = 0) -> String {
        let seconds = nanoseconds.flooredQuotient(second)
        let part = nanoseconds - seconds * second
        let day = seconds.flooredQuotient(86400)
        let time = seconds - day * 86400
        let (year, month, dayOfMonth) = date(ofDay: day)
        var text = "\(padded(year, 4))-\(padded(month, 2))-\(padded(dayOfMonth, 2))"
        text += "T\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
        if decimals > 0 { text += "." + padded(part, 9).prefix(decimals) }
        return text + "Z"
    }

    /// How long something takes or took, in one or two units: `350ms`, `12s`, `3m 20s`, `2d 4h`.
    public static func span(_ nanoseconds: Int64) -> String {
        guard nanoseconds >= second else {
            return "\(max(0, nanoseconds) / 1_000_000)ms"
        }
        let seconds = nanoseconds / second
        let parts: [(Int64, String)] = [
            (seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ]
        let start = parts.firstIndex { $0.0 > 0 } ?? 3
        return parts[start..<min(start + 2, 4)].filter { $0.0 > 0 }.map { "\($0.0)\($0.1)" }
            .joined(separator: " ")
    }

    /// The time since a point, as `span`; nothing for 0, which means that it has not happened.
    static func age(since nanoseconds: Int64, now: Int64) -> String {
        nanoseconds == 0 ? "" : span(now - nanoseconds)
    }

    /// Reads a point of time: a span before now, `10m`, or `2026-01-31`, `2026-01-31T12:00:05Z`,
    /// with parts of a second or without, with an offset such as `+02:00` in the place of `Z`.
    public static func point(_ text: String, now: Int64) throws(FlagError) -> Int64 {
        if let span = try? Quantity.duration(text) {
            let (seconds, attoseconds) = span.components
            return now - seconds * second - attoseconds / 1_000_000_000
        }
        guard let point = PointReader.read(text) else {
            throw FlagError(
                "`\(PlainText.escaped(text.prefix(80)))` is no time",
                hint: "write how long ago, as in 10m, or a time, as in 2026-01-31T12:00:00Z")
        }
        return point
    }

    /// The civil date of a day since 1970-01-01, by the Gregorian calendar. Years begin in March,
    /// so that the odd day is the last one.
    static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0)
        return (year, month < 10 ? month + 3 : month - 9, dayOfYear - (153 * month + 2) / 5 + 1)
    }

    static func day(ofYear year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = year.flooredQuotient(400)
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// Reads a date and a time as RFC 3339 has them.
private struct PointReader {
    private var rest: Substring

    static func read(_ text: String) -> Int64? {
        var reader = PointReader(rest: text[...])
        return reader.read()
    }

    private mutating func read() -> Int64? {
        guard let year = number(4), take("-"), let month = number(2), take("-"),
            let day = number(2), (1...12).contains(month), (1...31).contains(day),
            (1678...2261).contains(year)
        else { return nil }
        let days = TimeText.day(ofYear: year, month: month, day: day)
        // The 31st of a month that has 30 days is another one.
        guard TimeText.date(ofDay: days) == (year, month, day) else { return nil }
        if rest.isEmpty { return days * 86400 * TimeText.second }
        guard take("T") || take("t") || take(" "), let hour = number(2), take(":"),
            let minute = number(2), take(":"), let second = number(2), hour < 24, minute < 60,
            second <= 60, let part = fraction(), let offset = offset(), rest.isEmpty
        else { return nil }
        let seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
        return seconds * TimeText.second + part
    }

    private mutating func fraction() -> Int64? {
        guard take(".") else { return 0 }
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        guard (1...9).contains(digits.count), let value = Int64(digits) else { return nil }
        rest = rest[digits.endIndex...]
        return (digits.count..<9).reduce(value) { value, _ in value * 10 }
    }

    private mutating func offset() -> Int64? {
        if take("Z") || take("z") { return 0 }
        let sign: Int64 = rest.first == "-" ? -1 : 1
        guard take("+") || take("-"), let hours = number(2), take(":"), let minutes = number(2),
            hours < 24, minutes < 60
        else { return nil }
        return sign * (hours * 3600 + minutes * 60)
    }

    private mutating func number(_ digits: Int) -> Int64? {
        let text = rest.prefix(digits)
        guard text.count == digits, text.allSatisfy({ $0.isASCII && $0.isNumber }) else {
            return nil
        }
        rest = rest.dropFirst(digits)
        return Int64(text)
    }

    private mutating func take(_ character: Character) -> Bool {
        guard rest.first == character else { return false }
        rest = rest.dropFirst()
        return true
    }
}

extension Int64 {
    fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
