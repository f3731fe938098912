import GuestMemory
import Testing
import Virtio

@Suite struct VirtioTransportTests {
    @Test("a driver finds the device, agrees on features, and is served")
    func life() throws {
        let driver = try TestDriver(EntropyDevice())
        #expect(driver.register(0) == 0x7472_6976)
        #expect(driver.register(4) == 2)
        #expect(driver.register(8) == VirtioKind.entropy.rawValue)
        #expect(!driver.transport.isRunning)
        driver.begin()
        #expect(driver.status == 15)
        let bytes = try driver.request(room: [16, 48], to: 0)
        #expect(bytes.count == 64)
        #expect(Set(bytes).count > 8)
        #expect(driver.register(0x60) == 1)
        driver.set(0x64, 1)
        #expect(driver.register(0x60) == 0)
        driver.set(0x70, 0)
        #expect(driver.status == 0 && !driver.transport.isRunning)
        driver.begin()
        #expect(try driver.request(room: [5], to: 0).count == 5)
    }

    @Test("features that were not offered, or too few, are not agreed on")
    func features() throws {
        let driver = try TestDriver(EntropyDevice())
        driver.set(0x70, 3)
        driver.set(0x24, 1)
        driver.set(0x20, 1 | 1 << 20)
        driver.set(0x70, 11)
        #expect(driver.status == 3)
        driver.set(0x20, 0)
        driver.set(0x70, 11)
        #expect(driver.status == 3)
        driver.set(0x20, 1)
        driver.set(0x70, 11)
        #expect(driver.status == 11)
    }

    @Test("a driver that begins without agreement has a failed device, until it resets it")
    func hasty() throws {
        let driver = try TestDriver(EntropyDevice())
        driver.set(0x70, 7)
        #expect(driver.status & 64 != 0)
        #expect(driver.transport.failure != nil)
        #expect(driver.register(0x60) == 2)
        driver.set(0x70, 15)
        #expect(!driver.transport.isRunning)
        driver.begin()
        #expect(try driver.request(room: [5], to: 0).count == 5)
    }

    @Test("a queue larger than the device has, or outside of memory, fails the device")
    func badQueues() throws {
        let driver = try TestDriver(EntropyDevice())
        driver.begin(queueSize: 128)
        #expect(driver.transport.failure == .badQueueSize(128))
        for size in [0, 3, 17] as [UInt16] {
            let driver = try TestDriver(EntropyDevice())
            driver.begin(queueSize: size)
            #expect(driver.transport.failure == .badQueueSize(size))
        }
    }

    @Test("what is read of other sizes, or where nothing is, is zero")
    func oddReads() throws {
        let driver = try TestDriver(EntropyDevice())
        #expect(driver.transport.read(at: 0, count: 1) == 0)
        #expect(driver.transport.read(at: 2, count: 4) == 0)
        #expect(driver.transport.read(at: 0xffc, count: 8) == 0)
        driver.transport.write(.max, at: 0xffc, count: 8)
        driver.transport.write(9, at: 0x50, count: 4)
        #expect(driver.transport.failure == nil)
    }
}
