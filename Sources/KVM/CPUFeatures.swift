internal import CKVM
internal import LinuxKernel

/// A table of what `cpuid` answers, as the kernel lays it out.
public struct CPUFeatures: ~Copyable {
    /// More than the kernel's own bound, which is 256 on the newest.
    static let largestCount: UInt32 = 512

    let memory: MemoryMapping

    init(memory: consuming MemoryMapping) {
        self.memory = memory
    }

    /// The number of entries.
    public var count: Int { Int(memory.load(at: 0, as: UInt32.self)) }

    /// An answer of `cpuid`. Corresponds to `struct kvm_cpuid_entry2`.
    public struct Entry: Sendable {
        public let function: UInt32
        public let index: UInt32
        public var eax: UInt32
        public var ebx: UInt32
        public var ecx: UInt32
        public var edx: UInt32
    }

    /// Changes each answer as the body says.
    public borrowing func change(_ body: (inout Entry) -> Void) {
        for number in 0..<min(count, Int(Self.largestCount)) {
            let place =
                Int(alcove_kvm_cpuid_entries) + number * Int(alcove_kvm_cpuid_entry_size)
            var raw = memory.load(at: place, as: kvm_cpuid_entry2.self)
            var entry = Entry(
                function: raw.function, index: raw.index, eax: raw.eax, ebx: raw.ebx,
                ecx: raw.ecx, edx: raw.edx)
            body(&entry)
            raw.eax = entry.eax
            raw.ebx = entry.ebx
            raw.ecx = entry.ecx
            raw.edx = entry.edx
            memory.store(raw, at: place)
        }
    }
}
