/// What went wrong, as a user of Alcove meets it: one line, a hint, and an exit code of its own.
public struct SandboxError: Error, Equatable, Sendable {
    /// The kinds of failure, each with the exit code of `alcove run`.
    public enum Code: Int32, CaseIterable, Sendable {
        /// A flag or argument that is not understood.
        case usage = 64
        /// A path climbs out of the image, by `..` or by a symbolic link.
        case pathLeavesImage = 65
        /// The image is not there or is not a directory.
        case imageMissing = 66
        /// The host cannot do what was asked: a limit without a controller, a missing feature.
        case unavailable = 69
        /// A step of the set-up failed.
        case setUpFailed = 71
        /// The working directory is not in the image, or is no directory.
        case directoryMissing = 74
        /// The caller lacks a permission.
        case notPermitted = 77
        /// A limit that the node cannot hold: too small for a process, or more than there is.
        case limitOutOfRange = 78
        /// The image has no user of that name.
        case userMissing = 79
        /// The host has run out of something that the set-up needs.
        case exhausted = 80
        /// The workload ran longer than `--timeout`.
        case timedOut = 124
        /// The command is in the image and cannot be executed.
        case commandNotExecutable = 126
        /// The command is not in the image.
        case commandMissing = 127

        /// What programs know it by, beside the number.
        public var name: String {
            switch self {
            case .usage: "usage"
            case .pathLeavesImage: "path_leaves_image"
            case .imageMissing: "image_missing"
            case .unavailable: "unavailable"
            case .setUpFailed: "set_up_failed"
            case .directoryMissing: "directory_missing"
            case .notPermitted: "not_permitted"
            case .limitOutOfRange: "limit_out_of_range"
            case .userMissing: "user_missing"
            case .exhausted: "exhausted"
            case .timedOut: "timed_out"
            case .commandNotExecutable: "command_not_executable"
            case .commandMissing: "command_missing"
            }
        }

        /// What people read of it, in the help and in the documentation.
        public var meaning: String {
            switch self {
            case .usage: "a flag or an argument is not understood"
            case .pathLeavesImage: "a path leads out of the image, by `..` or by a symbolic link"
            case .imageMissing: "the image is missing or is no directory tree"
            case .unavailable:
                "the host cannot do what was asked, such as a limit without its controller"
            case .setUpFailed: "a step of the set-up failed; the message names the step"
            case .directoryMissing: "the working directory is not in the image"
            case .notPermitted: "a permission is missing"
            case .limitOutOfRange:
                "a limit is too small to start a process, or more than the node has"
            case .userMissing: "the image has no user of that name"
            case .exhausted:
                "the host has no processes, descriptors, memory or disk space left"
            case .timedOut: "the command ran longer than `--timeout`"
            case .commandNotExecutable: "the command is there and cannot be executed"
            case .commandMissing: "the command is not in the image"
            }
        }
    }

    public let code: Code
    public let message: String
    public let hint: String?

    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}

extension SandboxError: CustomStringConvertible {
    public var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}
