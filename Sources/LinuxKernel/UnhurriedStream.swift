internal import CLinux

/// A standard stream that is written to without waiting for its reader.
///
/// To set the stream itself so would change it for every process that shares it, a shell's terminal
/// among them. So a pipe or a terminal is opened once more, and a socket is told with each call.
public struct UnhurriedStream: ~Copyable {
    private enum Way {
        case again, socket, plain
    }

    private let stream: StandardStream
    private let opened: Descriptor?
    private let way: Way

    public init(_ stream: StandardStream) {
        self.stream = stream
        let path = "/proc/self/fd/\(stream.rawValue)"
        let target = (try? Files.linkTarget(path)) ?? ""
        let isShared = target.hasPrefix("pipe:") || target.hasPrefix("/dev/")
        opened = isShared ? try? Files.open(path, [.writeOnly, .nonBlocking]) : nil
        way = opened.number >= 0 ? .again : target.hasPrefix("socket:") ? .socket : .plain
    }

    /// What to wait for.
    public var number: Int32 { way == .again ? opened.number : stream.rawValue }

    /// Writes some of the bytes.
    public func write(_ bytes: [UInt8]) -> UnixSockets.Transfer {
        let number = number
        let result =
            switch way {
            case .again, .plain:
                withAddress(of: bytes) {
                    systemCall(__NR_write, UInt64(argument: number), $0, $1)
                }
            case .socket:
                // MSG_DONTWAIT | MSG_NOSIGNAL
                withAddress(of: bytes) {
                    systemCall(__NR_sendto, UInt64(argument: number), $0, $1, 0x4040)
                }
            }
        return UnixSockets.Transfer(result)
    }
}

extension StandardStream {
    /// Whether nothing comes from it, now or later: it is `/dev/null`, or a pipe that is empty and
    /// has nobody to write to it.
    public var isOver: Bool {
        if (try? Files.linkTarget("/proc/self/fd/\(rawValue)")) == "/dev/null" { return true }
        // struct pollfd: POLLIN asked for.
        var entry = UInt64(UInt32(bitPattern: rawValue)) | 1 << 32
        var noTime = (Int64(0), Int64(0))
        let result = withAddress(of: &entry) { entry in
            withAddress(of: &noTime) { time in
                systemCall(__NR_ppoll, entry, 1, time)
            }
        }
        // POLLHUP alone
        return result == 1 && entry >> 48 == 0x10
    }
}
