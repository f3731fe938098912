public import LinuxKernel

/// How fast this host's KVM runs a guest's kernel.
///
/// That `/dev/kvm` opens says little: some hosts emulate guest kernel mode, at microseconds an
/// instruction, where hardware takes less than a nanosecond.
public enum GuestSpeed: Hashable, Sendable {
    /// There is no `/dev/kvm`.
    case absent
    /// `/dev/kvm` is there and this process may not open it.
    case notPermitted(SystemCallError)
    /// The guest did not run as it should.
    case unusable(GuestSpeedError)
    /// It was left out.
    case notMeasured
    case measured(GuestSpeedMeasurement)

    /// Where hardware ends and emulation begins, in nanoseconds an instruction: far above the
    /// slowest hardware and far below the fastest emulation.
    public static let slowestFastNanoseconds = 20.0

    /// Whether microVMs are worth while here.
    public var isFast: Bool {
        guard case .measured(let measurement) = self else { return false }
        return measurement.nanosecondsPerInstruction <= Self.slowestFastNanoseconds
    }
}

/// What was measured, and by how much work.
public struct GuestSpeedMeasurement: Hashable, Sendable {
    /// The median over all pairs of runs.
    public var nanosecondsPerInstruction: Double
    /// The instructions by which the two runs of a pair differ.
    public var instructions: UInt32
    /// How many pairs were run.
    public var pairs: Int

    public init(nanosecondsPerInstruction: Double, instructions: UInt32, pairs: Int) {
        self.nanosecondsPerInstruction = nanosecondsPerInstruction
        self.instructions = instructions
        self.pairs = pairs
    }
}

/// Why the speed of a guest could not be measured.
public enum GuestSpeedError: Error, Hashable, Sendable {
    case systemCall(SystemCallError)
    /// The interface is of another version than the only one known.
    case unknownVersion(Int64)
    /// The guest stopped elsewhere than at its end.
    case unexpectedExit(VirtualCPUExit)
}

extension GuestSpeedError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .systemCall(let error): "\(error)"
        case .unknownVersion(let version):
            "the interface has version \(version), not \(System.knownVersion)"
        case .unexpectedExit(let exit): "a test guest stopped: \(exit)"
        }
    }
}
