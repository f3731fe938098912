internal import GuestMemory
internal import LinuxKernel

/// A guest of three instructions that runs in guest kernel mode, timed.
///
/// Each measurement is a pair of runs, a short and a long one: their difference is free of what
/// entering and leaving the guest costs. How long the long one is follows from what was measured
/// before, so that an emulator is done soon and hardware still gets enough to do.
public struct GuestSpeedProbe: ~Copyable {
    /// `again: dec ecx; jnz again; hlt`
    private static let code: [UInt8] = [0x49, 0x75, 0xfd, 0xf4]
    private static let instructionsPerRound: UInt32 = 2
    private static let codeAddress = GuestAddress(rawValue: 0x1000)
    /// Three pages below 4 GiB that no memory of the guest overlaps.
    private static let taskStatePages = GuestAddress(rawValue: 0xfffb_d000)

    private static let shortRounds: UInt32 = 10
    /// 200 instructions: 0.4 ms where one takes 2 µs.
    private static let firstRounds: UInt32 = 100
    private static let largestRounds: UInt32 = 6_400_000
    private static let growth: UInt32 = 8
    /// A difference as long as this stands out from the noise of entering and leaving.
    private static let enoughNanoseconds: Int64 = 500_000
    private static let pairCount = 7
    /// No further pair begins after this.
    private static let budgetNanoseconds: UInt64 = 200_000_000

    private let version: Int64
    private let machine: VirtualMachine
    private let cpu: VirtualCPU

    /// Measures, and says in each case what was found; never throws.
    public static func measure() -> GuestSpeed {
        do throws(SystemCallError) {
            return try GuestSpeedProbe().result()
        } catch {
            guard error.subject == System.path else { return .unusable(.systemCall(error)) }
            switch error.errorNumber {
            case .noEntry, .noDevice, .noSuchDevice: return .absent
            case .permissionDenied, .notPermitted: return .notPermitted(error)
            default: return .unusable(.systemCall(error))
            }
        }
    }

    init(code: [UInt8] = Self.code) throws(SystemCallError) {
        let system = try System.open()
        let version = try system.version()
        let mapping = try MemoryMapping.anonymous(count: 0x2000)
        mapping.store(code, at: Int(Self.codeAddress.rawValue))
        var machine = try system.createMachine()
        // The memory first: afterwards it would cost a grace period.
        try machine.attach(try GuestMemory(mapping))
        try machine.setTaskStatePages(Self.taskStatePages)
        let cpu = try machine.createCPU(0)
        try cpu.setFeatures(try system.supportedFeatures())
        try cpu.enterFlatKernelMode()
        self.version = version
        self.machine = machine
        self.cpu = cpu
    }

    private borrowing func result() -> GuestSpeed {
        do throws(GuestSpeedError) {
            return .measured(try measurement())
        } catch {
            return .unusable(error)
        }
    }

    private borrowing func measurement() throws(GuestSpeedError) -> GuestSpeedMeasurement {
        guard version == System.knownVersion else { throw .unknownVersion(version) }
        let start = MonotonicClock.nanoseconds
        // The first run builds what later runs find.
        _ = try run(rounds: 1)
        var rounds = Self.firstRounds
        var difference = try pair(rounds: rounds)
        while difference < Self.enoughNanoseconds, rounds < Self.largestRounds {
            rounds *= Self.growth
            difference = try pair(rounds: rounds)
        }
        var differences = [difference]
        while differences.count < Self.pairCount,
            MonotonicClock.nanoseconds - start < Self.budgetNanoseconds
        {
            differences.append(try pair(rounds: rounds))
        }
        let instructions = rounds * Self.instructionsPerRound
        let median = max(0, differences.sorted()[differences.count / 2])
        return GuestSpeedMeasurement(
            nanosecondsPerInstruction: Double(median) / Double(instructions),
            instructions: instructions, pairs: differences.count)
    }

    /// How much longer it takes to go round so many times more.
    private borrowing func pair(rounds: UInt32) throws(GuestSpeedError) -> Int64 {
        let short = try run(rounds: Self.shortRounds)
        return try run(rounds: Self.shortRounds + rounds) - short
    }

    /// The nanoseconds of one run.
    borrowing func run(rounds: UInt32) throws(GuestSpeedError) -> Int64 {
        let exit: VirtualCPUExit
        let duration: UInt64
        do throws(SystemCallError) {
            var registers = VirtualCPU.Registers(instruction: Self.codeAddress)
            registers.rcx = UInt64(rounds)
            try cpu.setRegisters(registers)
            let start = MonotonicClock.nanoseconds
            exit = try cpu.run()
            duration = MonotonicClock.nanoseconds - start
        } catch {
            throw .systemCall(error)
        }
        guard exit == .halt else { throw .unexpectedExit(exit) }
        return Int64(duration)
    }
}
