internal import CLinux

/// Where lines go that nobody may wait for: standard error, mostly.
///
/// The descriptor itself stays as it is, since other processes share it: a pipe or a terminal is
/// opened once more, a socket is told at each call not to wait.
public final class LineOutput: Sendable {
    private enum Way {
        case socket
        /// Files take what is written.
        case file
        /// Opened without waiting.
        case opened
        /// What could not be opened again, is asked before each line.
        case asked
    }

    /// The longest line that a pipe takes whole or not at all. Corresponds to `PIPE_BUF`.
    public static let longestLine = 4096

    private let number: Int32
    private let own: Descriptor?
    private let way: Way

    /// - Parameter number: stays the caller's, and open.
    public init(_ number: Int32) {
        let path = "/proc/self/fd/\(number)"
        switch Self.kind(of: path) {
        case .regular:
            way = .file
            own = nil
        case .socket:
            way = .socket
            own = nil
        case .fifo, .characterDevice, .blockDevice, .directory, .symbolicLink, nil:
            // O_NOCTTY
            let mode = OpenMode.writeOnly.union(.nonBlocking).union(OpenMode(rawValue: 0o400))
            own = try? Files.open(path, mode)
            way = own == nil ? .asked : .opened
        }
        self.number = own == nil ? number : own.number
    }

    private static func kind(of path: String) -> FileStatus.Kind? {
        guard let named = try? Files.open(path, .path) else { return nil }
        return (try? Files.status(of: named))?.kind
    }

    /// Writes what follows the first `start` bytes, as far as that goes without waiting.
    ///
    /// For a process that ignores SIGPIPE.
    public func write(_ bytes: [UInt8], from start: Int = 0) -> UnixSockets.Transfer {
        precondition(start >= 0 && start <= bytes.count, "a start within the bytes")
        if case .asked = way, !isReady { return .wouldBlock }
        let number = number
        return withAddress(of: bytes) { address, count in
            let (address, count) = (address + UInt64(start), count - UInt64(start))
            if case .socket = way {
                // MSG_NOSIGNAL | MSG_DONTWAIT
                return UnixSockets.Transfer(
                    systemCall(
                        __NR_sendto, UInt64(argument: number), address, count, 0x4000 | 0x40))
            }
            return UnixSockets.Transfer(
                systemCall(__NR_write, UInt64(argument: number), address, count))
        }
    }

    private var isReady: Bool {
        var interests = [Readiness.Interest(number, writing: true)]
        guard (try? Readiness.wait(for: &interests, waits: false)) != nil else { return false }
        return interests[0].isReady
    }
}

extension ThisProcess {
    /// A reader that is gone then is an error of the call, and not this process's end.
    public static func ignoreBrokenPipes() {
        // struct sigaction of the kernel: SIG_IGN, no flags, no restorer, no mask.
        var action = (UInt64(1), UInt64(0), UInt64(0), UInt64(0))
        // SIGPIPE
        _ = withAddress(of: &action) { systemCall(__NR_rt_sigaction, 13, $0, 0, 8) }
    }
}
