internal import CKVM
public import LinuxKernel

/// A table of what `cpuid` answers, as the kernel lays it out.
public struct CPUFeatures: ~Copyable {
    /// More than the kernel's own bound, which is 256 on the newest.
    public static let largestCount: UInt32 = 512

    let memory: MemoryMapping

    init(memory: consuming MemoryMapping) {
        self.memory = memory
    }

    /// The number of entries.
    public var count: Int { Int(memory.load(at: 0, as: UInt32.self)) }

    /// An answer of `cpuid`. Corresponds to `struct kvm_cpuid_entry2`.
    public struct Entry: Hashable, Sendable {
        public let function: UInt32
        public let index: UInt32
        /// Whether the index counts. Corresponds to `KVM_CPUID_FLAG_…`.
        public let flags: UInt32
        public var eax: UInt32
        public var ebx: UInt32
        public var ecx: UInt32
        public var edx: UInt32

        public init(
            function: UInt32, index: UInt32, flags: UInt32, eax: UInt32, ebx: UInt32, ecx: UInt32,
            edx: UInt32
        ) {
            self.function = function
            self.index = index
            self.flags = flags
            self.eax = eax
            self.ebx = ebx
            self.ecx = ecx
            self.edx = edx
        }
    }

    /// A table of these answers, no more than ``largestCount``.
    public init(_ entries: [Entry]) throws(SystemCallError) {
        precondition(entries.count <= Int(Self.largestCount), "no more than the kernel takes")
        memory = try Self.makeMemory()
        memory.store(UInt32(entries.count), at: 0)
        for (number, entry) in entries.enumerated() {
            var raw = kvm_cpuid_entry2()
            raw.function = entry.function
            raw.index = entry.index
            raw.flags = entry.flags
            raw.eax = entry.eax
            raw.ebx = entry.ebx
            raw.ecx = entry.ecx
            raw.edx = entry.edx
            memory.store(raw, at: Self.place(number))
        }
    }

    static func makeMemory() throws(SystemCallError) -> MemoryMapping {
        try MemoryMapping.anonymous(
            count: Int(alcove_kvm_cpuid_entries)
                + Int(largestCount) * Int(alcove_kvm_cpuid_entry_size))
    }

    private static func place(_ number: Int) -> Int {
        Int(alcove_kvm_cpuid_entries) + number * Int(alcove_kvm_cpuid_entry_size)
    }

    /// All answers.
    public borrowing func entries() -> [Entry] {
        (0..<min(count, Int(Self.largestCount))).map { number in
            Self.entry(memory.load(at: Self.place(number), as: kvm_cpuid_entry2.self))
        }
    }

    private static func entry(_ raw: kvm_cpuid_entry2) -> Entry {
        Entry(
            function: raw.function, index: raw.index, flags: raw.flags, eax: raw.eax,
            ebx: raw.ebx, ecx: raw.ecx, edx: raw.edx)
    }

    /// Changes each answer as the body says.
    public borrowing func change(_ body: (inout Entry) -> Void) {
        for number in 0..<min(count, Int(Self.largestCount)) {
            let place = Self.place(number)
            var raw = memory.load(at: place, as: kvm_cpuid_entry2.self)
            var entry = Self.entry(raw)
            body(&entry)
            raw.eax = entry.eax
            raw.ebx = entry.ebx
            raw.ecx = entry.ecx
            raw.edx = entry.edx
            memory.store(raw, at: place)
        }
    }
}
