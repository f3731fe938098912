import GuestMemory
import LinuxKernel
import Virtio

/// One input: a driver that does what its bytes say.
///
/// A trap is what is looked for; what else must hold is a precondition.
final class FuzzRun {
    /// After its last action a device is at rest within so many turns of the loop.
    private static let mostTurns = 5000
    /// A second thread changes the memory so often while the device works.
    private static let mostChanges = 512

    private let host: FuzzHost
    private let subject: FuzzSubject
    private let memory: GuestMemory
    private let loop: EventLoop
    private let line: SharedCounter
    private let transport: VirtioTransport
    private var sizes: [UInt16]
    private var nextAvailable: [UInt16]
    private var nextFree: [UInt16]
    private var hasRaced = false
    private var outcomes: [UInt64] = []

    init(_ host: FuzzHost, _ make: FuzzSubjects.Make) throws {
        self.host = host
        subject = try make(host)
        memory = try GuestMemory.make(bytes: FuzzLayout.memory)
        loop = try EventLoop(named: "devices")
        line = try SharedCounter()
        transport = try VirtioTransport(subject.device, memory: memory, loop: loop, line: line)
        try transport.listen()
        let count = subject.device.queueSizes.count
        precondition(count <= FuzzLayout.mostQueues, "there is room for the queues")
        sizes = [UInt16](repeating: 16, count: count)
        nextAvailable = [UInt16](repeating: 0, count: count)
        nextFree = [UInt16](repeating: 0, count: count)
    }

    /// Does all that the input says, and gives what came of it.
    func perform(_ bytes: [UInt8]) -> [UInt64] {
        var input = FuzzInput(bytes)
        begin(&input)
        while !input.isEmpty { act(&input) }
        if hasRaced { FuzzHost.settle(host.racer) }
        rest()
        note()
        set(0x70, 0)
        precondition(register(0x70) == 0 && !transport.isRunning, "a reset ends everything")
        settleWorkers()
        turn()
        return outcomes
    }

    /// The last of what came of it: what the device counted.
    var reached: [UInt64] { subject.outcome() }

    // MARK: - Actions

    private func act(_ input: inout FuzzInput) {
        switch input.choice(16) {
        case 0: begin(&input)
        case 1: writeRegister(&input)
        case 2: readRegister(&input)
        case 3: writeDescriptor(&input)
        case 4: publish(queue(&input), UInt16(truncatingIfNeeded: input.oddNumber()))
        case 5...7: offer(&input)
        case 8: offerIndirect(&input)
        case 9: change(&input)
        case 10, 11: kick(queue(&input))
        case 12: turn()
        case 13: finishWork(&input)
        case 14: hostActs(&input)
        default: race(&input)
        }
    }

    private func queue(_ input: inout FuzzInput) -> Int { input.choice(sizes.count) }

    private func register(_ offset: UInt64) -> UInt64 { transport.read(at: offset, count: 4) }

    private func set(_ offset: UInt64, _ value: UInt64) {
        transport.write(value, at: offset, count: 4)
    }

    /// What a driver does until the device works, as a rule.
    private func begin(_ input: inout FuzzInput) {
        note()
        let options = input.byte()
        let refused = options & 1 != 0 ? UInt64(input.byte()) << UInt64(input.choice(40)) : 0
        for status in [0, 1, 3] as [UInt64] { set(0x70, status) }
        for half in 0..<2 as Range<UInt64> {
            set(0x14, half)
            set(0x24, half)
            set(0x20, register(0x10) & ~(refused >> (half * 32)))
        }
        set(0x70, 11)
        for index in sizes.indices {
            sizes[index] = options & 2 != 0 ? 1 << UInt16(input.choice(9)) : 16
            nextAvailable[index] = 0
            nextFree[index] = 0
            place(index, isUsed: options & 4 == 0 || input.choice(4) > 0)
        }
        set(0x70, 15)
    }

