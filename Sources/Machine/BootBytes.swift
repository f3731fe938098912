/// A structure of another's making, put together byte by byte.
struct BootBytes {
    private(set) var bytes: [UInt8]

    init(count: Int) {
        bytes = [UInt8](repeating: 0, count: count)
    }

    mutating func put(_ value: UInt64, _ size: Int, at offset: Int) {
        for index in 0..<size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
        }
    }

    mutating func put(_ piece: [UInt8], at offset: Int) {
        bytes.replaceSubrange(offset..<offset + piece.count, with: piece)
    }

    mutating func append(_ value: UInt64, _ size: Int) {
        for index in 0..<size {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(index * 8)))
        }
    }

    mutating func append(_ piece: [UInt8]) { bytes += piece }

    /// The byte that makes the sum of all zero.
    var complement: UInt8 { 0 &- bytes.reduce(0, &+) }
}
