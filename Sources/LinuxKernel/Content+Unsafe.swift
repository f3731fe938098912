internal import CLinux

// The content of files, without a copy in between.
extension Descriptor {
    /// Reads into memory. Gives how many bytes it got: none at the end of the file.
    public borrowing func read(into buffer: inout MutableSpan<UInt8>) throws(SystemCallError) -> Int
    {
        let number = rawValue
        while true {
            let count = UInt64(buffer.count)
            // SAFETY: the kernel writes at most `count` bytes to the span during the call.
            let result = unsafe buffer.withUnsafeMutableBufferPointer { bytes in
                systemCall(
                    __NR_read, UInt64(argument: number),
                    UInt64(UInt(bitPattern: bytes.baseAddress)), count)
            }
            if result == -Int64(ErrorNumber.interrupted.rawValue) { continue }
            return Int(try checked(result, "read"))
        }
    }

    /// Reads from an offset on, and leaves the file's own place alone.
    public borrowing func read(
        into buffer: inout MutableSpan<UInt8>, at offset: UInt64
    ) throws(SystemCallError) -> Int {
        let number = rawValue
        while true {
            let count = UInt64(buffer.count)
            // SAFETY: as above.
            let result = unsafe buffer.withUnsafeMutableBufferPointer { bytes in
                systemCall(
                    __NR_pread64, UInt64(argument: number),
                    UInt64(UInt(bitPattern: bytes.baseAddress)), count, offset)
            }
            if result == -Int64(ErrorNumber.interrupted.rawValue) { continue }
            return Int(try checked(result, "read"))
        }
    }

    /// Writes all the bytes from an offset on.
    public borrowing func write(
        _ bytes: Span<UInt8>, at offset: UInt64
    ) throws(SystemCallError) {
        let number = rawValue
        var done: UInt64 = 0
        let count = UInt64(bytes.count)
        while done < count {
            // SAFETY: the kernel reads within the span during the call.
            let result = unsafe bytes.withUnsafeBufferPointer { bytes in
                systemCall(
                    __NR_pwrite64, UInt64(argument: number),
                    UInt64(UInt(bitPattern: bytes.baseAddress)) + done, count - done,
                    offset + done)
            }
            if result == -Int64(ErrorNumber.interrupted.rawValue) { continue }
            done += UInt64(try checked(result, "write"))
        }
    }
}
