/// What a sandbox uses. A part is nil where the node does not measure it.
public struct SandboxStatistics: Equatable, Sendable {
    public struct CPU: Equatable, Sendable {
        public var userMicroseconds: UInt64 = 0
        public var systemMicroseconds: UInt64 = 0
        public var throttledMicroseconds: UInt64 = 0
        public var throttledPeriods: UInt64 = 0

        public init() {}
    }

    public struct Memory: Equatable, Sendable {
        public var currentBytes: UInt64 = 0
        public var peakBytes: UInt64 = 0
        public var swapBytes: UInt64 = 0
        /// Nil without a limit.
        public var limitBytes: UInt64?
        public var kills: UInt64 = 0

        public init() {}
    }

    public struct Pids: Equatable, Sendable {
        public var current: UInt32 = 0
        public var limit: UInt32?

        public init() {}
    }

    public struct IO: Equatable, Sendable {
        public var readBytes: UInt64 = 0
        public var writeBytes: UInt64 = 0
        public var reads: UInt64 = 0
        public var writes: UInt64 = 0

        public init() {}
    }

    /// All links but the loopback, as the sandbox sees them.
    public struct Network: Equatable, Sendable {
        public var receivedBytes: UInt64 = 0
        public var receivedPackets: UInt64 = 0
        public var receivedDropped: UInt64 = 0
        public var sentBytes: UInt64 = 0
        public var sentPackets: UInt64 = 0
        public var sentDropped: UInt64 = 0

        public init() {}
    }

    /// Time lost in waiting for a resource, as the kernel's pressure stall information.
    public struct Pressure: Equatable, Sendable {
        public struct Stall: Equatable, Sendable {
            public var average10: Double = 0
            public var average60: Double = 0
            public var average300: Double = 0
            public var totalMicroseconds: UInt64 = 0

            public init() {}
        }

        public var some: Stall
        public var full: Stall?

        public init(some: Stall, full: Stall?) {
            self.some = some
            self.full = full
        }
    }

    /// By the clock of the day.
    public var atNanoseconds: Int64 = 0
    public var cpu: CPU?
    public var memory: Memory?
    public var pids: Pids?
    public var io: IO?
    public var network: Network?
    public var cpuPressure: Pressure?
    public var memoryPressure: Pressure?
    public var ioPressure: Pressure?

    public init() {}
}
