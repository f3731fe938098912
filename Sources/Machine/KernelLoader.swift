internal import GuestMemory
internal import LinuxKernel

/// Puts a kernel into a guest's memory.
struct KernelLoader {
    let memory: GuestMemory

    /// - Parameter file: what the kernel was read from.
    func load(_ kernel: KernelFile, from file: borrowing Descriptor) throws(MachineError) {
        for segment in kernel.segments {
            let start = GuestAddress(rawValue: segment.address)
            guard segment.memoryBytes <= memory.count,
                memory.contains(GuestRange(start, count: Int(segment.memoryBytes))),
                start >= GuestLayout.highMemory
            else { throw .doesNotFit("a segment of the kernel at \(start)") }
            // Copied, not mapped: a kernel patches nearly every page of itself, and each would then
            // cost the guest two exits and a copy.
            try copy(
                file, from: segment.fileOffset, count: segment.fileBytes, to: start, what: "kernel")
        }
    }

    /// Reads a part of a file into the memory, straight.
    func copy(
        _ file: borrowing Descriptor, from offset: UInt64, count: UInt64, to start: GuestAddress,
        what: String
    ) throws(MachineError) {
        var done: UInt64 = 0
        while done < count {
            let range = GuestRange(start.advanced(by: done), count: Int(count - done))
            guard let address = try? memory.hostAddress(of: range) else {
                throw .doesNotFit("the \(what)")
            }
            let part = MemoryPart(address: address, count: count - done)
            switch file.read(into: [part], at: offset + done) {
            case .bytes(0): throw .badKernel("ends too early")
            case .bytes(let more): done += UInt64(more)
            case .wouldBlock: continue
            case .failed(let number):
                throw .systemCall(
                    SystemCallError(call: "read", subject: what, errorNumber: number))
            }
        }
    }
}
