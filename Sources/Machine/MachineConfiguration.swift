/// How large a machine is.
public struct MachineConfiguration: Hashable, Sendable {
    public static let mostProcessors = 32
    public static let leastMemoryBytes: UInt64 = 2 << 20

    public var memoryBytes: UInt64
    public var processors: Int
    /// Its memory is of huge pages that the host has set aside, whole ones.
    public var hugePages: Bool
    /// An interval timer, which a kernel without a clock of KVM's needs. Making one takes time.
    public var hasIntervalTimer: Bool

    public init(
        memoryBytes: UInt64, processors: Int = 1, hugePages: Bool = false,
        hasIntervalTimer: Bool = false
    ) {
        self.memoryBytes = memoryBytes
        self.processors = processors
        self.hugePages = hugePages
        self.hasIntervalTimer = hasIntervalTimer
    }

    func check() throws(MachineError) {
        guard (1...Self.mostProcessors).contains(processors) else {
            throw .badProcessorCount(processors)
        }
        let page: UInt64 = hugePages ? 2 << 20 : 4096
        guard memoryBytes >= Self.leastMemoryBytes, memoryBytes % page == 0, memoryBytes <= 1 << 42
        else { throw .badMemorySize(memoryBytes) }
    }
}
