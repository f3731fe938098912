internal import GuestMemory

/// What a guest's memory is for. Corresponds to an entry of `e820`.
struct MemoryMapEntry: Hashable {
    enum Kind: UInt32 {
        case usable = 1
        case reserved = 2
    }

    let start: UInt64
    let count: UInt64
    let kind: Kind

    static func map(of memory: GuestMemory) -> [MemoryMapEntry] {
        let tables = GuestLayout.processorTable.rawValue
        let high = GuestLayout.highMemory.rawValue
        var map = [
            MemoryMapEntry(start: 0, count: tables, kind: .usable),
            MemoryMapEntry(start: tables, count: high - tables, kind: .reserved),
        ]
        for region in memory.regions {
            let start = max(region.start.rawValue, high)
            let end = region.start.rawValue + region.count
            if end > start {
                map.append(MemoryMapEntry(start: start, count: end - start, kind: .usable))
            }
        }
        return map
    }
}

/// What a kernel is told of its machine and of what was loaded beside it.
struct BootFacts {
    var memoryMap: [MemoryMapEntry]
    var commandLineBytes: Int
    var initialFileSystem: GuestRange?
}

/// Linux's own protocol. Corresponds to `struct boot_params`.
enum LinuxBootPage {
    static func bytes(_ facts: BootFacts, setUpHead: [UInt8]) -> [UInt8] {
        var page = BootBytes(count: 4096)
        // A compressed kernel brings its own head along.
        page.put(Array(setUpHead.prefix(0x290 - 0x1f1)), at: 0x1f1)
        page.put(0xaa55, 2, at: 0x1fe)
        page.put(0x5372_6448, 4, at: 0x202)
        // type_of_loader: none of the registered ones.
        page.put(0xff, 1, at: 0x210)
        // loadflags: LOADED_HIGH
        page.put(1, 1, at: 0x211)
        page.put(GuestLayout.commandLine.rawValue, 4, at: 0x228)
        page.put(UInt64(facts.commandLineBytes), 4, at: 0x238)
        if setUpHead.isEmpty { page.put(0x100_0000, 4, at: 0x230) }
        if let files = facts.initialFileSystem {
            page.put(files.start.rawValue, 4, at: 0x218)
            page.put(UInt64(files.count), 4, at: 0x21c)
        }
        page.put(UInt64(facts.memoryMap.count), 1, at: 0x1e8)
        for (index, entry) in facts.memoryMap.enumerated() {
            let place = 0x2d0 + index * 20
            page.put(entry.start, 8, at: place)
            page.put(entry.count, 8, at: place + 8)
            page.put(UInt64(entry.kind.rawValue), 4, at: place + 16)
        }
        return page.bytes
    }

    /// A table of segments: none, none, code of 64 bits, data.
    static let descriptors: [UInt8] = {
        var table = BootBytes(count: 32)
        table.put(0x00af_9b00_0000_ffff, 8, at: 16)
        table.put(0x00cf_9300_0000_ffff, 8, at: 24)
        return table.bytes
    }()

    /// Three tables that map the first gibibyte to itself, in pages of 2 MiB.
    static let pageTables: [UInt8] = {
        let base = GuestLayout.pageTables.rawValue
        var tables = BootBytes(count: 3 * 4096)
        tables.put(base + 0x1000 | 3, 8, at: 0)
        tables.put(base + 0x2000 | 3, 8, at: 0x1000)
        for index in 0..<512 as Range<UInt64> {
            tables.put(index << 21 | 0x83, 8, at: 0x2000 + Int(index) * 8)
        }
        return tables.bytes
    }()
}

/// The protocol of paravirtual machines. Corresponds to `struct hvm_start_info`.
enum PVHStart {
    static func info(_ facts: BootFacts) -> [UInt8] {
        var info = BootBytes(count: 56)
        info.put(0x336e_c578, 4, at: 0)
        info.put(1, 4, at: 4)
        if facts.initialFileSystem != nil {
            info.put(1, 4, at: 12)
            info.put(GuestLayout.startModules.rawValue, 8, at: 16)
        }
        info.put(GuestLayout.commandLine.rawValue, 8, at: 24)
        info.put(GuestLayout.startMemoryMap.rawValue, 8, at: 40)
        info.put(UInt64(facts.memoryMap.count), 4, at: 48)
        return info.bytes
    }

    /// Entries of `struct hvm_memmap_table_entry`.
    static func memoryMap(_ facts: BootFacts) -> [UInt8] {
        var table = BootBytes(count: 0)
        for entry in facts.memoryMap {
            table.append(entry.start, 8)
            table.append(entry.count, 8)
            table.append(UInt64(entry.kind.rawValue), 4)
            table.append(0, 4)
        }
        return table.bytes
    }

    /// One entry of `struct hvm_modlist_entry`.
    static func modules(_ facts: BootFacts) -> [UInt8] {
        var table = BootBytes(count: 32)
        if let files = facts.initialFileSystem {
            table.put(files.start.rawValue, 8, at: 0)
            table.put(UInt64(files.count), 8, at: 8)
        }
        return table.bytes
    }
}

/// Processors and interrupts, for a kernel that has no ACPI. Corresponds to the tables of Intel's
/// MultiProcessor specification 1.4.
enum ProcessorTable {
    static func bytes(processors: Int) -> [UInt8] {
        var entries = BootBytes(count: 0)
        for index in 0..<processors {
            // Enabled; the first is the one that boots. A CPU of family 6, with an own controller.
            entries.append([0, UInt8(index), 0x14, index == 0 ? 3 : 1])
            entries.append(0x600, 4)
            entries.append(0x201, 4)
            entries.append(0, 8)
        }
        let ioController = UInt8(processors)
        entries.append([1, 0] + Array("ISA   ".utf8))
        entries.append([2, ioController, 0x11, 1])
        entries.append(GuestLayout.ioInterrupts.rawValue, 4)
        for line in 0...UInt8(GuestLayout.lastInterrupt) {
            entries.append([3, 0, 0, 0, 0, line, ioController, line])
        }
        // The old controller at line 0 of each CPU, what cannot be masked at line 1.
        entries.append([4, 3, 0, 0, 0, 0, 0xff, 0])
        entries.append([4, 1, 0, 0, 0, 0, 0xff, 1])

        let count = processors + 2 + Int(GuestLayout.lastInterrupt) + 1 + 2
        var table = BootBytes(count: 44)
        table.put(Array("PCMP".utf8), at: 0)
        table.put(UInt64(44 + entries.bytes.count), 2, at: 4)
        table.put(4, 1, at: 6)
        table.put(Array("ALCOVE  MICROVM     ".utf8), at: 8)
        table.put(UInt64(count), 2, at: 34)
        table.put(GuestLayout.localInterrupts.rawValue, 4, at: 36)
        table.append(entries.bytes)
        table.put(UInt64(table.complement), 1, at: 7)

        var pointer = BootBytes(count: 16)
        pointer.put(Array("_MP_".utf8), at: 0)
        pointer.put(GuestLayout.processorTable.rawValue + 16, 4, at: 4)
        pointer.put(1, 1, at: 8)
        pointer.put(4, 1, at: 9)
        pointer.put(UInt64(pointer.complement), 1, at: 10)
        pointer.append(table.bytes)
        return pointer.bytes
    }
}
