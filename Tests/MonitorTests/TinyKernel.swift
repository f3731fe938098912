import Foundation

/// A kernel of a few instructions, as a file: they mean the same in 32 and in 64 bits, so that
/// both ways of booting enter it.
struct TinyKernel {
    private static let start: UInt32 = 0x10_0000
    private var code: [UInt8] = []

    /// Writes a byte to a port.
    mutating func out(_ port: UInt16, _ byte: UInt8) {
        // mov dx, port; mov al, byte; out dx, al
        code += [0x66, 0xba, UInt8(port & 0xff), UInt8(port >> 8), 0xb0, byte, 0xee]
    }

    /// Says a line on the serial port.
    mutating func say(_ line: String) {
        for byte in (line + "\n").utf8 { out(0x3f8, byte) }
    }

    /// Says so many bytes from an offset on of what Linux's own protocol hands over, in 64 bits.
    mutating func sayHandedOver(_ offset: UInt32, count: UInt32) {
        // mov dx, 0x3f8; and for each: mov al, [rsi + place]; out dx, al
        code += [0x66, 0xba, 0xf8, 0x03]
        for place in offset..<offset + count {
            code += [0x8a, 0x86] + Self.numbers([place]) + [0xee]
        }
    }

    /// Writes a number to an address below 2 GiB, in 64 bits.
    mutating func store(_ value: UInt32, at address: UInt32) {
        // mov dword [address], value
        code += [0xc7, 0x04, 0x25] + Self.numbers([address, value])
    }

    /// Says so many bytes that are in memory, in 64 bits.
    mutating func sayMemory(at address: UInt32, count: UInt32) {
        // mov dx, 0x3f8; and for each: mov al, [address]; out dx, al
        code += [0x66, 0xba, 0xf8, 0x03]
        for place in address..<address + count {
            code += [0x8a, 0x04, 0x25] + Self.numbers([place]) + [0xee]
        }
    }

    /// Fails unless a number in memory is zero, in 64 bits.
    mutating func expectZero(at address: UInt32) {
        // cmp dword [address], 0; je over the next; ud2
        code += [0x83, 0x3c, 0x25] + Self.numbers([address]) + [0, 0x74, 2, 0x0f, 0x0b]
    }

    /// Says the first bytes of the command line.
    mutating func sayCommandLine(count: UInt8) {
        // mov ebx, [rsi + 0x228]; mov dx, 0x3f8; and for each: mov al, [rbx + place]; out dx, al
        code += [0x8b, 0x9e] + Self.numbers([0x228]) + [0x66, 0xba, 0xf8, 0x03]
        for place in 0..<count { code += [0x8a, 0x43, place, 0xee] }
    }

    /// The way in which machines are switched off.
    mutating func reset() { out(0x64, 0xfe) }

    /// Goes round for ever.
    mutating func stay() { code += [0xeb, 0xfe] }

    /// An ELF file with one segment, and the note that tells where PVH begins.
    var file: [UInt8] {
        let note = Self.numbers([4, 4, 18]) + Array("Xen\0".utf8) + Self.numbers([Self.start])
        let codeOffset: UInt32 = 0x1000
        var file: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        // ET_EXEC for x86-64; the entry, the table of segments behind this head, no sections.
        file += [2, 0, 62, 0] + Self.numbers([1, Self.start, 0, 64, 0, 0, 0, 0])
        file += [64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]
        let count = UInt32(code.count)
        file += Self.numbers([1, 5, codeOffset, 0, Self.start, 0, Self.start, 0])
        file += Self.numbers([count, 0, count, 0, 0x1000, 0])
        let noteCount = UInt32(note.count)
        file += Self.numbers([4, 4, 64 + 2 * 56, 0, 0, 0, 0, 0, noteCount, 0, noteCount, 0, 4, 0])
        file += note
        file += [UInt8](repeating: 0, count: Int(codeOffset) - file.count)
        return file + code
    }

    /// A bzImage, of protocol 2.15, that wants to be at 2 MiB. Entered elsewhere than at the place
    /// for 64 bits, it fails.
    var compressedFile: [UInt8] {
        var file = [UInt8](repeating: 0, count: 1024)
        func put(_ bytes: [UInt8], at place: Int) {
            file.replaceSubrange(place..<place + bytes.count, with: bytes)
        }
        // One sector of set-up code beside the first; the end of this head, and its mark.
        put([1], at: 0x1f1)
        put([0x55, 0xaa, 0xeb, 0x66] + Array("HdrS".utf8) + [0x0f, 0x02], at: 0x1fe)
        // It is loaded high, can be moved, is for 64 bits, and needs so much memory there.
        put([1], at: 0x211)
        put(Self.numbers([0x20_0000, 1]), at: 0x230)
        put([1], at: 0x236)
        put(Self.numbers([0x20_0000, 0, 0x1_0000]), at: 0x258)
        // Invalid instructions up to there.
        return file + (0..<0x100).flatMap { _ in [0x0f, 0x0b] as [UInt8] } + code
    }

    private static func numbers(_ values: [UInt32]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    }
}

/// A folder with a kernel, which goes away with the object.
final class TinyKernelFolder {
    let path: String
    var kernel: String { path + "/kernel" }
    /// What a kernel of a few instructions does not read.
    var initialFiles: String { kernel }
    var control: String { path + "/control" }

    init(_ kernel: TinyKernel, isCompressed: Bool = false) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("alcove-monitor-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.path
        let file = isCompressed ? kernel.compressedFile : kernel.file
        try Data(file).write(to: folder.appendingPathComponent("kernel"))
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}
