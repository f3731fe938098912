/// An unsigned decimal number, kept as it was written: `digits` divided by ten to `scale`.
///
/// No floating point is involved, so `0.1` is a tenth.
struct ExactDecimal: Equatable {
    /// Why a number cannot be used.
    enum Failure: Error {
        /// It is no decimal number.
        case malformed
        /// It does not fit.
        case tooLarge
        /// It is not a whole number of the smallest unit.
        case tooFine
    }

    private(set) var digits: UInt64 = 0
    private(set) var scale = 0

    /// Reads `12`, `0.5` or `1.250`: digits, and with a point digits on both sides of it.
    init(_ text: Substring) throws(Failure) {
        let parts = text.utf8.split(
            separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty else { throw .malformed }
        try append(whole)
        guard parts.count == 2 else { return }
        guard let last = parts[1].last, Self.isDigit(last) else { throw .malformed }
        var fraction = parts[1]
        while fraction.last == UInt8(ascii: "0") { fraction.removeLast() }
        guard fraction.count <= 30 else {
            throw fraction.allSatisfy(Self.isDigit) ? .tooFine : .malformed
        }
        try append(fraction)
        scale = fraction.count
    }

    /// The number times `unit`, exactly.
    func times(_ unit: UInt64) throws(Failure) -> UInt64 {
        var divisor: UInt128 = 1
        for _ in 0..<scale { divisor *= 10 }
        let product = UInt128(digits) * UInt128(unit)
        let (quotient, remainder) = product.quotientAndRemainder(dividingBy: divisor)
        guard remainder == 0 else { throw .tooFine }
        guard let result = UInt64(exactly: quotient) else { throw .tooLarge }
        return result
    }

    private mutating func append(_ text: Substring.UTF8View) throws(Failure) {
        guard text.allSatisfy(Self.isDigit) else { throw .malformed }
        for byte in text {
            let (product, isOver) = digits.multipliedReportingOverflow(by: 10)
            let (sum, isAbove) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            if isOver || isAbove { throw .tooLarge }
            digits = sum
        }
    }

    static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }
}
