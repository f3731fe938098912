internal import CKVM
public import LinuxKernel

/// The kernel's virtual machine interface. Corresponds to a descriptor of `/dev/kvm`.
public struct System: ~Copyable {
    public static let path = "/dev/kvm"
    /// The only version of the interface that there has been since Linux 2.6.22.
    public static let knownVersion: Int64 = 12

    private let descriptor: Descriptor

    public static func open() throws(SystemCallError) -> System {
        System(descriptor: try Files.open(path, .readWrite))
    }

    private init(descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// Corresponds to `KVM_GET_API_VERSION`.
    public borrowing func version() throws(SystemCallError) -> Int64 {
        try descriptor.control(
            UInt64(alcove_kvm_get_api_version), name: "ioctl KVM_GET_API_VERSION")
    }

    /// Corresponds to `KVM_CHECK_EXTENSION`.
    public borrowing func has(_ capability: KVMCapability) -> Bool {
        let result = try? descriptor.control(
            UInt64(alcove_kvm_check_extension), capability.number,
            name: "ioctl KVM_CHECK_EXTENSION")
        return (result ?? 0) > 0
    }

    /// Corresponds to `KVM_CREATE_VM`.
    public borrowing func createMachine() throws(SystemCallError) -> VirtualMachine {
        let number = try descriptor.control(
            UInt64(alcove_kvm_create_vm), name: "ioctl KVM_CREATE_VM")
        return VirtualMachine(
            descriptor: Descriptor(owning: Int32(number)), sharedCount: try sharedCount())
    }

    /// Corresponds to `KVM_GET_VCPU_MMAP_SIZE`.
    private borrowing func sharedCount() throws(SystemCallError) -> Int {
        Int(
            try descriptor.control(
                UInt64(alcove_kvm_get_vcpu_mmap_size), name: "ioctl KVM_GET_VCPU_MMAP_SIZE"))
    }

    /// What the host can show a guest of its CPUs. Corresponds to `KVM_GET_SUPPORTED_CPUID`.
    public borrowing func supportedFeatures() throws(SystemCallError) -> CPUFeatures {
        let memory = try CPUFeatures.makeMemory()
        memory.store(CPUFeatures.largestCount, at: 0)
        try descriptor.control(
            UInt64(alcove_kvm_get_supported_cpuid), memory.address,
            name: "ioctl KVM_GET_SUPPORTED_CPUID")
        return CPUFeatures(memory: memory)
    }

    /// The model-specific registers that a guest's state has. Corresponds to
    /// `KVM_GET_MSR_INDEX_LIST`.
    public borrowing func modelRegisters() throws(SystemCallError) -> [UInt32] {
        let most = ProcessorState.mostModelRegisters
        // struct kvm_msr_list: their number, the numbers.
        let list = try MemoryMapping.anonymous(count: 4 + most * 4)
        list.store(UInt32(most), at: 0)
        try descriptor.control(
            UInt64(alcove_kvm_get_msr_index_list), list.address,
            name: "ioctl KVM_GET_MSR_INDEX_LIST")
        let count = min(most, Int(list.load(at: 0, as: UInt32.self)))
        return (0..<count).map { list.load(at: 4 + $0 * 4) }
    }

    /// How many bytes the largest extended state of a guest has.
    public borrowing func extendedStateBytes() -> Int {
        let result = try? descriptor.control(
            UInt64(alcove_kvm_check_extension), KVMCapability.largeExtendedState.number,
            name: "ioctl KVM_CHECK_EXTENSION")
        return min(Int(result ?? 0), ProcessorState.mostExtendedBytes)
    }
}
