internal import CLZ4

/// Blocks of LZ4, as the kernel unpacks them.
enum LZ4 {
    /// Packs as much of the beginning of some content as fits a block, which it fills from its end:
    /// in front are zeros, which the kernel skips. Gives how much of the content that is.
    static func pack(_ content: Span<UInt8>, into block: inout [UInt8]) -> Int {
        var packed = [UInt8](repeating: 0, count: block.count)
        var used = Int32(content.count)
        // SAFETY: reads at most `used` bytes of the content, which has as many, and writes at most
        // as many bytes to `packed` as it has.
        let count = unsafe content.withUnsafeBufferPointer { content in
            // SAFETY: as above.
            unsafe packed.withUnsafeMutableBufferPointer { packed in
                // SAFETY: as above.
                unsafe content.withMemoryRebound(to: CChar.self) { content in
                    // SAFETY: as above.
                    unsafe packed.withMemoryRebound(to: CChar.self) { packed in
                        guard let from = content.baseAddress, let to = packed.baseAddress else {
                            return Int32(0)
                        }
                        // SAFETY: as above.
                        return unsafe LZ4_compress_destSize(from, to, &used, Int32(packed.count))
                    }
                }
            }
        }
        guard count > 0 else { return 0 }
        block = [UInt8](repeating: 0, count: block.count - Int(count)) + packed.prefix(Int(count))
        return Int(used)
    }
}
