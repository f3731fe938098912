import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin)) struct PolicyTests {
    private let lab: Lab
    private let sandbox: Sandbox
    private let server: TestSocket

    init() throws {
        lab = try Lab()
        sandbox = try lab.slot()
        server = try lab.listener()
    }

    /// Which of the ports, of those that the world listens on, a datagram reaches. A datagram of
    /// another sandbox behind it shows that none is still on its way.
    private func reached(_ ports: [UInt16], _ listeners: [TestSocket]) throws -> [UInt16] {
        let client = try sandbox.datagrams()
        for port in ports { try client.send("\(port)", to: Lab.server, port) }
        try lab.slot().datagrams().send("end", to: Lab.server, 5000)
        #expect(try server.receive()?.text == "end")
        return try zip(ports, listeners).compactMap { port, listener in
            try listener.receive(waiting: false)?.text == "\(port)" ? port : nil
        }
    }

    private func set(_ rules: [EgressRule]) throws {
        try lab.network.change(sandbox.slot.index) { $0.rules = rules }
    }

    @Test("of a sandbox's rules the first that applies decides, by prefix, port and protocol")
    func rules() throws {
        let ports: [UInt16] = [6000, 6001, 6002]
        let listeners = try ports.map { try lab.listener(port: $0) }
        let world = try #require(IPv4Prefix("198.51.100.0/24"))
        #expect(try reached(ports, listeners) == ports)
        try set([EgressRule(.deny, transport: .udp, ports: 6000...6001)])
        #expect(try reached(ports, listeners) == [6002])
        try set([
            EgressRule(.allow, world, transport: .udp, ports: 6001...6001),
            EgressRule(.deny, world),
        ])
        #expect(try reached(ports, listeners) == [6001])
        try set([EgressRule(.deny, transport: .tcp)])
        #expect(try reached(ports, listeners) == ports)
        try set([])
        #expect(try reached(ports, listeners) == ports)
    }

    @Test("without the world, what a rule allows is all that is reached")
    func allowed() throws {
        let ports: [UInt16] = [6000, 6001]
        let listeners = try ports.map { try lab.listener(port: $0) }
        try lab.network.change(sandbox.slot.index) {
            $0.isPublic = false
            $0.rules = [
                EgressRule(.allow, IPv4Prefix(Lab.server), transport: .udp, ports: 6001...6001)
            ]
        }
        #expect(try reached(ports, listeners) == [6001])
        #expect(try lab.drops(.notAllowed) == 1)
    }

    @Test("no rule allows metadata, another sandbox or a tunnel")
    func metadata() throws {
        try set([EgressRule(.allow)])
        let other = try lab.slot()
        let inside = try other.datagrams()
        try inside.bind(IPv4Address(0, 0, 0, 0), 80)
        try sandbox.datagrams().send("no", to: other.slot.address, 80)
        try sandbox.datagrams().send("no", to: Lab.server, 4789)
        let listener = try lab.listener(Lab.metadata, port: 80)
        try sandbox.datagrams().send("no", to: Lab.metadata, 80)
        _ = try reached([], [])
        #expect(try listener.receive(waiting: false) == nil)
        #expect(try inside.receive(waiting: false) == nil)
        #expect(try lab.drops(.refusedPrefix) == 1)
        #expect(try lab.drops(.otherSandbox) == 1)
        #expect(try lab.drops(.tunnel) == 1)
    }

    @Test("a rule that denies cuts flows that run, and each rule counts")
    func counts() throws {
        let client = try sandbox.datagrams()
        try client.send("one", to: Lab.server, 5000)
        let question = try #require(try server.receive())
        try server.send("answer", to: question.address, question.port)
        #expect(try client.receive()?.text == "answer")
        let rules = [
            EgressRule(.allow, transport: .tcp), EgressRule(.deny, IPv4Prefix(Lab.server)),
        ]
        try set(rules)
        for _ in 0..<3 { try client.send("two", to: Lab.server, 5000) }
        _ = try reached([], [])
        let counts = try lab.network.counts(of: sandbox.slot.index)
        #expect(counts.map(\.rule) == rules)
        #expect(counts.map(\.packets) == [0, 3])
        #expect(counts.map(\.bytes) == [0, 3 * 31])
    }

    @Test("what is wrong in settings is refused, and nothing changes")
    func refusals() throws {
        let before = lab.network.settings(of: sandbox.slot.index)
        let wrong: [(inout SlotSettings) -> Void] = [
            { $0.rules = [EgressRule(.deny, ports: 1...2)] },
            { $0.rules = Array(repeating: EgressRule(.deny), count: 257) },
            { $0.limits.outwardBytes = TokenBucket(.bytes, perSecond: 1, burst: 1000) },
            { $0.limits.inwardPackets = TokenBucket(.packets, perSecond: 0, burst: 1000) },
            { $0.limits.newFlows = TokenBucket(.packets, perSecond: 1, burst: 0) },
            { $0.limits.newFlows = TokenBucket(.bytes, perSecond: 1, burst: 65536) },
        ]
        for change in wrong {
            #expect(throws: HostNetworkError.self) {
                try lab.network.change(sandbox.slot.index, change)
            }
        }
        #expect(lab.network.settings(of: sandbox.slot.index) == before)
    }

    @Test("a bucket lets through what it holds, outward, in packets and in bytes")
    func outwardLimits() throws {
        func arrived(_ count: Int, of text: String) throws -> Int {
            let client = try sandbox.datagrams()
            for _ in 0..<count { try client.send(text, to: Lab.server, 5000) }
            try lab.slot().datagrams().send("end", to: Lab.server, 5000)
            var arrived = 0
            while try server.receive()?.text != "end" { arrived += 1 }
            return arrived
        }
        #expect(try arrived(40, of: "a") == 40)
        try lab.network.change(sandbox.slot.index) {
            $0.limits.outwardPackets = TokenBucket(.packets, perSecond: 1, burst: 5)
        }
        // It fills meanwhile, by one each second.
        #expect((5..<20).contains(try arrived(40, of: "a")))
        try lab.network.change(sandbox.slot.index) {
            $0.limits.outwardPackets = nil
            $0.limits.outwardBytes = TokenBucket(.bytes, perSecond: 1, burst: 65536)
        }
        #expect((46...48).contains(try arrived(80, of: String(repeating: "a", count: 1372))))
        try lab.network.change(sandbox.slot.index) { $0.limits = SlotLimits() }
        #expect(try arrived(40, of: "a") == 40)
    }

    @Test("a bucket lets through what it holds, inward")
    func inwardLimits() throws {
        try lab.network.change(sandbox.slot.index) {
            $0.limits.inwardPackets = TokenBucket(.packets, perSecond: 1, burst: 5)
        }
        let client = try sandbox.datagrams()
        try client.send("question", to: Lab.server, 5000)
        let question = try #require(try server.receive())
        for _ in 0..<40 { try server.send("answer", to: question.address, question.port) }
        // Behind them comes what the next bucket lets through.
        try lab.network.change(sandbox.slot.index) { $0.limits = SlotLimits() }
        try server.send("end", to: question.address, question.port)
        var arrived = 0
        while try client.receive()?.text != "end" { arrived += 1 }
        #expect((5..<20).contains(arrived))
    }

    @Test("a sandbox begins as many flows as its bucket holds, and those that are answered go on")
    func flowLimits() throws {
        let running = try sandbox.datagrams()
        try running.send("first", to: Lab.server, 5000)
        let question = try #require(try server.receive())
        try server.send("answer", to: question.address, question.port)
        #expect(try running.receive()?.text == "answer")
        try lab.network.change(sandbox.slot.index) {
            $0.limits.newFlows = TokenBucket(.packets, perSecond: 1, burst: 5)
        }
        for _ in 0..<40 { try sandbox.datagrams().send("new", to: Lab.server, 5000) }
        try running.send("end", to: Lab.server, 5000)
        var arrived = 0
        while try server.receive()?.text != "end" { arrived += 1 }
        #expect((5..<20).contains(arrived))
    }
}
