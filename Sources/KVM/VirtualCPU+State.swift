internal import CKVM
public import GuestMemory
public import LinuxKernel

// How a CPU begins.
extension VirtualCPU {
    /// Says what `cpuid` answers: before the first run. Corresponds to `KVM_SET_CPUID2`.
    public borrowing func setFeatures(_ features: borrowing CPUFeatures) throws(SystemCallError) {
        try descriptor.control(
            UInt64(alcove_kvm_set_cpuid), features.memory.address, name: "ioctl KVM_SET_CPUID2")
    }

    /// Prepares guest kernel mode of the plainest kind: 32-bit protected mode in ring 0, every
    /// segment flat, no paging, no interrupts.
    public borrowing func enterFlatKernelMode() throws(SystemCallError) {
        try changeSpecialRegisters { registers in
            registers.cs = Self.flatSegment(type: 0xb, selector: 0x8)
            Self.setData(&registers, Self.flatSegment(type: 0x3, selector: 0x10))
            // Busy, and of 32 bits, as the specification of PVH wants it.
            registers.tr = Self.systemSegment(type: 0xb, limit: 0x67)
            // CR0.PE
            registers.cr0 |= 1
        }
    }

    /// Prepares 64-bit mode in ring 0, every segment flat, no interrupts.
    ///
    /// - Parameters:
    ///   - pageTable: the topmost table of what is mapped.
    ///   - descriptors: where the guest has a table with code and data at 0x10 and 0x18.
    public borrowing func enterLongKernelMode(
        pageTable: GuestAddress, descriptors: GuestAddress
    ) throws(SystemCallError) {
        try changeSpecialRegisters { registers in
            var code = Self.flatSegment(type: 0xb, selector: 0x10)
            code.l = 1
            code.db = 0
            registers.cs = code
            Self.setData(&registers, Self.flatSegment(type: 0x3, selector: 0x18))
            registers.tr = Self.systemSegment(type: 0xb, limit: 0x67)
            registers.gdt.base = descriptors.rawValue
            registers.gdt.limit = 31
            registers.idt.limit = 0
            registers.cr3 = pageTable.rawValue
            // CR4.PAE; CR0.PE, .MP, .ET, .NE, .WP, .AM, .PG; EFER.LME, .LMA
            registers.cr4 = 0x20
            registers.cr0 = 0x8005_0033
            registers.efer = 0x500
        }
    }

    private borrowing func changeSpecialRegisters(
        _ body: (inout kvm_sregs) -> Void
    ) throws(SystemCallError) {
        var registers = kvm_sregs()
        try descriptor.request(
            UInt64(alcove_kvm_get_special_registers), with: &registers,
            name: "ioctl KVM_GET_SREGS")
        body(&registers)
        try descriptor.request(
            UInt64(alcove_kvm_set_special_registers), with: &registers,
            name: "ioctl KVM_SET_SREGS")
    }

    private static func setData(_ registers: inout kvm_sregs, _ data: kvm_segment) {
        registers.ds = data
        registers.es = data
        registers.fs = data
        registers.gs = data
        registers.ss = data
    }

    /// - Parameter type: 0xb for code that may be read, 0x3 for data that may be written.
    private static func flatSegment(type: UInt8, selector: UInt16) -> kvm_segment {
        kvm_segment(
            base: 0, limit: 0xffff_ffff, selector: selector, type: type, present: 1, dpl: 0, db: 1,
            s: 1, l: 0, g: 1, avl: 0, unusable: 0, padding: 0)
    }

    private static func systemSegment(type: UInt8, limit: UInt32) -> kvm_segment {
        kvm_segment(
            base: 0, limit: limit, selector: 0x20, type: type, present: 1, dpl: 0, db: 0, s: 0,
            l: 0, g: 0, avl: 0, unusable: 0, padding: 0)
    }

    /// General registers as a CPU begins with; those that are not named are zero.
    public struct Registers: Sendable {
        public var instruction: GuestAddress
        public var stack: UInt64 = 0
        public var rbx: UInt64 = 0
        public var rcx: UInt64 = 0
        public var rsi: UInt64 = 0

        public init(instruction: GuestAddress) {
            self.instruction = instruction
        }
    }

    /// Corresponds to `KVM_SET_REGS`.
    public borrowing func setRegisters(_ values: Registers) throws(SystemCallError) {
        var registers = kvm_regs()
        registers.rip = values.instruction.rawValue
        registers.rsp = values.stack
        registers.rbx = values.rbx
        registers.rcx = values.rcx
        registers.rsi = values.rsi
        // The one flag that is always set.
        registers.rflags = 0x2
        try descriptor.request(
            UInt64(alcove_kvm_set_registers), with: &registers, name: "ioctl KVM_SET_REGS")
    }

    /// Where the guest is now. Corresponds to `KVM_GET_REGS`.
    public borrowing func instruction() throws(SystemCallError) -> GuestAddress {
        var registers = kvm_regs()
        try descriptor.request(
            UInt64(alcove_kvm_get_registers), with: &registers, name: "ioctl KVM_GET_REGS")
        return GuestAddress(rawValue: registers.rip)
    }

    /// The floating-point unit as after a reset. Corresponds to `KVM_SET_FPU`.
    public borrowing func resetFloatingPoint() throws(SystemCallError) {
        var unit = kvm_fpu()
        unit.fcw = 0x37f
        unit.mxcsr = 0x1f80
        try descriptor.request(
            UInt64(alcove_kvm_set_fpu), with: &unit, name: "ioctl KVM_SET_FPU")
    }

    /// Lets the CPU copy strings fast, as firmware does. Corresponds to `KVM_SET_MSRS` of
    /// `IA32_MISC_ENABLE`.
    public borrowing func enableFastStrings() throws(SystemCallError) {
        var list = alcove_kvm_msrs()
        list.head.count = 1
        list.entries.0.index = 0x1a0
        list.entries.0.data = 1
        try descriptor.request(
            UInt64(alcove_kvm_set_msrs), with: &list, name: "ioctl KVM_SET_MSRS")
    }

    /// Sets the two lines of the local interrupt controller as firmware does: the old controller,
    /// and interrupts that cannot be masked. Corresponds to `KVM_SET_LAPIC`.
    public borrowing func connectLocalInterrupts() throws(SystemCallError) {
        var state = kvm_lapic_state()
        try descriptor.request(
            UInt64(alcove_kvm_get_lapic), with: &state, name: "ioctl KVM_GET_LAPIC")
        // APIC_LVT0: by the old controller. APIC_LVT1: not to be masked.
        Self.set(&state, 0x350, 0x700)
        Self.set(&state, 0x360, 0x400)
        try descriptor.request(
            UInt64(alcove_kvm_set_lapic), with: &state, name: "ioctl KVM_SET_LAPIC")
    }
}