    private func place(_ index: Int, isUsed: Bool) {
        let (queue, available, used) = (
            FuzzLayout.queue(index), FuzzLayout.available(index), FuzzLayout.used(index)
        )
        for ring in [available, used] {
            try? memory.store32(0, GuestAddress(rawValue: ring))
        }
        set(0x30, UInt64(index))
        set(0x38, UInt64(sizes[index]))
        for (offset, address) in [(0x80, queue), (0x90, available), (0xa0, used)]
            as [(UInt64, UInt64)]
        {
            set(offset, address)
            set(offset + 4, 0)
        }
        set(0x44, isUsed ? 1 : 0)
    }

    private func writeRegister(_ input: inout FuzzInput) {
        let offset =
            input.choice(2) == 0 ? UInt64(input.byte()) * 4 : input.number(bytes: 2) % 0x1000
        transport.write(input.oddNumber(), at: offset, count: [4, 1, 2, 8][input.choice(4)])
    }

    private func readRegister(_ input: inout FuzzInput) {
        let offset = UInt64(input.byte()) * 2
        outcomes.append(transport.read(at: offset, count: [4, 1, 2, 8][input.choice(4)]) & 0xff)
    }

    private func writeDescriptor(_ input: inout FuzzInput) {
        let index = queue(&input)
        let entry = UInt16(input.byte())
        store(
            in: FuzzLayout.queue(index), entry, input.address(), input.size(),
            flags: UInt16(input.byte()), next: UInt16(truncatingIfNeeded: input.oddNumber()))
    }

    private func store(
        in table: UInt64, _ entry: UInt16, _ address: GuestAddress, _ size: UInt32, flags: UInt16,
        next: UInt16
    ) {
        let place = GuestAddress(rawValue: table + UInt64(entry) * 16)
        try? memory.store64(address.rawValue, place)
        try? memory.store64(
            UInt64(size) | UInt64(flags) << 32 | UInt64(next) << 48, place.advanced(by: 8))
    }

    private func publish(_ index: Int, _ head: UInt16) {
        let available = GuestAddress(rawValue: FuzzLayout.available(index))
        let slot = UInt64(nextAvailable[index] & (sizes[index] &- 1))
        try? memory.store16(head, available.advanced(by: 4 + slot * 2))
        nextAvailable[index] &+= 1
        try? memory.store16Releasing(nextAvailable[index], available.advanced(by: 2))
    }

    /// A request as drivers make them: parts to read with bytes in them, then parts to write.
    private func offer(_ input: inout FuzzInput) {
        let index = queue(&input)
        let head = nextFree[index] & (sizes[index] &- 1)
        let count = fill(FuzzLayout.queue(index), first: head, size: sizes[index], &input)
        nextFree[index] &+= count
        publish(index, head)
        if input.choice(2) == 0 { kick(index) }
    }

    private func offerIndirect(_ input: inout FuzzInput) {
        let index = queue(&input)
        let head = nextFree[index] & (sizes[index] &- 1)
        let table = FuzzLayout.data + 0x8000
        let count = fill(table, first: 0, size: 256, &input)
        store(
            in: FuzzLayout.queue(index), head, GuestAddress(rawValue: table), UInt32(count) * 16,
            flags: 4, next: 0)
        nextFree[index] &+= 1
        publish(index, head)
        if input.choice(2) == 0 { kick(index) }
    }

    /// Writes the parts of a request into a table. Gives how many there are.
    private func fill(
        _ table: UInt64, first: UInt16, size: UInt16, _ input: inout FuzzInput
    ) -> UInt16 {
        let start = beginning(&input)
        let readable = input.choice(3) + (start.isEmpty ? 0 : 1)
        let count = UInt16(max(1, readable + input.choice(4)))
        for step in 0..<count {
            let isLast = step + 1 == count
            let isWritable = Int(step) >= readable
            let isStart = step == 0 && !start.isEmpty
            let address =
                isStart
                ? GuestAddress(rawValue: FuzzLayout.data + UInt64(input.byte()) * 512)
                : input.address()
            if !isWritable {
                let bytes = isStart ? start : input.bytes(input.choice(33))
                try? memory.write(bytes, to: address)
            }
            store(
                in: table, (first &+ step) & (size &- 1), address,
                isStart ? UInt32(start.count) : input.size(),
                flags: (isLast ? 0 : 1) | (isWritable ? 2 : 0),
                next: (first &+ step &+ 1) & (size &- 1))
        }
        return count
    }

