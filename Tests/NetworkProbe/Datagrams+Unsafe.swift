import Glibc
import LinuxKernel
import Netlink

/// A socket for datagrams in a namespace, which waits at most ten seconds for one.
final class Datagrams {
    private let descriptor: Descriptor
    private var peer = sockaddr_in()

    init(in namespace: NetworkNamespace) throws {
        descriptor = try namespace.enter { () throws(SystemCallError) in
            Descriptor(owning: socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0))
        }
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        // SAFETY: the call reads the structure, whose size it is given.
        _ = unsafe setsockopt(
            descriptor.rawValue, SOL_SOCKET, SO_RCVTIMEO, &patience,
            socklen_t(MemoryLayout<timeval>.size))
    }

    private static func name(_ address: IPv4Address, _ port: UInt16) -> sockaddr_in {
        var name = sockaddr_in()
        name.sin_family = UInt16(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.rawValue.bigEndian
        return name
    }

    func bind(_ address: IPv4Address, _ port: UInt16) {
        var name = Self.name(address, port)
        let number = descriptor.rawValue
        // SAFETY: an address of version 4 is one of those that `sockaddr` stands for; the call
        // reads it.
        _ = unsafe withUnsafePointer(to: &name) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.bind(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    func aim(at address: IPv4Address, _ port: UInt16) { peer = Self.name(address, port) }

    /// Sends a byte to whom it was aimed at, or to whom the last came from.
    func send() -> Bool {
        let number = descriptor.rawValue
        var byte: UInt8 = 7
        // SAFETY: the call reads the byte and the address.
        return unsafe withUnsafePointer(to: &peer) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe sendto(number, &byte, 1, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        } == 1
    }

    func receive() -> Bool {
        let number = descriptor.rawValue
        var byte: UInt8 = 0
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // SAFETY: the call writes the byte, and an address for which there is room.
        return unsafe withUnsafeMutablePointer(to: &peer) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe recvfrom(number, &byte, 1, 0, $0, &size)
            }
        } == 1
    }
}
