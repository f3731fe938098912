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

    init(_ kernel: TinyKernel) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("alcove-monitor-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.path
        try Data(kernel.file).write(to: folder.appendingPathComponent("kernel"))
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}
