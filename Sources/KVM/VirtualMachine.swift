internal import CKVM
public import GuestMemory
public import LinuxKernel

/// A virtual machine. Closing one takes milliseconds.
public struct VirtualMachine: ~Copyable, Sendable {
    private let descriptor: Descriptor
    private let sharedCount: Int
    /// Kept for as long as the guest may touch it.
    private var memory: GuestMemory?

    init(descriptor: consuming Descriptor, sharedCount: Int) {
        self.descriptor = descriptor
        self.sharedCount = sharedCount
    }

    /// Gives the machine its memory: before all else, for a machine that has more changes it
    /// slowly. Corresponds to `KVM_SET_USER_MEMORY_REGION`, a slot for each region.
    public mutating func attach(_ memory: GuestMemory) throws(SystemCallError) {
        self.memory = memory
        for (slot, region) in memory.regions.enumerated() {
            let range = GuestRange(region.start, count: Int(region.count))
            guard let address = try? memory.hostAddress(of: range) else {
                preconditionFailure("a region is in its memory")
            }
            var entry = kvm_userspace_memory_region(
                slot: UInt32(slot), flags: 0, guest_phys_addr: region.start.rawValue,
                memory_size: region.count, userspace_addr: address)
            try descriptor.request(
                UInt64(alcove_kvm_set_user_memory_region), with: &entry,
                name: "ioctl KVM_SET_USER_MEMORY_REGION")
        }
    }

    /// Names three pages, unused by the guest, that Intel's older CPUs need to run a guest without
    /// paging. Corresponds to `KVM_SET_TSS_ADDR`.
    public borrowing func setTaskStatePages(_ address: GuestAddress) throws(SystemCallError) {
        try descriptor.control(
            UInt64(alcove_kvm_set_tss_address), address.rawValue, name: "ioctl KVM_SET_TSS_ADDR")
    }

    /// Names one more such page. Corresponds to `KVM_SET_IDENTITY_MAP_ADDR`.
    public borrowing func setIdentityMap(_ address: GuestAddress) throws(SystemCallError) {
        var place = address.rawValue
        try descriptor.request(
            UInt64(alcove_kvm_set_identity_map_address), with: &place,
            name: "ioctl KVM_SET_IDENTITY_MAP_ADDR")
    }

    // MARK: - Interrupts

    /// An I/O interrupt controller, and a local one for each CPU, in the kernel. Corresponds to
    /// `KVM_CREATE_IRQCHIP`.
    public borrowing func createInterruptController() throws(SystemCallError) {
        try descriptor.control(
            UInt64(alcove_kvm_create_irqchip), name: "ioctl KVM_CREATE_IRQCHIP")
    }

    /// An interval timer in the kernel. Corresponds to `KVM_CREATE_PIT2`.
    public borrowing func createTimer() throws(SystemCallError) {
        // struct kvm_pit_config: KVM_PIT_SPEAKER_DUMMY, port 0x61 too; the rest is reserved.
        var configuration = InlineArray<16, UInt32>(repeating: 0)
        configuration[0] = 1
        try descriptor.request(
            UInt64(alcove_kvm_create_pit2), with: &configuration, name: "ioctl KVM_CREATE_PIT2")
    }

    /// A descriptor that raises an interrupt when it is written to. Corresponds to `KVM_IRQFD`.
    public borrowing func raise(
        _ interrupt: UInt32, by counter: Int32
    ) throws(SystemCallError) {
        var request = kvm_irqfd()
        request.fd = UInt32(bitPattern: counter)
        request.gsi = interrupt
        try descriptor.request(
            UInt64(alcove_kvm_irqfd), with: &request, name: "ioctl KVM_IRQFD")
    }

    /// A descriptor that is written to when the guest writes a number, of 4 bytes, to a place that
    /// is no memory. Corresponds to `KVM_IOEVENTFD`.
    public borrowing func signal(
        _ counter: Int32, whenWritten value: UInt32, to address: GuestAddress
    ) throws(SystemCallError) {
        var request = kvm_ioeventfd()
        request.datamatch = UInt64(value)
        request.addr = address.rawValue
        request.len = 4
        request.fd = counter
        // KVM_IOEVENTFD_FLAG_DATAMATCH
        request.flags = 1
        try descriptor.request(
            UInt64(alcove_kvm_ioeventfd), with: &request, name: "ioctl KVM_IOEVENTFD")
    }

    // MARK: - Saving

    /// What it has beside memory and processors, none of which runs.
    public borrowing func save(hasIntervalTimer: Bool) throws(SystemCallError) -> MachineState {
        var controllers: [[UInt8]] = []
        for index in 0..<MachineState.controllers {
            var bytes = [UInt8](repeating: 0, count: Int(alcove_kvm_irqchip_size))
            bytes[0] = UInt8(index)
            try read(.interruptController, into: &bytes)
            controllers.append(bytes)
        }
        var timer: [UInt8]?
        if hasIntervalTimer {
            var bytes = [UInt8](repeating: 0, count: Int(alcove_kvm_pit_size))
            try read(.intervalTimer, into: &bytes)
            timer = bytes
        }
        var clock = kvm_clock_data()
        try descriptor.request(
            ProcessorRequest.clock.number, with: &clock, name: ProcessorRequest.clock.name)
        guard
            let state = MachineState(
                interruptControllers: controllers, intervalTimer: timer, clock: clock.clock)
        else { preconditionFailure("the kernel's structures have its sizes") }
        return state
    }

    private borrowing func read(
        _ request: ProcessorRequest, into bytes: inout [UInt8]
    ) throws(SystemCallError) {
        try descriptor.request(request.number, with: &bytes, name: request.name)
    }

    /// Becomes what another machine was, before its processors run. Corresponds to
    /// `KVM_SET_IRQCHIP` and `KVM_SET_PIT2`.
    public borrowing func loadControllers(of state: MachineState) throws(SystemCallError) {
        for controller in state.interruptControllers {
            var bytes = controller
            try descriptor.request(
                UInt64(alcove_kvm_set_irqchip), with: &bytes, name: "ioctl KVM_SET_IRQCHIP")
        }
        if var timer = state.intervalTimer {
            try descriptor.request(
                UInt64(alcove_kvm_set_pit), with: &timer, name: "ioctl KVM_SET_PIT2")
        }
    }

    /// Lets the guest's clock go on where it stood: no timer of the guest's sees the time between.
    /// Corresponds to `KVM_SET_CLOCK`.
    public borrowing func loadClock(of state: MachineState) throws(SystemCallError) {
        var clock = kvm_clock_data()
        clock.clock = state.clock
        try descriptor.request(
            UInt64(alcove_kvm_set_clock), with: &clock, name: "ioctl KVM_SET_CLOCK")
    }

    // MARK: - CPUs

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
