import LinuxKernel
import Testing

@Suite struct UnixSocketsTests {
    private func received(_ socket: borrowing Descriptor) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 64)
        guard case .bytes(let count) = UnixSockets.receive(socket.rawValue, into: &buffer) else {
            return nil
        }
        return Array(buffer.prefix(count))
    }

    @Test("what was looked at is still there to be received")
    func peek() throws {
        let numbers = try UnixSockets.makePair()
        let first = Descriptor(owning: numbers.0)
        let second = Descriptor(owning: numbers.1)
        guard case .bytes(3) = UnixSockets.send([1, 2, 3], from: 0, to: first.rawValue) else {
            Issue.record("three bytes fit")
            return
        }
        var buffer: [UInt8] = [0, 0]
        guard case .bytes(2) = UnixSockets.peek(second.rawValue, into: &buffer) else {
            Issue.record("two bytes are there")
            return
        }
        #expect(buffer == [1, 2])
        #expect(received(second) == [1, 2, 3])
        guard case .wouldBlock = UnixSockets.peek(second.rawValue, into: &buffer) else {
            Issue.record("nothing is there")
            return
        }
    }

    @Test("parts are sent in their order, and to a closed peer with an error and no signal")
    func parts() throws {
        let numbers = try UnixSockets.makePair()
        let first = Descriptor(owning: numbers.0)
        let second = Descriptor(owning: numbers.1)
        let mapping = try MemoryMapping.anonymous(count: 4096)
        mapping.store([1, 2, 3, 4], at: 0)
        let parts = [
            MemoryPart(address: mapping.address + 2, count: 2),
            MemoryPart(address: mapping.address, count: 1),
        ]
        guard case .bytes(3) = UnixSockets.send(parts, to: first.rawValue) else {
            Issue.record("three bytes fit")
            return
        }
        #expect(received(second) == [3, 4, 1])
        _ = consume second
        guard case .failed(.brokenPipe) = UnixSockets.send(parts, to: first.rawValue) else {
            Issue.record("nobody receives")
            return
        }
    }

    @Test("a half of a connection ends by itself")
    func halves() throws {
        let numbers = try UnixSockets.makePair()
        let first = Descriptor(owning: numbers.0)
        let second = Descriptor(owning: numbers.1)
        UnixSockets.shutDown(.sending, of: first.rawValue)
        #expect(received(second) == [])
        guard case .bytes(1) = UnixSockets.send([7], from: 0, to: second.rawValue) else {
            Issue.record("the other half goes on")
            return
        }
        #expect(received(first) == [7])
        UnixSockets.shutDown(.receiving, of: first.rawValue)
        guard case .failed(.brokenPipe) = UnixSockets.send([7], from: 0, to: second.rawValue)
        else {
            Issue.record("nobody receives")
            return
        }
    }
}
