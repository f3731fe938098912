/// Numbers as people read them, without a locale.
public enum NumberText {
    /// `1.50` for 1.5 with two decimals; ties go away from zero. At most nine decimals.
    public static func fixed(_ value: Double, decimals: Int) -> String {
        let places = min(9, max(0, decimals))
        var factor: Int64 = 1
        for _ in 0..<places { factor *= 10 }
        let scaled = (value * Double(factor)).rounded(.toNearestOrAwayFromZero)
        // Beyond that a double has no decimals, and infinite ones have no digits.
        guard scaled.magnitude < 9e18 else { return value.description }
        let whole = Int64(scaled)
        let (quotient, remainder) = whole.magnitude.quotientAndRemainder(
            dividingBy: factor.magnitude)
        let sign = whole < 0 ? "-" : ""
        guard places > 0 else { return "\(sign)\(quotient)" }
        let digits = String(remainder)
        let zeros = String(repeating: "0", count: places - digits.count)
        return "\(sign)\(quotient).\(zeros)\(digits)"
    }

    /// About three digits: `0.0412`, `1.53`, `15.3`, `153`, `1530`.
    public static func short(_ value: Double) -> String {
        let size = value.magnitude
        if size == 0 { return "0" }
        var decimals = 2
        var edge = 9.995
        while size >= edge && decimals > 0 {
            decimals -= 1
            edge *= 10
        }
        var small = 0.9995
        while size < small && decimals < 9 {
            decimals += 1
            small /= 10
        }
        return fixed(value, decimals: decimals)
    }

    /// `12,345`
    public static func grouped(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        var result = value < 0 ? "-" : ""
        for (place, digit) in digits.enumerated() {
            if place > 0 && (digits.count - place).isMultiple(of: 3) { result += "," }
            result.append(digit)
        }
        return result
    }
}

/// The units in which times are shown.
public enum TimeUnit: Double, CaseIterable, Comparable, Sendable {
    case nanoseconds = 1
    case microseconds = 1e3
    case milliseconds = 1e6
    case seconds = 1e9

    /// The largest unit in which so many nanoseconds are at least 1.
    public init(fitting nanoseconds: Double) {
        self = Self.allCases.last { nanoseconds.magnitude >= $0.rawValue } ?? .nanoseconds
    }

    public var symbol: String {
        switch self {
        case .nanoseconds: "ns"
        case .microseconds: "µs"
        case .milliseconds: "ms"
        case .seconds: "s"
        }
    }

    public static func < (left: TimeUnit, right: TimeUnit) -> Bool {
        left.rawValue < right.rawValue
    }

    /// `1.53 ms`: about three digits, in this unit.
    public func text(nanoseconds: Double) -> String {
        "\(NumberText.short(nanoseconds / rawValue)) \(symbol)"
    }

    /// `1.53 ms`: about three digits, in the unit that fits.
    public static func text(nanoseconds: Double) -> String {
        TimeUnit(fitting: nanoseconds).text(nanoseconds: nanoseconds)
    }
}
