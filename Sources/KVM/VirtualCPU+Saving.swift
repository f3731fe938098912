internal import CKVM
public import LinuxKernel

// A CPU is saved between two runs and put into another one before that one's first.
extension VirtualCPU {
    /// The kernel takes no more registers in one request.
    private static let mostInRequest = 256
    private static let counter: UInt32 = 0x10
    private static let deadline: UInt32 = 0x6e0

    /// All that it is.
    ///
    /// - Parameters:
    ///   - modelRegisters: what ``System/modelRegisters()`` told.
    ///   - extendedBytes: what ``System/extendedStateBytes`` told.
    public borrowing func save(
        modelRegisters: [UInt32], extendedBytes: Int
    ) throws(SystemCallError) -> ProcessorState {
        var parts: [[UInt8]] = []
        for part in ProcessorState.Part.allCases where part != .events {
            parts.append(try read(part, extendedBytes))
        }
        let rate = try descriptor.control(
            ProcessorRequest.counterRate.number, name: ProcessorRequest.counterRate.name)
        let (values, untold) = try read(modelRegisters)
        parts.append(try read(.events, extendedBytes))
        guard
            let state = ProcessorState(
                parts: parts, modelRegisters: values, untold: untold,
                counterRate: UInt32(clamping: rate))
        else { preconditionFailure("the kernel's structures have its sizes") }
        return state
    }

    private borrowing func read(
        _ part: ProcessorState.Part, _ extendedBytes: Int
    ) throws(SystemCallError) -> [UInt8] {
        var request = part.getRequest
        var size = part.size
        if part == .extendedState, extendedBytes > size {
            request = .largeExtendedState
            size = extendedBytes
        }
        var bytes = [UInt8](repeating: 0, count: size)
        try descriptor.request(request.number, with: &bytes, name: request.name)
        return bytes
    }

    /// Registers that the kernel does not tell are left out, and named.
    borrowing func read(
        _ numbers: [UInt32]
    ) throws(SystemCallError) -> (values: [ProcessorState.ModelRegister], untold: [UInt32]) {
        var values: [ProcessorState.ModelRegister] = []
        var untold: [UInt32] = []
        var next = 0
        while next < numbers.count {
            let batch = numbers[next..<min(numbers.count, next + Self.mostInRequest)]
            var list = ModelRegisterList(batch.map { .init(number: $0, value: 0) })
            let count = Int(
                try descriptor.request(
                    ProcessorRequest.modelRegisters.number, with: &list.bytes,
                    name: ProcessorRequest.modelRegisters.name))
            values += list.entries.prefix(count)
            next += count
            if count < batch.count {
                untold.append(numbers[next])
                next += 1
            }
        }
        return (values, untold)
    }

    /// Becomes what another CPU was, before the first run. ``setFeatures(_:)`` comes before it.
    public borrowing func load(_ state: ProcessorState) throws(ProcessorStateError) {
        do throws(SystemCallError) {
            try descriptor.control(
                UInt64(alcove_kvm_set_tsc_rate), UInt64(state.counterRate),
                name: "ioctl KVM_SET_TSC_KHZ")
            // The local interrupt controller wants to know where it is, which is one of the special
            // registers.
            for part in ProcessorState.Part.allCases where part != .events {
                try write(part, of: state)
            }
        } catch {
            throw .systemCall(error)
        }
        try write(state.modelRegisters)
        do throws(SystemCallError) {
            try write(.events, of: state)
        } catch {
            throw .systemCall(error)
        }
    }

    private borrowing func write(
        _ part: ProcessorState.Part, of state: ProcessorState
    ) throws(SystemCallError) {
        var bytes = state[part]
        // Of a processor that has none. One here that has some has not the other's features.
        if part == .extendedControl, bytes.prefix(4).allSatisfy({ $0 == 0 }) { return }
        let request = part.setRequest
        try descriptor.request(request.number, with: &bytes, name: request.name)
    }

    /// The counter comes first, and last the time of its next event: it is seen as one to come, and
    /// the local interrupt controller has been told by then that it is to wait for it.
    private borrowing func write(
        _ registers: [ProcessorState.ModelRegister]
    ) throws(ProcessorStateError) {
        let ordered =
            registers.filter { $0.number == Self.counter }
            + registers.filter { $0.number != Self.counter && $0.number != Self.deadline }
            + registers.filter { $0.number == Self.deadline }
        var next = 0
        while next < ordered.count {
            let batch = ordered[next..<min(ordered.count, next + Self.mostInRequest)]
            var list = ModelRegisterList(Array(batch))
            do throws(SystemCallError) {
                next += Int(
                    try descriptor.request(
                        UInt64(alcove_kvm_set_msrs), with: &list.bytes,
                        name: "ioctl KVM_SET_MSRS"))
                guard next < batch.endIndex else { continue }
                // One that cannot be set does no harm where it has the value already.
                let refused = ordered[next]
                guard try read([refused.number]).values == [refused] else {
                    throw SystemCallError(call: "ioctl KVM_SET_MSRS", errorNumber: .invalid)
                }
                next += 1
            } catch {
                guard error.errorNumber == .invalid, next < ordered.count else {
                    throw .systemCall(error)
                }
                throw .refusedRegister(ordered[next].number)
            }
        }
    }

    /// Ends what the guest began by its last exit, so that nothing of it is in this process any
    /// more: `interrupted` then. Where it needs this process again for that, the exit says so.
    public borrowing func completeExit() throws(SystemCallError) -> VirtualCPUExit {
        setImmediateExit(true)
        defer { setImmediateExit(false) }
        return try run()
    }
}

/// `struct kvm_msrs` with as many entries as it says.
private struct ModelRegisterList {
    private static let headBytes = 8
    private static let entryBytes = 16
    var bytes: [UInt8]

    init(_ registers: [ProcessorState.ModelRegister]) {
        bytes = [UInt8](repeating: 0, count: Self.headBytes)
        bytes.reserveCapacity(Self.headBytes + registers.count * Self.entryBytes)
        Self.put(UInt64(registers.count), 4, in: &bytes, at: 0)
        for register in registers {
            let place = bytes.count
            bytes += repeatElement(0, count: Self.entryBytes)
            Self.put(UInt64(register.number), 4, in: &bytes, at: place)
            Self.put(register.value, 8, in: &bytes, at: place + 8)
        }
    }

    var entries: [ProcessorState.ModelRegister] {
        stride(from: Self.headBytes, to: bytes.count, by: Self.entryBytes).map { place in
            ProcessorState.ModelRegister(
                number: UInt32(truncatingIfNeeded: number(4, at: place)),
                value: number(8, at: place + 8))
        }
    }

    private func number(_ count: Int, at place: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64($1 * 8) }
    }

    private static func put(_ value: UInt64, _ count: Int, in bytes: inout [UInt8], at place: Int) {
        for index in 0..<count {
            bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
        }
    }
}
