internal import CLinux

/// A file descriptor that is closed when its owner is gone.
public struct Descriptor: ~Copyable, Sendable {
    /// The number, for a call that borrows it.
    public let rawValue: Int32

    /// Takes over a descriptor that nobody else closes.
    public init(owning rawValue: Int32) {
        self.rawValue = rawValue
    }

    deinit {
        _ = systemCall(__NR_close, UInt64(argument: rawValue))
    }

    /// The same open file under a number of at least `minimum`, close-on-exec.
    ///
    /// A descriptor that a child moves to a small, fixed number must itself not be that number.
    public consuming func raised(toAtLeast minimum: Int32) throws(SystemCallError) -> Descriptor {
        if rawValue >= minimum { return self }
        return try Self.duplicate(ofNumber: rawValue, atLeast: minimum)
    }

    /// A second descriptor of the same open file, close-on-exec.
    public borrowing func duplicate(atLeast minimum: Int32 = 0) throws(SystemCallError)
        -> Descriptor
    {
        try Self.duplicate(ofNumber: rawValue, atLeast: minimum)
    }

    /// The same of a descriptor that somebody else owns.
    public static func duplicate(
        ofNumber number: Int32, atLeast minimum: Int32 = 0
    ) throws(SystemCallError) -> Descriptor {
        let copy = try checked(
            systemCall(
                __NR_fcntl, UInt64(argument: number), UInt64(argument: duplicateCloseOnExec),
                UInt64(argument: minimum)),
            "fcntl")
        return Descriptor(owning: Int32(copy))
    }

    /// `F_DUPFD_CLOEXEC`, a sum of macros that is not imported.
    private static let duplicateCloseOnExec: Int32 = 1030
}

extension Optional where Wrapped == Descriptor {
    /// The number, or -1, which no descriptor has.
    public var number: Int32 {
        switch self {
        case .some(let descriptor): descriptor.rawValue
        case .none: -1
        }
    }
}
