import Foundation
import GuestMemory
import KVM
import LinuxKernel
import TestSupport
import Testing
import Virtio

@testable import Machine

/// Machines of a few instructions that are saved and go on elsewhere.
@Suite struct SnapshotTests {
    private static let counter = GuestAddress(rawValue: 0x20_0000)

    /// Two files without names.
    final class Place {
        let memory: Descriptor
        let state: Descriptor

        init() throws {
            memory = try MemoryFile.make("memory")
            state = try MemoryFile.make("state")
        }

        /// - Parameter base: that of the whole snapshot below.
        func files(above base: Place? = nil) throws -> SnapshotFiles {
            let below: Descriptor? = if let base { try base.memory.duplicate() } else { nil }
            return SnapshotFiles(
                memory: try memory.duplicate(), state: try state.duplicate(), base: below)
        }

        func bytes() throws -> [UInt8] {
            try state.read(atMost: Snapshot.mostBytes, at: 0, subject: "state")
        }
    }

    private func save(
        _ running: RunningMachine, to place: Place, changesAlone: Bool = false,
        program: [UInt8] = []
    ) throws -> Snapshot {
        let workers = try Workers(threads: 1, queue: 4, named: "disk")
        defer { workers.stop() }
        running.pause()
        let map =
            changesAlone ? SharedFile(try Files.open("/proc/self/pagemap", .readOnly)) : nil
        return try running.save(to: place.files(), by: workers, changesBy: map) { program }
    }

    /// A machine that goes on with a snapshot, with the devices given.
    private func restore(
        _ place: Place, above base: Place? = nil, in machine: TinyMachine, isHeld: Bool = false,
        devices: [any VirtioDevice] = [], isMemoryLate: Bool = false
    ) throws -> RunningMachine {
        let files = try place.files(above: base)
        let snapshot = try files.read()
        var prepared = try PreparedMachine.blank(
            snapshot.configuration, on: System.open(), loop: machine.loop,
            memoryOf: isMemoryLate ? nil : (snapshot, files))
        for device in devices { try prepared.attach(device) }
        try prepared.adopt(snapshot, from: files)
        let ends = machine.ends
        let loop = machine.loop
        return try prepared.start(isHeld: isHeld, console: machine.console) { end in
            ends.with { $0.append(end) }
            loop.enqueue {}
        }
    }

    @Test("a guest goes on where it was saved, in as many machines as are made", .needs(.kvm))
    func goesOn() throws {
        let place = try Place()
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.count(at: Self.counter.rawValue)
        let running = try machine.start(guest, in: machine.prepare())
        while try running.memory.load32(Self.counter) < 10 {}
        let snapshot = try save(running, to: place, program: [1, 2, 3])
        let value = try running.memory.load32(Self.counter)
        #expect(snapshot.memory.pages < 10)
        // It goes on itself, too, and its changes are not in the file.
        running.resume()
        while try running.memory.load32(Self.counter) < value + 10 {}
        running.stop()

        for isMemoryLate in [false, true, false] {
            let clone = try TinyMachine()
            let copy = try restore(
                place, in: clone, isHeld: true, isMemoryLate: isMemoryLate)
            #expect(try copy.memory.load32(Self.counter) == value)
            copy.resume()
            while try copy.memory.load32(Self.counter) < value + 10 {}
            copy.pause()
            copy.stop()
        }
        #expect(try place.files().read() == snapshot)
        #expect(snapshot.program == [1, 2, 3])
        let memory = try GuestMemory.room(bytes: 4 << 20)
        try memory.takeOver(place.memory)
        #expect(memory.summary() == snapshot.memory)
    }

