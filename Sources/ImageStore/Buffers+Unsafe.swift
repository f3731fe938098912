extension [UInt8] {
    /// Copies bytes over those from `offset` on.
    mutating func copy(_ bytes: Span<UInt8>, to offset: Int) {
        precondition(
            offset >= 0 && bytes.count <= count - offset, "a copy stays within the array")
        // SAFETY: within the bounds of both, as checked above; the array is this one's alone.
        unsafe withUnsafeMutableBufferPointer { target in
            // SAFETY: as above.
            unsafe bytes.withUnsafeBufferPointer { source in
                guard let start = target.baseAddress, let from = source.baseAddress else { return }
                // SAFETY: as above.
                unsafe (start + offset).update(from: from, count: source.count)
            }
        }
    }

    mutating func append(_ bytes: Span<UInt8>) {
        let start = count
        self += [UInt8](repeating: 0, count: bytes.count)
        copy(bytes, to: start)
    }
}
