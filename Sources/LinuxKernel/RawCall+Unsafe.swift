#if DEBUG
    /// Any system call with any arguments, for a program under test that does what it must not.
    public enum RawCall {
        public enum Argument: Sendable {
            case number(UInt64)
            /// Its address is passed on. It is never freed.
            case bytes([UInt8])
        }

        /// The result, or a negated error number.
        public static func make(_ number: UInt32, _ arguments: [Argument]) -> Int64 {
            var words = arguments.map { argument in
                switch argument {
                case .number(let number): return number
                case .bytes(let bytes):
                    // SAFETY: new memory of so many bytes, filled here, which nobody frees.
                    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
                    // SAFETY: as above.
                    unsafe copy.initialize(from: bytes, count: bytes.count)
                    return UInt64(UInt(bitPattern: copy))
                }
            }
            words += [UInt64](repeating: 0, count: 6)
            return systemCall(
                Int32(bitPattern: number), words[0], words[1], words[2], words[3], words[4],
                words[5])
        }
    }
#endif
