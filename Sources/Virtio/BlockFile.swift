internal import LinuxKernel

/// The file behind a disk. Any thread may use it.
final class BlockFile: Sendable {
    private let file: Descriptor
    /// Zeroes, for file systems that cannot clear a part of a file.
    private static let zeroes = [UInt8](repeating: 0, count: 65536)

    init(_ file: consuming Descriptor) {
        self.file = file
    }

    func size() throws(SystemCallError) -> UInt64 {
        try Files.status(of: file).size
    }

    /// What was read of the parts before it would have had to wait.
    enum Glance {
        case all
        case some(rest: [MemoryPart], at: UInt64)
        /// Nothing, and it never will.
        case notPossible
    }

    /// Reads what is in memory.
    func glance(at offset: UInt64, into parts: [MemoryPart]) -> Glance {
        switch file.read(into: parts, at: offset, waits: false) {
        case .bytes(let count):
            let rest = Self.rest(of: parts, after: UInt64(count))
            return rest.isEmpty ? .all : .some(rest: rest, at: offset + UInt64(count))
        case .failed(.notSupported): return .notPossible
        // What failed is told by the attempt that waits.
        case .wouldBlock, .failed: return .some(rest: parts, at: offset)
        }
    }

    /// Fills all the parts. False when the file has not as much, or the disk failed.
    func read(at offset: UInt64, into parts: [MemoryPart]) -> Bool {
        transfer(at: offset, parts) { file, offset, parts in
            file.read(into: parts, at: offset)
        }
    }

    func write(at offset: UInt64, from parts: [MemoryPart], isDurable: Bool) -> Bool {
        transfer(at: offset, parts) { file, offset, parts in
            file.write(parts, at: offset, isDurable: isDurable)
        }
    }

    private func transfer(
        at offset: UInt64, _ parts: [MemoryPart],
        _ call: (borrowing Descriptor, UInt64, [MemoryPart]) -> Descriptor.PartsTransfer
    ) -> Bool {
        var offset = offset
        var parts = parts
        while !parts.isEmpty {
            switch call(file, offset, parts) {
            case .bytes(0): return false
            case .bytes(let count):
                parts = Self.rest(of: parts, after: UInt64(count))
                offset += UInt64(count)
            case .failed(.interrupted): continue
            case .wouldBlock, .failed: return false
            }
        }
        return true
    }

    func discard(_ extents: [BlockExtent]) -> Bool {
        for extent in extents {
            do throws(SystemCallError) {
                try file.punchHole(at: extent.offset, count: extent.count)
            } catch {
                // It is advice: a file system that cannot keeps what there is.
                guard error.errorNumber == .notSupported else { return false }
            }
        }
        return true
    }

    func zero(_ extents: [BlockExtent]) -> Bool {
        extents.allSatisfy { extent in
            if extent.mayUnmap,
                (try? file.punchHole(at: extent.offset, count: extent.count)) != nil
            {
                return true
            }
            if (try? file.zeroRange(at: extent.offset, count: extent.count)) != nil { return true }
            return writeZeroes(extent)
        }
    }

    private func writeZeroes(_ extent: BlockExtent) -> Bool {
        var done: UInt64 = 0
        while done < extent.count {
            let count = min(extent.count - done, UInt64(Self.zeroes.count))
            do throws(SystemCallError) {
                try file.write(
                    Self.zeroes.span.extracting(first: Int(count)), at: extent.offset + done)
            } catch {
                return false
            }
            done += count
        }
        return true
    }

    func flush() -> Bool {
        (try? file.synchronizeData()) != nil
    }

    /// The parts without their first bytes.
    static func rest(of parts: [MemoryPart], after count: UInt64) -> [MemoryPart] {
        var left = count
        var result: [MemoryPart] = []
        for part in parts {
            let skipped = min(left, part.count)
            left -= skipped
            if skipped < part.count {
                result.append(
                    MemoryPart(address: part.address + skipped, count: part.count - skipped))
            }
        }
        return result
    }
}
