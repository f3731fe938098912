internal import CKVM
public import GuestMemory
public import LinuxKernel

/// A virtual machine, with the memory it runs in. Closing one takes milliseconds.
public struct VirtualMachine: ~Copyable {
    private let descriptor: Descriptor
    private let sharedCount: Int
    /// Kept for as long as the guest may touch it.
    private var memory: MemoryMapping?

    init(descriptor: consuming Descriptor, sharedCount: Int) {
        self.descriptor = descriptor
        self.sharedCount = sharedCount
    }

    /// Gives the machine its memory: before its CPUs, for a running machine changes it slowly.
    /// Corresponds to `KVM_SET_USER_MEMORY_REGION` of slot 0.
    public mutating func attach(
        _ memory: consuming MemoryMapping, at address: GuestAddress
    ) throws(SystemCallError) {
        var region = kvm_userspace_memory_region(
            slot: 0, flags: 0, guest_phys_addr: address.rawValue, memory_size: UInt64(memory.count),
            userspace_addr: memory.address)
        try descriptor.control(
            UInt64(alcove_kvm_set_user_memory_region), with: &region,
            name: "ioctl KVM_SET_USER_MEMORY_REGION")
        self.memory = consume memory
    }

    /// Names three pages, unused by the guest, that Intel's older CPUs need to run a guest without
    /// paging. Corresponds to `KVM_SET_TSS_ADDR`.
    public borrowing func setTaskStatePages(_ address: GuestAddress) throws(SystemCallError) {
        try descriptor.control(
            UInt64(alcove_kvm_set_tss_address), address.rawValue, name: "ioctl KVM_SET_TSS_ADDR")
    }

    /// Corresponds to `KVM_CREATE_VCPU`.
    public borrowing func createCPU(_ index: UInt32) throws(SystemCallError) -> VirtualCPU {
        let cpu = Descriptor(
            owning: Int32(
                try descriptor.control(
                    UInt64(alcove_kvm_create_vcpu), UInt64(index), name: "ioctl KVM_CREATE_VCPU")))
        let shared = try MemoryMapping.shared(with: cpu, count: sharedCount)
        return VirtualCPU(descriptor: cpu, shared: shared)
    }
}
