import Glibc
import LinuxKernel
import Netlink

/// A socket in a network namespace, for one end of what a test sends. It waits at most some seconds
/// for what should come.
final class TestSocket {
    enum Kind {
        case datagrams
        case stream
    }

    struct Failure: Error, Equatable {
        let call: String
        let errorNumber: Int32
    }

    struct Message: Equatable {
        let text: String
        let address: IPv4Address
        let port: UInt16
    }

    private let descriptor: Descriptor

    init(_ kind: Kind, in namespace: NetworkNamespace) throws {
        let type = kind == .datagrams ? SOCK_DGRAM : SOCK_STREAM
        let number = try namespace.enter { () throws(SystemCallError) in
            socket(AF_INET, Int32(type.rawValue), 0)
        }
        descriptor = Descriptor(owning: number)
        try Self.check(number, "socket")
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            // SAFETY: the call reads the structure, whose size it is given.
            let result = unsafe setsockopt(
                number, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
            try Self.check(result, "setsockopt")
        }
    }

    /// Too large packets are an error from now on, wherever on their way they are.
    func forbidFragments() throws {
        // IP_MTU_DISCOVER: IP_PMTUDISC_DO
        var value: Int32 = 2
        // SAFETY: the call reads the number, whose size it is given.
        try Self.check(
            unsafe setsockopt(descriptor.rawValue, Int32(IPPROTO_IP), 10, &value, 4),
            "setsockopt")
    }

    private init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    private static func check(_ result: Int32, _ call: String) throws {
        if result < 0 { throw Failure(call: call, errorNumber: errno) }
    }

    private func withAddress(
        _ address: IPv4Address, _ port: UInt16,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var name = sockaddr_in()
        name.sin_family = UInt16(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.rawValue.bigEndian
        // SAFETY: an address of version 4 is one of those that `sockaddr` stands for; the pointer
        // is used within the closure.
        return unsafe withUnsafePointer(to: &name) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    func bind(_ address: IPv4Address, _ port: UInt16) throws {
        let number = descriptor.rawValue
        // SAFETY: the call reads the address.
        try Self.check(
            unsafe withAddress(address, port) { unsafe Glibc.bind(number, $0, $1) }, "bind")
    }

    func connect(_ address: IPv4Address, _ port: UInt16) throws {
        let number = descriptor.rawValue
        // SAFETY: the call reads the address.
        try Self.check(
            unsafe withAddress(address, port) { unsafe Glibc.connect(number, $0, $1) }, "connect")
    }

    func listen() throws {
        try Self.check(Glibc.listen(descriptor.rawValue, 16), "listen")
    }

    func accept() throws -> TestSocket {
        let number = Glibc.accept(descriptor.rawValue, nil, nil)
        try Self.check(number, "accept")
        return TestSocket(Descriptor(owning: number))
    }

    func send(_ text: String, to address: IPv4Address, _ port: UInt16) throws {
        let bytes = Array(text.utf8)
        let number = descriptor.rawValue
        // SAFETY: the call reads the bytes and the address.
        let result = unsafe withAddress(address, port) { name, size in
            Int32(unsafe sendto(number, bytes, bytes.count, 0, name, size))
        }
        try Self.check(result, "sendto")
    }

    func send(_ bytes: [UInt8]) throws {
        // SAFETY: the call reads the bytes.
        let result = unsafe Glibc.send(descriptor.rawValue, bytes, bytes.count, 0)
        try Self.check(Int32(result), "send")
    }

    /// Nothing more is sent.
    func finish() { _ = shutdown(descriptor.rawValue, Int32(SHUT_WR)) }

    /// The next message, and who sent it. Nothing when none is there and none is waited for.
    func receive(waiting: Bool = true) throws -> Message? {
        var bytes = [UInt8](repeating: 0, count: 2048)
        var name = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let number = descriptor.rawValue
        let flags = waiting ? 0 : Int32(MSG_DONTWAIT)
        // SAFETY: the call writes at most as many bytes as the array has, and an address of version
        // 4, for which there is room.
        let result = unsafe withUnsafeMutablePointer(to: &name) { name in
            unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe recvfrom(number, &bytes, bytes.count, flags, $0, &size)
            }
        }
        if result < 0, !waiting, errno == EAGAIN { return nil }
        try Self.check(Int32(result), "recvfrom")
        return Message(
            text: String(decoding: bytes.prefix(result), as: UTF8.self),
            address: IPv4Address(rawValue: name.sin_addr.s_addr.bigEndian),
            port: name.sin_port.bigEndian)
    }

    /// Everything up to the end of a stream.
    func receiveAll() throws -> [UInt8] {
        var all: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            // SAFETY: the call writes at most as many bytes as the array has.
            let result = unsafe recv(descriptor.rawValue, &bytes, bytes.count, 0)
            try Self.check(Int32(result), "recv")
            if result == 0 { return all }
            all += bytes.prefix(result)
        }
    }
}

/// Sends on another thread what a test's thread receives.
final class Sender: @unchecked Sendable {
    private let socket: TestSocket

    init(_ socket: TestSocket) { self.socket = socket }

    func send(_ bytes: [UInt8]) {
        try? socket.send(bytes)
        socket.finish()
    }
}

/// The end of a microVM's link, as its monitor has it.
enum Frames {
    /// Sends a frame, after a header that says nothing.
    static func send(_ frame: [UInt8], to tap: Int32) -> Bool {
        let bytes = [UInt8](repeating: 0, count: TapDevice.headerBytes) + frame
        // SAFETY: the call reads the bytes.
        return unsafe write(tap, bytes, bytes.count) == bytes.count
    }

    /// The next frame that has come, without its header.
    static func receive(from tap: Int32) -> [UInt8]? {
        var ready = pollfd(fd: tap, events: Int16(POLLIN), revents: 0)
        // SAFETY: the call writes to the one structure.
        guard unsafe poll(&ready, 1, 10000) == 1 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 2048)
        // SAFETY: the call writes at most as many bytes as the array has.
        let count = unsafe read(tap, &bytes, bytes.count)
        return count < TapDevice.headerBytes
            ? nil : Array(bytes[TapDevice.headerBytes..<count])
    }
}
