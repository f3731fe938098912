internal import Console

/// One line of the log, in each of its forms.
///
/// No form is longer than a pipe takes whole: values are cut first, then keys are left out.
struct LogLine {
    let level: LogLevel
    let message: String
    let fields: [(key: String, value: LogValue)]
    /// Since 1970.
    let nanoseconds: Int64
    let bound: Int

    static let mostFields = 24

    init(
        _ level: LogLevel, _ message: StaticString, _ fields: Log.Fields, nanoseconds: Int64,
        bound: Int
    ) {
        self.level = level
        self.message = "\(message)"
        self.fields = fields.prefix(Self.mostFields).map { ("\($0.key)", $0.value) }
        self.nanoseconds = nanoseconds
        self.bound = bound
    }

    /// The first form that fits.
    private func fitting(_ form: (_ fields: Int, _ longest: Int) -> [UInt8]) -> [UInt8] {
        for (count, longest) in [(Self.mostFields, 1024), (Self.mostFields, 128), (8, 48)] {
            let line = form(count, longest)
            if line.count <= bound { return line }
        }
        return form(0, 0)
    }

    /// `{"time":"…","level":"info","message":"…","sandbox.id":"…"}`
    func json() -> [UInt8] {
        fitting { count, longest in
            var object = JSONObject()
            object["time"] = .string(TimeText.text(nanoseconds))
            object["level"] = .string(level.rawValue)
            object["message"] = .string(message)
            for (key, value) in fields.prefix(count) { object[key] = value.json(longest: longest) }
            return Array((JSONWriter.text(.object(object)) + "\n").utf8)
        }
    }

    /// `2026-07-01T12:00:00.000000Z info: sandbox started sandbox.id=a`
    func text() -> [UInt8] {
        fitting { count, longest in
            let start = "\(TimeText.text(nanoseconds)) \(level.rawValue): "
            return Array((start + words(count, longest) + "\n").utf8)
        }
    }

    /// The journal's own protocol: fields of which a text with line breaks has its length before
    /// it.
    func journal(identifier: String) -> [UInt8] {
        fitting { count, longest in
            var bytes: [UInt8] = []
            Self.append("MESSAGE", words(count, longest), to: &bytes)
            Self.append("PRIORITY", "\(level.priority)", to: &bytes)
            Self.append("SYSLOG_IDENTIFIER", identifier, to: &bytes)
            Self.append("ALCOVE_MESSAGE", message, to: &bytes)
            for (key, value) in fields.prefix(count) {
                Self.append(Self.journalName(key), value.raw(longest: longest), to: &bytes)
            }
            return bytes
        }
    }

    private func words(_ count: Int, _ longest: Int) -> String {
        fields.prefix(count).reduce(into: message) { words, field in
            words += " \(field.key)=\(field.value.plain(longest: longest))"
        }
    }

    /// `sandbox.id` is `ALCOVE_SANDBOX_ID` there: letters, digits and underscores, 64 at most.
    static func journalName(_ key: String) -> String {
        var name = "ALCOVE_"
        for byte in key.utf8.prefix(57) {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"):
                name.unicodeScalars.append(Unicode.Scalar(byte - 32))
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                name.unicodeScalars.append(Unicode.Scalar(byte))
            default: name += "_"
            }
        }
        return name
    }

    private static func append(_ name: String, _ value: String, to bytes: inout [UInt8]) {
        bytes += Array(name.utf8)
        if value.utf8.contains(UInt8(ascii: "\n")) {
            bytes.append(UInt8(ascii: "\n"))
            let count = UInt64(value.utf8.count)
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: count >> (shift * 8))) }
        } else {
            bytes.append(UInt8(ascii: "="))
        }
        bytes += Array(value.utf8)
        bytes.append(UInt8(ascii: "\n"))
    }
}

/// Points of time as RFC 3339 has them.
enum TimeText {
    /// `2026-07-01T12:00:00.000000Z`
    static func text(_ nanoseconds: Int64) -> String {
        let day: Int64 = 86_400_000_000_000
        var (days, rest) = nanoseconds.quotientAndRemainder(dividingBy: day)
        if rest < 0 { (days, rest) = (days - 1, rest + day) }
        let (year, month, date) = civil(days: days)
        let seconds = rest / 1_000_000_000
        let clock = [seconds / 3600, seconds / 60 % 60, seconds % 60].map { padded($0, 2) }
        let fraction = padded(rest / 1000 % 1_000_000, 6)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(date, 2))T"
            + clock.joined(separator: ":") + ".\(fraction)Z"
    }

    /// The date of a day since 1970-01-01. Counted in eras of 400 years that begin on a 1 March, so
    /// that the leap day comes last.
    private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
