import AgentAPI
import Foundation
import LinuxKernel
import Netlink
import TestSupport
import Testing

@testable import ProxyNode

@Suite("The kernel of a proxy node", .needs(.root, .netAdmin, .sysAdmin, .ip))
final class KernelHostTests {
    private let place: Place
    private let folder: URL

    init() throws {
        place = try Place()
        folder = try FakeProxy.makeFolder()
        try place.ip("link add br7 type bridge")
        try place.ip("link add wire type veth peer name eth7")
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// One that knows nothing yet, as after a start.
    private func host() throws -> KernelHost {
        let folder = folder
        let host = Locked<KernelHost?>(nil)
        try place.namespace.enter { () throws(SystemCallError) in
            let made = try? KernelHost(directory: folder.path)
            host.with { $0 = made }
        }
        return try #require(host.with { $0 })
    }

    private static let uplinks: [AgentAPI.Uplink.Kind] = [
        .veth(.init(peer: "up7", bridge: "br7")), .macvlan(.init(parent: "wire")),
        .link(.init(name: "eth7")),
    ]

    private func wanted(_ uplink: AgentAPI.Uplink.Kind) throws -> WantedNetwork {
        let network = try Samples.network {
            $0.uplink?.kind = uplink
            $0.prefixes = ["10.1.0.0/24", "10.2.0.0/16", "10.3.0.0/16"]
            $0.egressAddresses = ["10.1.0.5", "10.1.0.6", "198.51.100.7"]
        }
        return WantedNetwork(
            network, nodes: try (2...4).map { try Samples.node($0, in: network) })
    }

    @Test("after any step the next proxy makes the rest, and once more nothing", arguments: uplinks)
    func interrupted(uplink: AgentAPI.Uplink.Kind) throws {
        let wanted = try wanted(uplink)
        let before = try place.links()
        let steps = NetworkPlan.steps(from: nil, to: wanted)
        for count in 0...steps.count {
            try host().perform(Array(steps.prefix(count)), for: "blue")
            let next = try host()
            _ = try next.settle(wanted)
            let found = try #require(try host().find("blue"))
            #expect(
                NetworkPlan.steps(from: found, to: wanted) == [], "after \(count) of \(steps)")
            try host().remove("blue", uplink: wanted.uplink)
            #expect(try place.links() == before)
            #expect(try next.networks() == [])
        }
    }

    @Test("after any step what was begun can be taken away, by who knows nothing of it too")
    func takenAway() throws {
        for (number, uplink) in Self.uplinks.enumerated() {
            let wanted = try wanted(uplink)
            let before = try place.links()
            let steps = NetworkPlan.steps(from: nil, to: wanted)
            for count in 0...steps.count {
                try host().perform(Array(steps.prefix(count)), for: "blue")
                let knows = (count + number).isMultiple(of: 2)
                try host().remove("blue", uplink: knows ? wanted.uplink : nil)
                #expect(try place.links() == before, "after \(count) of \(steps)")
                #expect(try host().networks() == [])
            }
        }
    }

    @Test("a removal that was interrupted is gone on with")
    func removal() throws {
        let wanted = try wanted(Self.uplinks[2])
        let before = try place.links()
        for count in 0...3 {
            _ = try host().settle(wanted)
            let found = try host().find("blue")
            let steps = NetworkPlan.removal(of: found, uplink: wanted.uplink)
            try host().perform(Array(steps.prefix(count)), for: "blue")
            try host().remove("blue", uplink: wanted.uplink)
            #expect(try place.links() == before)
            #expect(try host().networks() == [])
        }
    }

    @Test(
        "each node's change by itself is what is found, and what is wrong is mended", .needs(.nft))
    func changes() throws {
        let wanted = try wanted(Self.uplinks[0])
        let host = try host()
        _ = try host.settle(wanted)
        let peer = TunnelPeer(
            address: IPv4Address(100, 96, 7, 7), hardware: LinkAddress(local: 7),
            underlay: IPv4Address(192, 0, 2, 77))
        let moved = TunnelPeer(
            address: peer.address, hardware: LinkAddress(local: 8),
            underlay: IPv4Address(192, 0, 2, 78))
        var expected = try #require(try host.find("blue"))
        for (former, next) in [(nil, peer), (peer, moved), (moved, nil)] {
            let steps = NetworkPlan.exchange(former, for: next, by: wanted.rules)
            try host.perform(steps, for: "blue")
            for step in steps { expected.take(step) }
            #expect(try host.find("blue") == expected)
        }
        let inside = "--net=\(host.path(of: "blue"))"
        for words in [
            "ip link delete tunnel", "ip link set uplink down", "ip address flush dev uplink",
            "nft flush ruleset", "ip neighbour flush dev tunnel nud permanent",
            "bridge fdb delete 02:ac:64:60:00:02 dev tunnel dst 192.0.2.2",
            "ip link set tunnel mtu 1300", "ip link delete uplink",
            "sysctl -qw net.ipv4.ip_forward=0",
        ] {
            let broken = try run(
                "nsenter", arguments: [inside] + words.split(separator: " ").map(String.init))
            #expect(broken.succeeded, "\(words): \(broken)")
            #expect(try self.host().settle(wanted) > 0, "\(words)")
            #expect(try self.host().settle(wanted) == 0, "\(words)")
        }
        try host.remove("blue", uplink: wanted.uplink)
    }
}
