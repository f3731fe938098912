internal import CLinux

/// Tells of files that are written to, or closed. Corresponds to `inotify`.
public struct FileWatch: ~Copyable, Sendable {
    /// Readable when ``takeChanged()`` has something to give.
    public let descriptor: Descriptor

    public init() throws(SystemCallError) {
        // IN_CLOEXEC | IN_NONBLOCK
        descriptor = Descriptor(
            owning: Int32(try checked(systemCall(__NR_inotify_init1, 0o2_004_000), "inotify_init")))
    }

    /// What is told of a file.
    public enum Event: UInt64, Sendable {
        /// Corresponds to `IN_MODIFY`.
        case writing = 0x2
        /// Corresponds to `IN_CLOSE`.
        case closing = 0x18
    }

    /// A number for the file, the same for the same file.
    public borrowing func add(
        _ path: String, for event: Event = .writing
    ) throws(SystemCallError) -> Int32 {
        let number = descriptor.rawValue
        let result = withAddress(of: path) {
            systemCall(
                __NR_inotify_add_watch, UInt64(argument: number), $0, event.rawValue)
        }
        return Int32(try checked(result, "inotify_add_watch", path))
    }

    /// Stops watching. A file that is gone already is no error.
    public borrowing func remove(_ file: Int32) {
        _ = systemCall(
            __NR_inotify_rm_watch, UInt64(argument: descriptor.rawValue), UInt64(argument: file))
    }

    /// The numbers of the files that changed since the last time. Nil when so many changes came
    /// that some were lost: any may have changed.
    public borrowing func takeChanged() -> Set<Int32>? {
        var changed: Set<Int32> = []
        var isComplete = true
        while let events = try? descriptor.read(atMost: 8192), !events.isEmpty {
            for (file, mask) in Self.parse(events) {
                // IN_Q_OVERFLOW, IN_IGNORED
                if mask & 0x4000 != 0 { isComplete = false }
                if mask & 0x8000 == 0 { changed.insert(file) }
            }
        }
        return isComplete ? changed : nil
    }

    /// The files and masks in records of `struct inotify_event`: four words, the last of which is
    /// the length of a name that follows.
    static func parse(_ records: [UInt8]) -> [(file: Int32, mask: UInt32)] {
        var result: [(file: Int32, mask: UInt32)] = []
        var start = 0
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(records[start + offset + $1]) << UInt32(8 * $1) }
        }
        while start + 16 <= records.count {
            result.append((Int32(bitPattern: word(0)), word(4)))
            start += 16 + Int(word(12))
        }
        return result
    }
}

extension Optional where Wrapped == FileWatch {
    /// The number of its descriptor, or -1.
    public var number: Int32 {
        switch self {
        case .some(let watch): watch.descriptor.rawValue
        case .none: -1
        }
    }
}
