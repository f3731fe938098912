public import KVM
public import LinuxKernel

/// Why a machine could not be made or started.
public enum MachineError: Error, Hashable, Sendable {
    case systemCall(SystemCallError)
    /// KVM has another interface than the only one known.
    case unknownVersion(Int64)
    case missingCapability(KVMCapability)
    case badProcessorCount(Int)
    case badMemorySize(UInt64)
    /// Fewer huge pages are set aside and free.
    case noHugePages(UInt64)
    /// A file that is no kernel, or one that cannot be started.
    case badKernel(String)
    /// Kernel, initial file system or command line are more than the guest's memory or the
    /// protocol holds.
    case doesNotFit(String)
    case tooManyDevices(Int)
}

extension MachineError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .systemCall(let error): "\(error)"
        case .unknownVersion(let version):
            "`\(System.path)` has version \(version), not \(System.knownVersion)"
        case .missingCapability(let capability): "this kernel's KVM lacks \(capability)"
        case .badProcessorCount(let count):
            "\(count) processors (1 to \(MachineConfiguration.mostProcessors))"
        case .badMemorySize(let bytes):
            "\(bytes) bytes of memory (at least \(MachineConfiguration.leastMemoryBytes),"
                + " in whole pages)"
        case .noHugePages(let bytes):
            "the host has not so many huge pages free: \(bytes / (2 << 20)) of 2 MiB"
                + " (vm.nr_hugepages sets them aside)"
        case .badKernel(let reason): "the kernel \(reason)"
        case .doesNotFit(let what): "\(what) does not fit"
        case .tooManyDevices(let most): "more than \(most) devices"
        }
    }
}

/// Turns what a call of the system throws into an error of the machine's.
func calling<Result: ~Copyable>(
    _ body: () throws(SystemCallError) -> Result
) throws(MachineError) -> Result {
    do throws(SystemCallError) {
        return try body()
    } catch {
        throw .systemCall(error)
    }
}
