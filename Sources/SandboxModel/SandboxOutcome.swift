/// How a sandbox ended, and what there is to say about it.
public struct SandboxOutcome: Equatable, Sendable {
    public enum Exit: Equatable, Sendable {
        case exited(code: Int32)
        case signaled(number: Int32, name: String)

        /// As a shell would give it: a code, or 128 and the signal's number.
        public var code: Int32 {
            switch self {
            case .exited(let code): code
            case .signaled(let number, _): 128 + number
            }
        }
    }

    public enum Ending: Equatable, Sendable {
        /// The workload ended by itself or by a signal.
        case ended(Exit)
        /// A process made a denied call and was killed. `exit` is the workload's own end.
        case denied(call: String, more: Int, exit: Exit)
        case outOfMemory
        case timedOut
        /// It did not come to run the workload.
        case failed(SandboxError)
    }

    public struct Usage: Equatable, Sendable {
        public let userMicroseconds: UInt64
        public let systemMicroseconds: UInt64
        public let peakResidentKilobytes: UInt64

        public init(
            userMicroseconds: UInt64, systemMicroseconds: UInt64, peakResidentKilobytes: UInt64
        ) {
            self.userMicroseconds = userMicroseconds
            self.systemMicroseconds = systemMicroseconds
            self.peakResidentKilobytes = peakResidentKilobytes
        }
    }

    /// When something was reached, counted from the request.
    public struct Moment: Equatable, Sendable {
        public let what: String
        public let nanoseconds: UInt64

        public init(what: String, nanoseconds: UInt64) {
            self.what = what
            self.nanoseconds = nanoseconds
        }
    }

    public let ending: Ending
    public let usage: Usage
    public var limits: [LimitStatus]
    public let timeline: [Moment]

    public init(ending: Ending, usage: Usage, limits: [LimitStatus], timeline: [Moment]) {
        self.ending = ending
        self.usage = usage
        self.limits = limits
        self.timeline = timeline
    }

    /// As if SIGKILL had ended it: it has.
    public static let outOfMemoryCode: Int32 = 128 + 9

    /// The exit code of a command that ran the sandbox in the foreground.
    public var exitCode: Int32 {
        switch ending {
        case .ended(let exit): exit.code
        case .denied(_, _, let exit): exit.code
        case .outOfMemory: Self.outOfMemoryCode
        case .timedOut: SandboxError.Code.timedOut.rawValue
        case .failed(let error): error.code.rawValue
        }
    }
}
