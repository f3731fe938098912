internal import GuestMemory
internal import LinuxKernel

extension [GuestRange] {
    /// Adds where a part of these is in this process, at most `count` bytes, in as many parts as a
    /// call takes.
    func append(
        to parts: inout [MemoryPart], skipping skip: Int, count: Int, _ memory: GuestMemory
    ) throws(DeviceFault) {
        var skip = skip
        var left = count
        for range in self where left > 0 && parts.count < Descriptor.mostParts {
            if skip >= range.count {
                skip -= range.count
                continue
            }
            let piece = range.dropFirst(skip).prefix(left)
            skip = 0
            left -= piece.count
            do throws(GuestMemoryError) {
                parts.append(
                    MemoryPart(
                        address: try memory.hostAddress(of: piece), count: UInt64(piece.count)))
            } catch {
                throw .outsideMemory(error)
            }
        }
    }
}

extension DescriptorChain {
    /// Fills a buffer from the beginning of what is to be read, which has as many bytes.
    func read(into buffer: inout [UInt8], from memory: GuestMemory) throws(DeviceFault) {
        // Most headers are in one piece.
        guard let first = readable.first, first.count >= buffer.count else {
            buffer = try read(buffer.count, from: memory)
            return
        }
        do throws(GuestMemoryError) {
            try memory.read(first.prefix(buffer.count), into: &buffer, at: 0)
        } catch {
            throw .outsideMemory(error)
        }
    }

    /// Copies bytes to the beginning of what is to be written, which has room for them.
    func write(start bytes: [UInt8], to memory: GuestMemory) throws(DeviceFault) {
        guard let first = writable.first, first.count >= bytes.count else {
            try write(bytes, to: memory)
            return
        }
        do throws(GuestMemoryError) {
            try memory.write(bytes, to: first.start)
        } catch {
            throw .outsideMemory(error)
        }
    }
}