    @Test("all that a processor is comes out of another one as it went in", .needs(.kvm))
    func wholeState() throws {
        let place = try Place()
        let machine = try TinyMachine()
        var guest = TinyGuest()
        // Registers that are none of a new processor's, a debug register too.
        guest.setUpRegisters()
        guest.count(at: Self.counter.rawValue)
        let running = try machine.start(guest, in: machine.prepare())
        while try running.memory.load32(Self.counter) == 0, machine.ends.with({ $0.isEmpty }) {}
        let first = try save(running, to: place)
        running.stop()
        let clone = try TinyMachine()
        let copy = try restore(place, in: clone, isHeld: true)
        let second = try save(copy, to: try Place())
        copy.stop()

        #expect(second.processors[0].features == first.processors[0].features)
        for part in ProcessorState.Part.allCases {
            #expect(
                first.processors[0].state[part] == second.processors[0].state[part], "\(part)")
        }
        // What counts goes on; all the rest is the same.
        let counting: Set<UInt32> = [0x10]
        let (before, after) = (first.processors[0].state, second.processors[0].state)
        #expect(before.modelRegisters.count == after.modelRegisters.count)
        for (one, other) in zip(before.modelRegisters, after.modelRegisters)
        where !counting.contains(one.number) {
            #expect(one == other)
        }
        let counters = [before, after].map { state in
            state.modelRegisters.first { $0.number == 0x10 }?.value ?? 0
        }
        #expect(counters[1] >= counters[0] && counters[0] > 0)
        #expect(second.machine.interruptControllers == first.machine.interruptControllers)
        #expect(second.machine.clock >= first.machine.clock)
        #expect(second.memory == first.memory)
    }

    @Test("an access to a device that was under way ends before it is saved", .needs(.kvm))
    func pendingAccess() throws {
        // It reads a register of the device again and again, and keeps what it reads: a zero would
        // be an answer that was lost.
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.readAndCheck(0xd000_0000, is: 0x7472_6976, counting: Self.counter.rawValue)
        var prepared = try machine.prepare()
        try prepared.attach(EntropyDevice())
        var running = try machine.start(guest, in: prepared)
        var value: UInt32 = 0
        for _ in 0..<10 {
            while try running.memory.load32(Self.counter) == value {}
            let here = try Place()
            _ = try save(running, to: here)
            value = try running.memory.load32(Self.counter)
            running.stop()
            running = try restore(here, in: TinyMachine(), devices: [EntropyDevice()])
            #expect(machine.ends.with { $0.isEmpty })
        }
        running.pause()
        running.stop()
    }

    @Test("the pages that a guest used are told, and are loaded for another", .needs(.kvm))
    func workingSet() throws {
        let place = try Place()
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.count(at: Self.counter.rawValue)
        let running = try machine.start(guest, in: machine.prepare())
        while try running.memory.load32(Self.counter) == 0 {}
        let snapshot = try save(running, to: place)
        running.stop()
        let map = try Files.open("/proc/self/pagemap", .readOnly)
        let copy = try restore(place, in: TinyMachine(), isHeld: true)
        let before = try copy.workingSet(by: map, identity: snapshot.identity)
        #expect(WorkingSetFile.read(before.bytes, identity: snapshot.identity)?.runs == [])
        let value = try copy.memory.load32(Self.counter)
        copy.resume()
        while try copy.memory.load32(Self.counter) == value {}
        copy.pause()
        let told = try copy.workingSet(by: map, identity: snapshot.identity)
        copy.stop()
        let set = try #require(WorkingSetFile.read(told.bytes, identity: snapshot.identity))
        #expect(set.runs.count == told.pieces)
        let isIn = { (address: UInt64, isWritten: Bool) in
            set.runs.contains {
                $0.isWritten == isWritten
                    && (UInt64($0.first)..<UInt64($0.first + $0.count))
                        .contains(address / 4096)
            }
        }
        #expect(isIn(Self.counter.rawValue, true) && isIn(TinyGuest.start.rawValue, false))

        // Loaded, it is what was used.
        let memory = try GuestMemory.restored(from: place.memory, bytes: 4 << 20)
        memory.populate(set)
        let loaded = try memory.used(map)
        for run in set.runs where run.isWritten { #expect(loaded.runs.contains(run)) }
        // What is not of this memory is left out; what is damaged, or another's, is none.
        memory.populate(WorkingSet([.init(first: .max, count: .max, isWritten: true)]))
        #expect(WorkingSetFile.read(told.bytes, identity: [1]) == nil)
        for place in told.bytes.indices {
            var bytes = told.bytes
            bytes[place] ^= 4
            #expect(WorkingSetFile.read(bytes, identity: snapshot.identity) == nil)
        }
    }

    @Test("a snapshot of changes has them alone, and is one with the whole one below", .needs(.kvm))
    func changes() throws {
        let (base, above) = (try Place(), try Place())
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.count(at: Self.counter.rawValue)
        let running = try machine.start(guest, in: machine.prepare())
        while try running.memory.load32(Self.counter) == 0 {}
        let whole = try save(running, to: base)
        // It went on with none.
        #expect(throws: SnapshotError.self) {
            _ = try save(running, to: Place(), changesAlone: true)
        }
        running.stop()
        let copy = try restore(base, in: TinyMachine(), isHeld: true)
        // What was not zero and is, far from all else.
        let far = GuestAddress(rawValue: 0x3f_0000)
        try copy.memory.store32(5, far)
        try copy.memory.write(
            [UInt8](repeating: 0, count: 4096), to: GuestAddress(rawValue: 0x30_0000))
        let value = try copy.memory.load32(Self.counter)
        copy.resume()
        while try copy.memory.load32(Self.counter) == value {}
        let changed = try save(copy, to: above, changesAlone: true)
        let last = try copy.memory.load32(Self.counter)
        let all = copy.memory.summary()
        copy.stop()
        #expect(changed.isOfChanges && !whole.isOfChanges)
        #expect(changed.storedPages < whole.storedPages + 2)

        for isMemoryLate in [false, true] {
            let machine = try TinyMachine()
            let clone = try restore(
                above, above: base, in: machine, isHeld: true, isMemoryLate: isMemoryLate)
            #expect(try clone.memory.load32(Self.counter) == last)
            #expect(try clone.memory.load32(far) == 5)
            #expect(clone.memory.summary() == all)
            // No more than one above another.
            #expect(throws: SnapshotError.self) {
                _ = try save(clone, to: Place(), changesAlone: true)
            }
            clone.resume()
            while try clone.memory.load32(Self.counter) == last {}
            clone.stop()
        }
        // Without the one below, with another one, or where there is none.
        #expect(throws: SnapshotError.otherBase) { _ = try above.files().read() }
        #expect(throws: SnapshotError.otherBase) { _ = try above.files(above: above).read() }
        #expect(throws: SnapshotError.otherBase) { _ = try base.files(above: base).read() }
    }

    @Test("files that are not whole, or of something else, are refused", .needs(.kvm))
    func refusals() throws {
        let place = try Place()
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.count(at: Self.counter.rawValue)
        var prepared = try machine.prepare()
        try prepared.attach(EntropyDevice())
        let running = try machine.start(guest, in: prepared)
        let snapshot = try save(running, to: place)
        running.stop()
        let good = try place.bytes()
        #expect(try Snapshot(good) == snapshot)

        func refused(_ change: (inout [UInt8]) -> Void) -> SnapshotError? {
            var bytes = good
            change(&bytes)
            do throws(SnapshotError) {
                _ = try Snapshot(bytes)
                return nil
            } catch { return error }
        }
        #expect(refused { $0[0] = 0 } == .notOne)
        #expect(refused { $0 = [] } == .notOne)
        #expect(refused { $0[8] = 2 } == .unknownVersion(2))
        #expect(refused { $0[100] ^= 1 } == .badChecksum)
        #expect(refused { $0.removeLast() } == .damaged(.badLength))
        #expect(refused { $0.append(0) } == .damaged(.badLength))

        // Other devices.
        #expect(throws: SnapshotError.otherDevices(saved: 1, here: 0)) {
            _ = try restore(place, in: machine)
        }
        #expect(throws: SnapshotError.self) {
            _ = try restore(place, in: machine, devices: [BalloonDevice()])
        }
        // A memory that is cut short, or of another snapshot.
        let other = try Place()
        let second = try TinyMachine()
        let again = try second.start(guest, in: second.prepare())
        _ = try save(again, to: other)
        again.stop()
        let mixed = SnapshotFiles(
            memory: try other.memory.duplicate(), state: try place.state.duplicate())
        #expect(throws: SnapshotError.otherMemory) { _ = try mixed.read() }
        try place.memory.setSize(4 << 20)
        #expect(throws: SnapshotError.otherMemory) { _ = try place.files().read() }
    }

    @Test("whatever a file says, it is taken or refused", .needs(.kvm))
    func mutated() throws {
        let environment = ProcessInfo.processInfo.environment
        let inputs = environment["FUZZ_INPUTS"].flatMap { Int($0) } ?? 2000
        let place = try Place()
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.count(at: Self.counter.rawValue)
        var prepared = try machine.prepare()
        try prepared.attach(EntropyDevice())
        let running = try machine.start(guest, in: prepared)
        _ = try save(running, to: place, program: [1, 2, 3])
        running.stop()
        let good = try place.bytes()
        var random = SeededRandom(seed: 7)
        var taken = 0
        for input in 0..<inputs {
            var body = Array(good[32...])
            for _ in 0...random.next() % 3 {
                let place = Int(random.next() % UInt64(body.count))
                switch random.next() % 4 {
                case 0: body[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: body[place] ^= 1 << UInt8(random.next() % 8)
                case 2: body.removeSubrange(place..<min(body.count, place + 4))
                default: body.insert(0xff, at: place)
                }
            }
            // As whoever makes one would: with a good checksum.
            var head = StateWriter()
            head.put(Snapshot.version)
            head.put(0 as UInt32)
            head.put(UInt64(body.count))
            head.put(Checksum.of(body))
            guard let snapshot = try? Snapshot(good[..<8] + head.bytes + body) else { continue }
            taken += 1
            #expect(snapshot.bytes == good[..<8] + head.bytes + body)
            // Making a machine takes its time: some are tried.
            guard input % 50 == 0, snapshot.configuration.memoryBytes == 4 << 20,
                snapshot.processors.count == 1
            else { continue }
            var blank = try PreparedMachine.blank(
                snapshot.configuration, on: System.open(), loop: machine.loop)
            try blank.attach(EntropyDevice())
            try? blank.adopt(snapshot, from: place.files())
        }
        #expect(taken > inputs / 10)
    }

    @Test("what a host's processors lack is named")
    func features() {
        let shown = [
            CPUFeatures.Entry(
                function: 0, index: 0, flags: 0, eax: 7, ebx: 1, ecx: 2, edx: 3),
            CPUFeatures.Entry(
                function: 7, index: 0, flags: 1, eax: 0, ebx: 0x1_0020, ecx: 0, edx: 0),
        ]
        #expect(ProcessorFeatures.missing(of: shown, in: shown).isEmpty)
        let host = [
            shown[0],
            CPUFeatures.Entry(
                function: 7, index: 0, flags: 1, eax: 0, ebx: 0x20, ecx: 1, edx: 0),
        ]
        #expect(ProcessorFeatures.missing(of: shown, in: host) == ["cpuid 0x7.0 ebx bit 16"])
        #expect(ProcessorFeatures.missing(of: host, in: []).first == "the same maker")
    }

    @Test("the checksum is that of everybody else")
    func checksum() {
        #expect(Checksum.of([]) == 0xef46_db37_51d8_e999)
        #expect(Checksum.of(Array("abc".utf8)) == 0x44bc_2cf5_ad77_0999)
        #expect(
            Checksum.of(Array("Nobody inspects the spammish repetition".utf8))
                == 0xfbce_a83c_8a37_8bf1)
    }
}
