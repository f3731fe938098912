public import LinuxKernel

/// A kernel to start, read from a file: what its head says, within bounds.
public struct KernelFile: Sendable {
    public enum Format: Hashable, Sendable {
        /// An ELF file: `vmlinux`.
        case elf
        /// One that unpacks itself: `bzImage`.
        case compressed
    }

    /// A part that is copied.
    struct Segment: Hashable, Sendable {
        let fileOffset: UInt64
        let fileBytes: UInt64
        let address: UInt64
        let memoryBytes: UInt64
    }

    public let format: Format
    let segments: [Segment]
    /// Where 64-bit mode begins.
    let entry: UInt64
    /// Where PVH begins, if the kernel has that.
    let pvhEntry: UInt64?
    /// The head of Linux's own protocol, of a compressed kernel.
    let setUpHead: [UInt8]

    static let mostSegments = 64
    private static let mostNoteBytes: UInt64 = 65536

    public static func read(_ file: borrowing Descriptor) throws(MachineError) -> KernelFile {
        let size = try calling { () throws(SystemCallError) in try Files.status(of: file).size }
        let head = try bytes(of: file, at: 0, count: 4096, size)
        if head.starts(with: [0x7f, 0x45, 0x4c, 0x46]) { return try readELF(file, head, size) }
        if head.count > 0x250, number(head, 0x202, 4) == 0x5372_6448 {
            return try readCompressed(head, size)
        }
        throw .badKernel("is neither an ELF file nor a bzImage")
    }

    static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        guard offset >= 0, offset + count <= bytes.count else { return 0 }
        return (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
    }

    private static func bytes(
        of file: borrowing Descriptor, at offset: UInt64, count: Int, _ size: UInt64
    ) throws(MachineError) -> [UInt8] {
        do throws(SystemCallError) {
            return try file.read(atMost: count, at: offset, subject: "kernel")
        } catch {
            throw .systemCall(error)
        }
    }

    // MARK: - ELF

    private static func readELF(
        _ file: borrowing Descriptor, _ head: [UInt8], _ size: UInt64
    ) throws(MachineError) -> KernelFile {
        // ELFCLASS64, ELFDATA2LSB, EM_X86_64
        guard number(head, 4, 2) == 0x102, number(head, 18, 2) == 62 else {
            throw .badKernel("is no ELF file for x86-64")
        }
        let tableOffset = number(head, 32, 8)
        let count = Int(number(head, 56, 2))
        guard number(head, 54, 2) == 56, count > 0, count <= mostSegments else {
            throw .badKernel("has \(count) segments")
        }
        let table = try bytes(of: file, at: tableOffset, count: count * 56, size)
        guard table.count == count * 56 else { throw .badKernel("ends within its table") }
        var segments: [Segment] = []
        var pvhEntry: UInt64?
        for start in stride(from: 0, to: table.count, by: 56) {
            let offset = number(table, start + 8, 8)
            let fileBytes = number(table, start + 32, 8)
            guard offset <= size, fileBytes <= size - offset else {
                throw .badKernel("ends within a segment")
            }
            switch number(table, start, 4) {
            case 1:
                let segment = Segment(
                    fileOffset: offset, fileBytes: fileBytes, address: number(table, start + 24, 8),
                    memoryBytes: number(table, start + 40, 8))
                guard segment.memoryBytes >= fileBytes else {
                    throw .badKernel("has a segment larger than its memory")
                }
                if segment.memoryBytes > 0 { segments.append(segment) }
            case 4 where fileBytes <= mostNoteBytes:
                let notes = try bytes(of: file, at: offset, count: Int(fileBytes), size)
                pvhEntry = pvhEntry ?? findPVHEntry(notes)
            default: break
            }
        }
        guard !segments.isEmpty else { throw .badKernel("has nothing to load") }
        return KernelFile(
            format: .elf, segments: segments, entry: number(head, 24, 8), pvhEntry: pvhEntry,
            setUpHead: [])
    }

    /// `XEN_ELFNOTE_PHYS32_ENTRY` of the owner "Xen".
    private static func findPVHEntry(_ notes: [UInt8]) -> UInt64? {
        var place = 0
        while place + 12 <= notes.count {
            let nameBytes = Int(number(notes, place, 4))
            let valueBytes = Int(number(notes, place + 4, 4))
            let kind = number(notes, place + 8, 4)
            let name = place + 12
            let value = name + (nameBytes + 3) / 4 * 4
            let end = value + (valueBytes + 3) / 4 * 4
            guard nameBytes <= notes.count, valueBytes <= notes.count,
                value + valueBytes <= notes.count
            else { return nil }
            if kind == 18, notes[name..<name + nameBytes].starts(with: [0x58, 0x65, 0x6e]),
                valueBytes == 4 || valueBytes == 8
            {
                return number(notes, value, valueBytes)
            }
            place = end
        }
        return nil
    }

    // MARK: - bzImage

    private static func readCompressed(
        _ head: [UInt8], _ size: UInt64
    ) throws(MachineError) -> KernelFile {
        // Protocol 2.12, of Linux 3.8, is the first with an entry for 64 bits.
        guard number(head, 0x206, 2) >= 0x20c, number(head, 0x236, 2) & 1 != 0 else {
            throw .badKernel("is too old, or not for 64 bits")
        }
        let sectors = number(head, 0x1f1, 1) == 0 ? 4 : number(head, 0x1f1, 1)
        let start = (sectors + 1) * 512
        guard start < size else { throw .badKernel("ends within its set-up code") }
        let preferred = number(head, 0x258, 8)
        let address = preferred == 0 ? 0x10_0000 : preferred
        let needed = max(number(head, 0x260, 4), size - start)
        let end = min(head.count, 0x202 + Int(number(head, 0x201, 1)))
        return KernelFile(
            format: .compressed,
            segments: [
                Segment(
                    fileOffset: start, fileBytes: size - start, address: address,
                    memoryBytes: needed)
            ], entry: address + 0x200, pvhEntry: nil,
            setUpHead: Array(head[0x1f1..<max(0x1f1, end)]))
    }
}
