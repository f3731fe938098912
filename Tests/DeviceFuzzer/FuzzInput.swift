import GuestMemory

/// An input as a sequence of choices. When it is used up every choice is zero.
struct FuzzInput {
    /// More is not read of one.
    static let mostBytes = 512

    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) {
        self.bytes = Array(bytes.prefix(Self.mostBytes))
    }

    var isEmpty: Bool { position >= bytes.count }

    mutating func byte() -> UInt8 {
        defer { position += 1 }
        return position < bytes.count ? bytes[position] : 0
    }

    /// One of so many.
    mutating func choice(_ count: Int) -> Int { Int(byte()) % count }

    mutating func number(bytes count: Int) -> UInt64 {
        (0..<count).reduce(0) { value, index in value | UInt64(byte()) << UInt64(index * 8) }
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }

    /// A number that is often one at which something happens.
    mutating func oddNumber() -> UInt64 {
        let odd: [UInt64] = [
            0, 1, 2, 3, 4, 8, 15, 16, 17, 31, 255, 256, 511, 512, 513, 4095, 4096, 0x7fff, 0x8000,
            0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, .max / 2, .max - 511,
            .max - 1, .max,
        ]
        let selector = Int(byte())
        if selector < odd.count { return odd[selector] }
        switch selector % 4 {
        case 0: return UInt64(byte())
        case 1: return number(bytes: 2)
        case 2: return number(bytes: 4)
        default: return number(bytes: 8)
        }
    }

    /// An address of the guest's: of data, of a queue, of an end of the memory, or any.
    mutating func address() -> GuestAddress {
        let value: UInt64
        switch choice(8) {
        case 0...3: value = FuzzLayout.data + UInt64(byte()) * 512
        case 4: value = FuzzLayout.data + number(bytes: 3) % (FuzzLayout.memory - FuzzLayout.data)
        case 5: value = FuzzLayout.queue(choice(FuzzLayout.mostQueues)) + number(bytes: 2) % 0x3000
        case 6: value = FuzzLayout.memory - UInt64(byte())
        default: value = oddNumber()
        }
        return GuestAddress(rawValue: value)
    }

    /// The size of a part of a request.
    mutating func size() -> UInt32 {
        let sizes: [UInt32] = [
            1, 2, 4, 8, 10, 12, 16, 20, 44, 64, 512, 513, 1024, 1526, 4096, 8192,
        ]
        let selector = Int(byte())
        if selector < sizes.count { return sizes[selector] }
        return selector < 200
            ? UInt32(selector) : UInt32(truncatingIfNeeded: oddNumber())
    }
}

/// Where things are in the guest's memory.
enum FuzzLayout {
    static let memory: UInt64 = 1 << 20
    static let mostQueues = 8
    static let data: UInt64 = 0x2_0000

    static func queue(_ index: Int) -> UInt64 { 0x1000 + UInt64(index) * 0x3000 }
    static func available(_ index: Int) -> UInt64 { queue(index) + 0x1000 }
    static func used(_ index: Int) -> UInt64 { queue(index) + 0x2000 }
}
