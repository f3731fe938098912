internal import CInit
internal import CInitProtocol

/// What a guest is made of, as the command line of its kernel has it behind `--`:
/// `guest layers=N root=ro|rw scratch=BYTES|disk [mark=PORT] [vsock=none]`.
///
/// Or `guest link=FD commands=FD`: nothing is set up, and the connections are there already.
///
/// Only the host writes it, yet it is read strictly: a mistake must not start a guest.
struct GuestRequest {
    enum Scratch {
        case memory(bytes: UInt64)
        /// The block device behind the layers.
        case disk
    }

    struct Tree {
        /// One block device each, the topmost first.
        let layers: UInt64
        let isWritable: Bool
        let scratch: Scratch
    }

    /// What is set up; or nil.
    let tree: Tree?
    /// Descriptors of a connection to the host and of a listening socket.
    let inherited: (link: Int32, commands: Int32)?
    /// A port of the processor that is written to when the guest is ready.
    let mark: UInt16?
    /// `vsock=none`: there is no host to talk to.
    let isAlone: Bool

    /// As many as an image may have.
    static let mostLayers: UInt64 = 128
    private static let leastScratch: UInt64 = 65536
    private static let word: StaticString = "guest"

    @unsafe
    static func isMeant(by vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, count: Int)
        -> Bool
    {
        // SAFETY: no index reaches `count`, and each string ends in a zero byte.
        guard count > 1, let first = unsafe vector[1] else { return false }
        var argument = unsafe Argument(first)
        // SAFETY: as above.
        return argument.skip(word) && argument.isAtEnd
    }

    /// Nil if the vector is not of the form above.
    ///
    /// The vector must be null at its end and live during the call.
    @unsafe
    init?(vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, count: Int) {
        var fields = Fields()
        for index in 2..<max(2, count) {
            // SAFETY: no index reaches `count`, and each string ends in a zero byte.
            guard let text = unsafe vector[index] else { return nil }
            var argument = unsafe Argument(text)
            guard fields.take(&argument), argument.isAtEnd else { return nil }
        }
        mark = fields.mark
        isAlone = fields.isAlone
        switch (fields.layers, fields.isWritable, fields.scratch, fields.link, fields.commands) {
        case (let layers?, let isWritable?, let scratch?, nil, nil):
            tree = Tree(layers: layers, isWritable: isWritable, scratch: scratch)
            inherited = nil
        case (nil, nil, nil, let link?, let commands?) where link != commands && !isAlone:
            tree = nil
            inherited = (link, commands)
        default: return nil
        }
    }

    private struct Fields {
        var layers: UInt64?
        var isWritable: Bool?
        var scratch: Scratch?
        var mark: UInt16?
        var isAlone = false
        var link: Int32?
        var commands: Int32?

        /// False if it is none, or stood there before.
        mutating func take(_ argument: inout Argument) -> Bool {
            if argument.skip("layers=") {
                guard layers == nil, let number = argument.number(1...mostLayers) else {
                    return false
                }
                layers = number
            } else if argument.skip("root=") {
                guard isWritable == nil else { return false }
                isWritable = argument.skip("rw")
                return isWritable == true || argument.skip("ro")
            } else if argument.skip("scratch=") {
                return takeScratch(&argument)
            } else if argument.skip("mark=") {
                guard mark == nil, let number = argument.number(1...0xffff) else { return false }
                mark = UInt16(number)
            } else if argument.skip("vsock=none") {
                isAlone = true
            } else if argument.skip("link=") {
                guard link == nil, let number = argument.number(3...0xffff) else { return false }
                link = Int32(number)
            } else if argument.skip("commands=") {
                guard commands == nil, let number = argument.number(3...0xffff) else {
                    return false
                }
                commands = Int32(number)
            } else {
                return false
            }
            return true
        }

        private mutating func takeScratch(_ argument: inout Argument) -> Bool {
            guard scratch == nil else { return false }
            if argument.skip("disk") {
                scratch = .disk
                return true
            }
            guard let bytes = argument.number(leastScratch...(1 << 62)) else { return false }
            scratch = .memory(bytes: bytes)
            return true
        }
    }
}

/// What is left of a text that ends in a zero byte.
@safe
private struct Argument {
    private var rest: UnsafePointer<CChar>

    /// The text must live as long as this.
    @unsafe
    init(_ text: UnsafePointer<CChar>) {
        // SAFETY: kept as given.
        unsafe rest = text
    }

    // SAFETY: nothing steps over the zero byte that ends the text.
    var isAtEnd: Bool { unsafe rest[0] == 0 }

    /// Steps over a word, if the rest begins with it.
    mutating func skip(_ word: StaticString) -> Bool {
        for index in 0..<word.utf8CodeUnitCount {
            // SAFETY: as above, for the word has no zero byte; and within the word's bytes.
            guard unsafe UInt8(bitPattern: rest[index]) == word.utf8Start[index] else {
                return false
            }
        }
        // SAFETY: as above.
        unsafe rest += word.utf8CodeUnitCount
        return true
    }

    /// A decimal number within bounds.
    mutating func number(_ bounds: ClosedRange<UInt64>) -> UInt64? {
        var value: UInt64 = 0
        var count = 0
        while true {
            // SAFETY: as above.
            let digit = unsafe UInt8(bitPattern: rest[0]) &- UInt8(ascii: "0")
            guard digit <= 9 else { return count > 0 && bounds.contains(value) ? value : nil }
            let (tens, isTooMuch) = value.multipliedReportingOverflow(by: 10)
            let (sum, isMore) = tens.addingReportingOverflow(UInt64(digit))
            if isTooMuch || isMore { return nil }
            value = sum
            count += 1
            // SAFETY: as above; this was a digit.
            unsafe rest += 1
        }
    }
}
