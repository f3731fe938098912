import GuestMemory
import KVM
import LinuxKernel
import Machine
import TestSupport
import Testing
import Virtio

@Suite struct RunningMachineTests {
    private static let counter: UInt64 = 0x20_0000

    @Test("a guest says something and switches itself off", .needs(.kvm))
    func console() throws {
        let machine = try TinyMachine()
        var guest = TinyGuest()
        for byte in "hello\n".utf8 { guest.out(0x3f8, byte) }
        guest.reset()
        let running = try machine.start(guest, in: machine.prepare())
        #expect(machine.runToEnd() == .reset)
        running.stop()
        #expect(machine.console.tail == "hello\n")
        #expect(running.exits.port == 7)
        #expect(machine.ends.with { $0.count } == 1)
    }

    @Test("a triple fault is the end", .needs(.kvm))
    func fault() throws {
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.fail()
        let running = try machine.start(guest, in: machine.prepare())
        #expect(machine.runToEnd() == .shutdown)
        running.stop()
    }

    @Test("a guest that never ends is paused, goes on, and is stopped", .needs(.kvm))
    func pause() throws {
        let machine = try TinyMachine()
        var guest = TinyGuest()
        guest.count(at: Self.counter)
        let running = try machine.start(guest, in: machine.prepare())
        let counter = GuestAddress(rawValue: Self.counter)
        var last: UInt32 = 0
        for _ in 0..<20 {
            // Whatever it does, it does not stand still.
            while try running.memory.load32(counter) == last {}
            running.pause()
            last = try running.memory.load32(counter)
            for _ in 0..<1000 { #expect(try running.memory.load32(counter) == last) }
            running.resume()
        }
        running.pause()
        running.stop()
        running.stop()
        #expect(machine.ends.with { $0.isEmpty })
        #expect(running.exits.interrupted >= 20)
    }

    @Test(
        "a guest finds a device in its window, rings, and is served and interrupted", .needs(.kvm))
    func device() throws {
        let machine = try TinyMachine()
        var prepared = try machine.prepare()
        let transport = try prepared.attach(EntropyDevice())
        let window: UInt64 = 0xd000_0000
        let layout = QueueLayout(
            size: 8, descriptors: GuestAddress(rawValue: 0x30_0000),
            available: GuestAddress(rawValue: 0x30_1000), used: GuestAddress(rawValue: 0x30_2000))
        let data: UInt64 = 0x30_3000
        // One request for 64 bytes, offered before the device is even found.
        try prepared.memory.store64(data, layout.descriptors)
        try prepared.memory.store64(2 << 32 | 64, layout.descriptors.advanced(by: 8))
        try prepared.memory.store16(1, layout.available.advanced(by: 2))

        var guest = TinyGuest()
        guest.copy(from: window, to: Self.counter)
        for value in [0, 1, 3] as [UInt32] { guest.store(value, window + 0x70) }
        guest.store(1, window + 0x24)
        guest.store(1, window + 0x20)
        guest.store(11, window + 0x70)
        guest.store(8, window + 0x38)
        for (offset, address) in [
            (0x80, layout.descriptors), (0x90, layout.available), (0xa0, layout.used),
        ] as [(UInt64, GuestAddress)] {
            guest.store(UInt32(address.rawValue), window + offset)
        }
        guest.store(1, window + 0x44)
        guest.store(15, window + 0x70)
        guest.store(0, window + 0x50)
        guest.await(layout.used.rawValue + 2, is: 1)
        guest.copy(from: window + 0x60, to: Self.counter + 4)
        // Where no device is.
        guest.copy(from: window + 0x1000, to: Self.counter + 8)
        guest.store(1, window + 0x1000)
        guest.reset()
        let running = try machine.start(guest, in: prepared)
        #expect(machine.runToEnd() == .reset)
        running.stop()
        #expect(transport.failure == nil)
        let memory = running.memory
        #expect(try memory.load32(GuestAddress(rawValue: Self.counter)) == 0x7472_6976)
        #expect(try memory.load32(GuestAddress(rawValue: Self.counter + 8)) == .max)
        #expect(try memory.load32(layout.used.advanced(by: 8)) == 64)
        let bytes = try memory.bytes(in: GuestRange(GuestAddress(rawValue: data), count: 64))
        #expect(Set(bytes).count > 8)
        // The doorbell is none: the kernel takes it.
        #expect(running.exits.memory == 16)
    }

    @Test("many machines come and go, and leave no descriptor and no thread", .needs(.kvm))
    func leaks() throws {
        func count(_ directory: String) throws -> Int {
            try DirectoryListing.names(in: "/proc/self/" + directory).count
        }
        func life() throws {
            let machine = try TinyMachine()
            var prepared = try machine.prepare()
            try prepared.attach(EntropyDevice())
            var guest = TinyGuest()
            guest.reset()
            let running = try machine.start(guest, in: prepared)
            #expect(machine.runToEnd() == .reset)
            running.stop()
        }
        try life()
        // Other tests run beside this one: what leaks leaks each time.
        let before = try count("fd")
        for _ in 0..<40 { try life() }
        #expect(try count("fd") < before + 40)
    }

    @Test("sizes that are none are refused", .needs(.kvm))
    func sizes() throws {
        let machine = try TinyMachine()
        for (bytes, processors) in [
            (1 << 20, 1), ((4 << 20) + 1, 1), (1 << 43, 1), (4 << 20, 0), (4 << 20, 33),
        ] as [(UInt64, Int)] {
            #expect(throws: MachineError.self) {
                _ = try PreparedMachine(
                    MachineConfiguration(memoryBytes: bytes, processors: processors),
                    on: .open(), loop: machine.loop)
            }
        }
    }
}
