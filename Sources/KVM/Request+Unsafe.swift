internal import LinuxKernel

extension Descriptor {
    /// Makes a request with a structure of C, which the kernel reads or changes.
    ///
    /// It asks nothing of the type: what `control(_:with:name:)` asks, Swift 6.3 forgets of C's
    /// structures when it copies a body into another module.
    @discardableResult
    borrowing func request<Value>(
        _ number: UInt64, with value: inout Value, name: StaticString
    ) throws(SystemCallError) -> Int64 {
        // SAFETY: the address is used by one call and not kept; the structures of KVM are plain
        // numbers.
        try unsafe withUnsafeMutablePointer(to: &value) { (pointer) throws(SystemCallError) in
            try control(number, UInt64(UInt(bitPattern: pointer)), name: name)
        }
    }

    /// Makes a request with a structure of C in bytes, as many as the kernel reads or changes: who
    /// asks gives that many.
    @discardableResult
    borrowing func request(
        _ number: UInt64, with bytes: inout [UInt8], name: StaticString
    ) throws(SystemCallError) -> Int64 {
        // SAFETY: the address is used by one call and not kept; the bytes are as many as the
        // structure has, which callers take from the kernel's own header.
        try unsafe bytes.withUnsafeMutableBufferPointer { (buffer) throws(SystemCallError) in
            try control(number, UInt64(UInt(bitPattern: buffer.baseAddress)), name: name)
        }
    }
}
