internal import CNettle

/// SHA-256 over content that comes in pieces. Nettle's, which uses the processor's instructions
/// for it where there are.
struct SHA256 {
    private var context = sha256_ctx()

    init() {
        // SAFETY: the context is this value's own for the time of the call.
        unsafe nettle_sha256_init(&context)
    }

    mutating func update(_ bytes: Span<UInt8>) {
        // SAFETY: reads the bytes of the span during the call.
        unsafe bytes.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            // SAFETY: as above; the context is this value's own.
            unsafe nettle_sha256_update(&context, buffer.count, start)
        }
    }

    /// The digest of what came so far; begins anew.
    mutating func finish() -> Digest {
        var bytes = [UInt8](repeating: 0, count: 32)
        // SAFETY: writes 32 bytes, which is what the array has.
        unsafe nettle_sha256_digest(&context, 32, &bytes)
        return Digest(bytes: bytes)
    }

    static func digest(of bytes: [UInt8]) -> Digest {
        var hash = SHA256()
        hash.update(bytes.span)
        return hash.finish()
    }
}
