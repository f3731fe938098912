/// Goes through texts that follow each other, each ended by a zero byte.
@safe
struct TextScanner {
    private let start: UnsafeMutablePointer<CChar>
    private let count: Int
    private var offset: Int

    /// The last byte must be zero.
    @unsafe
    init(_ bytes: UnsafeRawBufferPointer, from offset: Int) {
        // SAFETY: the caller has looked at the last byte, so there is one.
        let base = unsafe bytes.baseAddress.unsafelyUnwrapped
        // SAFETY: as above; the texts stay as they are.
        unsafe start = UnsafeMutablePointer(
            mutating: base.assumingMemoryBound(to: CChar.self))
        count = bytes.count
        self.offset = offset
    }

    var isAtEnd: Bool { offset == count }

    mutating func next() -> UnsafeMutablePointer<CChar>? {
        guard offset < count else { return nil }
        // SAFETY: within the bytes; the last one is zero, where the loop ends at the latest.
        let text = unsafe start + offset
        while unsafe start[offset] != 0 { offset += 1 }
        offset += 1
        return unsafe text
    }

    /// Puts texts and a null at a place, and goes on behind them.
    @unsafe
    mutating func take(
        _ count: Int, _ place: inout UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    ) -> Bool {
        for _ in 0..<count {
            // SAFETY: the caller has counted what fits.
            guard let text = unsafe next() else { return false }
            unsafe place.pointee = text
            unsafe place += 1
        }
        // SAFETY: as above.
        unsafe place.pointee = nil
        unsafe place += 1
        return true
    }
}
