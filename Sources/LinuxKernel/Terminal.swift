internal import CLinux

/// A terminal behind a descriptor.
public enum Terminal {
    /// The rows and columns that a terminal shows.
    public struct Size: Hashable, Sendable {
        public var rows: UInt16
        public var columns: UInt16

        public init(rows: UInt16, columns: UInt16) {
            self.rows = rows
            self.columns = columns
        }
    }

    /// The line settings of a terminal, to be put back. `struct termios` of the kernel: four
    /// words of flags, a byte, then the control characters.
    public struct Settings: Sendable {
        fileprivate var words = InlineArray<16, UInt32>(repeating: 0)
    }

    public static func settings(of descriptor: Int32) -> Settings? {
        var settings = Settings()
        let result = withAddress(of: &settings.words) {
            systemCall(__NR_ioctl, UInt64(argument: descriptor), UInt64(TCGETS), $0)
        }
        return result == 0 ? settings : nil
    }

    public static func isTerminal(_ descriptor: Int32) -> Bool {
        settings(of: descriptor) != nil
    }

    /// Passes every byte on as it is typed: what it means is decided by the terminal inside.
    public static func makeRaw(_ descriptor: Int32, from settings: Settings) {
        var raw = settings
        // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON; OPOST; CSIZE PARENB; ECHO ECHONL
        // ICANON ISIG IEXTEN off, eight bits on.
        raw.words[0] &= ~0o2753
        raw.words[1] &= ~0o1
        raw.words[2] = raw.words[2] & ~0o460 | 0o60
        raw.words[3] &= ~0o100113
        restore(descriptor, raw)
    }

    public static func restore(_ descriptor: Int32, _ settings: Settings) {
        var words = settings.words
        _ = withAddress(of: &words) {
            systemCall(__NR_ioctl, UInt64(argument: descriptor), UInt64(TCSETS), $0)
        }
    }

    public static func size(of descriptor: Int32) -> Size? {
        // struct winsize: rows, columns, and two that are not used.
        var size = (UInt16(0), UInt16(0), UInt16(0), UInt16(0))
        let result = withAddress(of: &size) {
            systemCall(__NR_ioctl, UInt64(argument: descriptor), UInt64(TIOCGWINSZ), $0)
        }
        return result == 0 ? Size(rows: size.0, columns: size.1) : nil
    }

    public static func setSize(_ size: Size, of descriptor: borrowing Descriptor) {
        var value = (size.rows, size.columns, UInt16(0), UInt16(0))
        let number = descriptor.rawValue
        _ = withAddress(of: &value) {
            systemCall(__NR_ioctl, UInt64(argument: number), UInt64(TIOCSWINSZ), $0)
        }
    }
}

/// The standard streams of this process.
public enum StandardStream: Int32, Sendable {
    case input = 0
    case output = 1
    case error = 2

    /// Writes all of a text; a reader that is gone is no error.
    public func write(_ text: String) {
        write(Array(text.utf8))
    }

    public func write(_ bytes: [UInt8]) {
        var done: UInt64 = 0
        while done < bytes.count {
            let result = withAddress(of: bytes) { address, count in
                systemCall(
                    __NR_write, UInt64(argument: rawValue), address + done, count - done)
            }
            if result == -Int64(ErrorNumber.interrupted.rawValue) { continue }
            if result == -Int64(ErrorNumber.wouldBlock.rawValue) {
                var interests = [Readiness.Interest(rawValue, writing: true)]
                guard (try? Readiness.wait(for: &interests)) != nil else { return }
                continue
            }
            guard result > 0 else { return }
            done += UInt64(result)
        }
    }

    /// At most `count` bytes; none at the end, nothing when there is nothing to read.
    public func read(atMost count: Int) -> [UInt8]? {
        Self.read(atMost: count, from: rawValue)
    }

    /// The same of any descriptor, which stays the caller's.
    public static func read(atMost count: Int, from descriptor: Int32) -> [UInt8]? {
        let result = bytes(capacity: count) {
            systemCall(__NR_read, UInt64(argument: descriptor), $0, UInt64(count))
        }
        guard case .success(let bytes) = result else { return nil }
        return bytes
    }

    /// Whether something can be written to a descriptor now: to a pipe, so much as it takes whole.
    public static func isWritable(_ descriptor: Int32) -> Bool {
        var interests = [Readiness.Interest(descriptor, writing: true)]
        guard (try? Readiness.wait(for: &interests, waits: false)) != nil else { return true }
        return interests[0].isReady
    }

    /// Writes as many of the bytes as are taken at once, to any descriptor; nil when it takes no
    /// more, for ever.
    public static func writeSome(_ bytes: [UInt8], to descriptor: Int32) -> Int? {
        let result = withAddress(of: bytes) { address, count in
            systemCall(__NR_write, UInt64(argument: descriptor), address, count)
        }
        switch result {
        case 0...: return Int(result)
        case -Int64(ErrorNumber.wouldBlock.rawValue), -Int64(ErrorNumber.interrupted.rawValue):
            return 0
        default: return nil
        }
    }

    /// Gives every standard stream that is closed an open file, so that no descriptor of ours
    /// takes its place.
    public static func openMissing() {
        for number in 0..<3 as Range<Int32> {
            // F_GETFD
            if systemCall(__NR_fcntl, UInt64(argument: number), 1) >= 0 { continue }
            _ = withAddress(of: "/dev/null") {
                systemCall(__NR_openat, UInt64(argument: -100), $0, 2)
            }
        }
    }
}