    /// What a good request begins with, or nearly; nothing for one that begins with anything.
    private func beginning(_ input: inout FuzzInput) -> [UInt8] {
        guard !subject.beginnings.isEmpty, input.choice(4) > 0 else { return [] }
        var bytes = subject.beginnings[input.choice(subject.beginnings.count)]
        let place = input.choice(bytes.count * 4)
        if place < bytes.count { bytes[place] ^= input.byte() }
        return bytes
    }

    private func change(_ input: inout FuzzInput) {
        let address = input.address()
        try? memory.write(input.bytes(1 + input.choice(16)), to: address)
    }

    private func kick(_ index: Int) {
        set(0x50, UInt64(index))
    }

    private func finishWork(_ input: inout FuzzInput) {
        settleWorkers()
        turn()
    }

    private func hostActs(_ input: inout FuzzInput) {
        var rest = input
        transport.withDevice { (_) throws(DeviceFault) in try subject.act(&rest) }
        input = rest
    }

    /// A second thread changes two places again and again from now on.
    private func race(_ input: inout FuzzInput) {
        let changes = (0..<2).map { _ in (input.address(), input.oddNumber(), input.oddNumber()) }
        let times = 1 + input.choice(Self.mostChanges)
        hasRaced = true
        host.racer.run { [memory] in
            for _ in 0..<times {
                for (address, one, other) in changes {
                    try? memory.write(one.bytes, to: address)
                    try? memory.write(other.bytes, to: address)
                }
            }
        }
    }

    // MARK: - The loop

    private func settleWorkers() {
        if subject.usesWorkers { FuzzHost.settle(host.workers) }
    }

    /// One turn, whether or not something is ready.
    private func turn() {
        loop.enqueue {}
        var isOver = false
        loop.runOnThisThread {
            defer { isOver = true }
            return isOver
        }
    }

    /// The driver and all threads have stopped: so does the device.
    private func rest() {
        var interests = transport.doorbells.map { Readiness.Interest($0.descriptor) }
        for _ in 0..<Self.mostTurns {
            settleWorkers()
            turn()
            do {
                try Readiness.wait(for: &interests, waits: false)
            } catch {
                preconditionFailure("looking at descriptors failed: \(error)")
            }
            if interests.allSatisfy({ !$0.isReady }) { return }
        }
        preconditionFailure("the device does not come to rest")
    }

    private func note() {
        let status = register(0x70)
        precondition(
            status & 64 == 0 || !transport.isRunning, "a device that failed does nothing")
        if case .hostFailed(let text) = transport.failure {
            preconditionFailure("the guest made something of the host's fail: \(text)")
        }
        outcomes.append(status)
        outcomes.append(transport.failure.map(Self.kind) ?? 0)
        outcomes += subject.outcome().map(Self.magnitude)
    }

    private static func magnitude(_ count: UInt64) -> UInt64 {
        UInt64(UInt64.bitWidth - count.leadingZeroBitCount)
    }

    private static func kind(_ fault: DeviceFault) -> UInt64 {
        switch fault {
        case .outsideMemory: 1
        case .badQueueSize: 2
        case .tooManyAvailable: 3
        case .descriptorOutsideTable: 4
        case .endlessChain: 5
        case .readableAfterWritable: 6
        case .emptyDescriptor: 7
        case .badIndirectTable: 8
        case .chainTooLong: 9
        case .badRequest: 10
        case .hostFailed: 11
        }
    }
}

extension UInt64 {
    /// The least first.
    fileprivate var bytes: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: self >> UInt64($0 * 8)) }
    }
}
