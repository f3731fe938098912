import Foundation
import Glibc
import LinuxKernel
import TestSupport
import Testing
import Virtio

/// In a network namespace of the test's own, which goes away with its last user.
@Suite(.needs(.root, .netAdmin, .sysAdmin, .tun)) struct TapDeviceTests {
    private func makeNamespace() throws -> NetworkNamespace {
        try #require(try NetworkNamespace.make(count: 1).first)
    }

    /// `struct ifreq`: a name, then what a request is about.
    private typealias Request = (UInt64, UInt64, UInt64, UInt64, UInt64)

    /// Gives `tap0` an address and brings it up. The socket of the family asks for it.
    private func raise(in namespace: NetworkNamespace) throws {
        let socket = try namespace.enter { () throws(SystemCallError) in
            Descriptor(owning: Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0))
        }
        let name = UInt64(littleEndian: 0x3070_6174)
        // struct sockaddr_in: AF_INET, no port, 10.9.8.1. SIOCSIFADDR
        var address: Request = (name, 0, 0x0108_090a_0000_0002, 0, 0)
        try socket.control(0x8916, with: &address, name: "SIOCSIFADDR")
        // IFF_UP | IFF_RUNNING. SIOCSIFFLAGS
        var flags: Request = (name, 0, 0x41, 0, 0)
        try socket.control(0x8914, with: &flags, name: "SIOCSIFFLAGS")
    }

    /// Who has 10.9.8.1? Tell 10.9.8.2.
    private func question(from address: HardwareAddress) -> [UInt8] {
        [UInt8](repeating: 0xff, count: 6) + address.bytes + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
            + address.bytes + [10, 9, 8, 2] + [UInt8](repeating: 0, count: 6) + [10, 9, 8, 1]
    }

    @Test("the host's kernel answers a guest, and what the guest agreed on is told to it")
    func answers() throws {
        let namespace = try makeNamespace()
        let address = try #require(GuestNetwork.address)
        let device = try NetworkDevice(
            .open("tap0", in: namespace), NetworkDevice.Settings(address))
        try raise(in: namespace)
        let guest = try GuestNetwork(device)
        try guest.offer(0..<60, bytes: 1526)
        try guest.send(question(from: address))
        // Whatever else the kernel has to say on a new link.
        try guest.run {
            guest.frames.contains {
                Array($0.dropFirst(12).prefix(10)) == [8, 6, 0, 1, 8, 0, 6, 4, 0, 2]
            }
        }
        let answer = try #require(guest.frames.first { $0[12] == 8 && $0[13] == 6 && $0[21] == 2 })
        #expect(Array(answer[28..<32]) == [10, 9, 8, 1])
        #expect(Array(answer[0..<6]) == address.bytes)
        #expect(guest.counters.refused == 0 && guest.counters.invalid == 0)
    }

    @Test("a link that is down refuses frames, and the guest goes on")
    func down() throws {
        let namespace = try makeNamespace()
        let address = try #require(GuestNetwork.address)
        let device = try NetworkDevice(
            .open("tap0", in: namespace), NetworkDevice.Settings(address))
        let guest = try GuestNetwork(device)
        for _ in 0..<40 { #expect(try guest.send(question(from: address))) }
        #expect(guest.counters.refused == 40)
        #expect(guest.driver.transport.failure == nil)
    }

    @Test("one that was handed over is taken, and what is no TAP with a header is not")
    func adopted() throws {
        let namespace = try makeNamespace()
        let tap = try TapDevice.open("tap0", in: namespace)
        let again = try TapDevice(adopting: try tap.descriptor.duplicate())
        try TapDevice.set([.checksum, .segmentation4], of: again.descriptor)
        #expect(throws: SystemCallError.self) {
            _ = try TapDevice(adopting: try Files.open("/dev/null", .readWrite))
        }
        #expect(throws: SystemCallError.self) {
            _ = try TapDevice(adopting: try UnixSockets.make())
        }
        // It has somebody at its other end.
        #expect(throws: SystemCallError.self) { _ = try TapDevice.open("tap0", in: namespace) }
        for name in ["", "a%d", "sixteen-letters!", "a\0b"] {
            #expect(throws: SystemCallError.self) {
                _ = try TapDevice.open(name, in: namespace)
            }
        }
    }

    @Test("nothing is left when its owner is gone, and the thread is where it was")
    func nothingLeft() throws {
        let namespace = try makeNamespace()
        func links() throws -> String {
            try namespace.enter { () throws(SystemCallError) in
                try Files.read("/proc/thread-self/net/dev")
            }
        }
        let before = try links()
        let own = try Files.linkTarget("/proc/thread-self/ns/net")
        let tap = try TapDevice.open("tap0", in: namespace)
        #expect(try links().contains("tap0"))
        _ = consume tap
        #expect(try links() == before)
        #expect(try Files.linkTarget("/proc/thread-self/ns/net") == own)
    }
}
