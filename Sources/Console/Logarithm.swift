/// Logarithms without the C library's mathematics.
enum Logarithm {
    /// The logarithm to base 2 of a positive finite number, to about 15 digits.
    static func base2(_ value: Double) -> Double {
        // value = 2^exponent · significand, and ln s = 2 · artanh((s - 1) / (s + 1)).
        let significand = value.significand
        let ratio = (significand - 1) / (significand + 1)
        let square = ratio * ratio
        var term = ratio
        var sum = 0.0
        for divisor in stride(from: 1.0, through: 33, by: 2) {
            sum += term / divisor
            term *= square
        }
        return Double(value.exponent) + 2 * sum / 0.693_147_180_559_945_3
    }

    /// Two to the power of `exponent`.
    static func power2(_ exponent: Double) -> Double {
        let whole = exponent.rounded(.down)
        guard whole > -1020 else { return 0 }
        guard whole < 1024 else { return .infinity }
        let rest = (exponent - whole) * 0.693_147_180_559_945_3
        var term = 1.0
        var sum = 1.0
        for divisor in stride(from: 1.0, through: 20, by: 1) {
            term *= rest / divisor
            sum += term
        }
        return Double(sign: .plus, exponent: Int(whole), significand: sum)
    }
}
