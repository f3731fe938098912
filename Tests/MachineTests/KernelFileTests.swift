import LinuxKernel
import TestSupport
import Testing

@testable import Machine

@Suite struct KernelFileTests {
    /// An ELF file with one segment of 16 bytes for 0x100000, and a note.
    private static func elf() -> [UInt8] {
        var file = BootBytes(count: 4096 + 16)
        file.put([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], at: 0)
        file.put(2, 2, at: 16)
        file.put(62, 2, at: 18)
        file.put(0x10_0000, 8, at: 24)
        file.put(64, 8, at: 32)
        file.put(56, 2, at: 54)
        file.put(2, 2, at: 56)
        segment(&file, at: 64, kind: 1, offset: 4096, address: 0x10_0000, count: 16, memory: 64)
        segment(&file, at: 120, kind: 4, offset: 512, address: 0, count: 20, memory: 20)
        file.put(4, 4, at: 512)
        file.put(4, 4, at: 516)
        file.put(18, 4, at: 520)
        file.put(Array("Xen".utf8), at: 524)
        file.put(0x10_0040, 4, at: 528)
        file.put([UInt8](repeating: 0x90, count: 16), at: 4096)
        return file.bytes
    }

    private static func segment(
        _ file: inout BootBytes, at place: Int, kind: UInt64, offset: UInt64, address: UInt64,
        count: UInt64, memory: UInt64
    ) {
        file.put(kind, 4, at: place)
        file.put(offset, 8, at: place + 8)
        file.put(address, 8, at: place + 24)
        file.put(count, 8, at: place + 32)
        file.put(memory, 8, at: place + 40)
    }

    private static func bzImage() -> [UInt8] {
        var file = BootBytes(count: 4096)
        file.put(1, 1, at: 0x1f1)
        file.put(0x66, 1, at: 0x201)
        file.put(0x5372_6448, 4, at: 0x202)
        file.put(0x20f, 2, at: 0x206)
        file.put(1, 2, at: 0x236)
        file.put(0x100_0000, 8, at: 0x258)
        file.put(0x20_0000, 4, at: 0x260)
        return file.bytes
    }

    private static func read(_ bytes: [UInt8]) throws -> KernelFile {
        let file = try MemoryFile.make("kernel")
        try file.writeAll(bytes)
        return try KernelFile.read(file)
    }

    @Test("an ELF kernel tells its segments and both its entries")
    func elfFile() throws {
        let kernel = try Self.read(Self.elf())
        #expect(kernel.format == .elf)
        #expect(kernel.entry == 0x10_0000 && kernel.pvhEntry == 0x10_0040)
        #expect(
            kernel.segments == [
                KernelFile.Segment(
                    fileOffset: 4096, fileBytes: 16, address: 0x10_0000, memoryBytes: 64)
            ])
    }

    @Test("a bzImage tells where it wants to be and brings its head")
    func compressed() throws {
        let kernel = try Self.read(Self.bzImage())
        #expect(kernel.format == .compressed)
        #expect(kernel.entry == 0x100_0200)
        #expect(kernel.segments.first?.fileOffset == 1024)
        #expect(kernel.segments.first?.memoryBytes == 0x20_0000)
        #expect(kernel.setUpHead.count == 0x202 + 0x66 - 0x1f1)
    }

    @Test("what is no kernel is refused with a reason")
    func refused() throws {
        #expect(throws: MachineError.self) { try Self.read([]) }
        #expect(throws: MachineError.self) { try Self.read(Array("#!/bin/sh\n".utf8)) }
        #expect(throws: MachineError.self) { try Self.read(Array(Self.elf().prefix(100))) }
        #expect(throws: MachineError.self) { try Self.read(Array(Self.elf().prefix(4100))) }
        var other = Self.elf()
        other[18] = 40
        #expect(throws: MachineError.badKernel("is no ELF file for x86-64")) {
            try Self.read(other)
        }
        var old = Self.bzImage()
        old[0x207] = 1
        #expect(throws: MachineError.badKernel("is too old, or not for 64 bits")) {
            try Self.read(old)
        }
    }

    @Test("bytes changed at random give a kernel or a reason", arguments: 0..<20)
    func mutations(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            var bytes = Bool.random(using: &random) ? Self.elf() : Self.bzImage()
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let place = Int.random(in: 0..<700, using: &random)
                bytes[place] =
                    [0, 1, 0x7f, 0xff, .random(in: 0...255, using: &random)]
                    .randomElement(using: &random) ?? 0
            }
            do {
                let kernel = try Self.read(bytes)
                #expect(kernel.segments.allSatisfy { $0.fileBytes <= $0.memoryBytes })
            } catch {
                #expect(error is MachineError, "seed \(seed)")
            }
        }
    }

    @Test("the table of processors sums up to zero, in both its parts, for any number")
    func processorTable() {
        for count in 1...MachineConfiguration.mostProcessors {
            let table = ProcessorTable.bytes(processors: count)
            #expect(table.count <= 1024)
            #expect(table[..<16].reduce(0, &+) == 0 && table[16...].reduce(0, &+) == 0)
            #expect(KernelFile.number(table, 20, 2) == UInt64(table.count - 16))
        }
    }
}
