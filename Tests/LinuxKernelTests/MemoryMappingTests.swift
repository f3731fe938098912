import LinuxKernel
import Testing

@Suite struct MemoryMappingTests {
    @Test("values come back from where they were put, at any offset within")
    func values() throws {
        let memory = try MemoryMapping.anonymous(count: 4096)
        #expect(memory.load(at: 0, as: UInt64.self) == 0)
        memory.store(UInt32(0x1234_5678), at: 4092)
        #expect(memory.load(at: 4092, as: UInt32.self) == 0x1234_5678)
        memory.store([1, 2, 3], at: 5)
        #expect(memory.load(at: 5, as: UInt16.self) == 0x0201)
        memory.store([], at: 4096)
    }

    @Test("an access beyond the end traps")
    func beyond() async {
        await #expect(processExitsWith: .failure) {
            let memory = try MemoryMapping.anonymous(count: 4096)
            memory.store(UInt32(1), at: 4093)
        }
        await #expect(processExitsWith: .failure) {
            let memory = try MemoryMapping.anonymous(count: 4096)
            _ = memory.load(at: -1, as: UInt8.self)
        }
    }

    @Test("a size that cannot be mapped is an error")
    func sizes() {
        #expect(throws: SystemCallError(call: "mmap", errorNumber: .invalid)) {
            _ = try MemoryMapping.anonymous(count: 0)
        }
    }
}
