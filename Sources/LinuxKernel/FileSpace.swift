internal import CLinux

// The blocks behind a part of a file, whose size stays as it is.
extension Descriptor {
    /// Gives the blocks back; zeroes are read from now on. Corresponds to
    /// `FALLOC_FL_PUNCH_HOLE`.
    public borrowing func punchHole(at offset: UInt64, count: UInt64) throws(SystemCallError) {
        try allocate(0x2, offset, count)
    }

    /// Makes it read as zeroes without giving the blocks back. Corresponds to
    /// `FALLOC_FL_ZERO_RANGE`, which not every file system has.
    public borrowing func zeroRange(at offset: UInt64, count: UInt64) throws(SystemCallError) {
        try allocate(0x10, offset, count)
    }

    private borrowing func allocate(
        _ mode: UInt64, _ offset: UInt64, _ count: UInt64
    ) throws(SystemCallError) {
        while true {
            // FALLOC_FL_KEEP_SIZE
            let result = systemCall(
                __NR_fallocate, UInt64(argument: rawValue), mode | 0x1, offset, count)
            if result == -Int64(ErrorNumber.interrupted.rawValue) { continue }
            try checked(result, "fallocate")
            return
        }
    }
}
