import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin)) struct ReachTests {
    private let lab: Lab

    init() throws { lab = try Lab() }

    @Test("a sandbox reaches the world from the node's address, and answers find it")
    func world() throws {
        let sandbox = try lab.slot()
        let server = try lab.listener()
        let client = try sandbox.datagrams()
        try client.send("question", to: Lab.server, 5000)
        let question = try #require(try server.receive())
        #expect(question.text == "question" && question.address == Lab.nodeAddress)
        try server.send("answer", to: question.address, question.port)
        #expect(try client.receive()?.text == "answer")
    }

    @Test("a stream of some megabytes comes whole, both ways")
    func stream() throws {
        let sandbox = try lab.slot()
        let server = try TestSocket(.stream, in: lab.world.namespace)
        try server.bind(Lab.server, 80)
        try server.listen()
        let client = try sandbox.stream()
        try client.connect(Lab.server, 80)
        let connection = try server.accept()
        let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        for (from, to) in [(client, connection), (connection, client)] {
            let sender = Sender(from)
            let thread = try KernelThread(named: "sender") { sender.send(bytes) }
            let received = try to.receiveAll()
            thread.join()
            #expect(received == bytes)
        }
    }

    @Test("a sandbox asks the gateway for names, and who answers there can ask the world")
    func names() throws {
        let sandbox = try lab.slot(SlotSettings())
        let forwarder = try TestSocket(.datagrams, in: lab.network.router)
        try forwarder.bind(SandboxNetwork.gateway, 53)
        let client = try sandbox.datagrams()
        try client.send("name?", to: SandboxNetwork.gateway, 53)
        let question = try #require(try forwarder.receive())
        #expect(question.text == "name?" && question.address == sandbox.slot.address)
        let upstream = try TestSocket(.datagrams, in: lab.network.router)
        let server = try lab.listener()
        try upstream.send("upstream?", to: Lab.server, 5000)
        let asked = try #require(try server.receive())
        #expect(asked.address == Lab.nodeAddress)
        try server.send("1.2.3.4", to: asked.address, asked.port)
        #expect(try upstream.receive()?.text == "1.2.3.4")
        try forwarder.send("1.2.3.4", to: question.address, question.port)
        let answer = try #require(try client.receive())
        #expect(answer.text == "1.2.3.4" && answer.address == SandboxNetwork.gateway)
    }

    @Test("not the node, by any of its addresses, nor the router")
    func node() throws {
        let sandbox = try lab.slot()
        let server = try lab.listener()
        let client = try sandbox.datagrams()
        let own = try TestSocket(.datagrams, in: lab.node.namespace)
        try own.bind(IPv4Address(0, 0, 0, 0), 5000)
        try client.send("no", to: Lab.nodeAddress, 5000)
        try client.send("no", to: IPv4Address(100, 127, 255, 253), 5000)
        try client.send("no", to: IPv4Address(100, 127, 255, 254), 5000)
        try client.send("no", to: SandboxNetwork.gateway, 5000)
        try client.send("yes", to: Lab.server, 5000)
        #expect(try server.receive()?.text == "yes")
        #expect(try own.receive(waiting: false) == nil)
        #expect(try lab.network.nodeDrops()[.node] == 1)
        #expect(try lab.drops(.refusedPrefix) == 1)
        #expect(try lab.drops(.router) == 2)
    }

    @Test("not metadata, not management networks, not a tunnel's port, though routes lead there")
    func refused() throws {
        let sandbox = try lab.slot()
        let server = try lab.listener()
        let others = try [Lab.metadata, Lab.management].map { try lab.listener($0, port: 80) }
        let tunnel = try lab.listener(port: 4789)
        let client = try sandbox.datagrams()
        try client.send("no", to: Lab.metadata, 80)
        try client.send("no", to: Lab.management, 80)
        try client.send("no", to: Lab.server, 4789)
        try client.send("yes", to: Lab.server, 5000)
        #expect(try server.receive()?.text == "yes")
        for other in others + [tunnel] { #expect(try other.receive(waiting: false) == nil) }
        #expect(try lab.drops(.refusedPrefix) == 2)
        #expect(try lab.drops(.tunnel) == 1)
        // The node itself reaches both.
        let own = try TestSocket(.datagrams, in: lab.node.namespace)
        try own.send("own", to: Lab.metadata, 80)
        #expect(try others[0].receive()?.text == "own")
    }

    @Test("not another sandbox, by its slot's address or by its own")
    func others() throws {
        let first = try lab.slot()
        let second = try lab.slot()
        let server = try lab.listener()
        let other = try second.datagrams()
        try other.bind(IPv4Address(0, 0, 0, 0), 5000)
        let client = try first.datagrams()
        try client.send("no", to: second.slot.address, 5000)
        // One that is not there.
        try client.send("no", to: second.slot.address.advanced(by: 9), 5000)
        try client.send("yes", to: Lab.server, 5000)
        #expect(try server.receive()?.text == "yes")
        #expect(try other.receive(waiting: false) == nil)
        #expect(try lab.drops(.otherSandbox) == 1)
    }

    @Test("a false source is dropped, though root in the sandbox sends it")
    func falseSource() throws {
        let sandbox = try lab.slot()
        let other = try lab.slot()
        let server = try lab.listener()
        let false1 = IPv4Address(10, 66, 0, 6)
        try sandbox.place.perform {
            for address in [false1, other.slot.address, sandbox.slot.address] {
                $0.addAddress(
                    LinkAddressing(
                        address, prefixLength: 32, on: InterfaceIndex(rawValue: 2)))
            }
        }
        for address in [false1, other.slot.address, sandbox.slot.address] {
            let client = try sandbox.datagrams()
            try client.bind(address, 0)
            try client.send("no", to: Lab.server, 5000)
        }
        try sandbox.datagrams().send("yes", to: Lab.server, 5000)
        #expect(try server.receive()?.text == "yes")
        #expect(try server.receive(waiting: false) == nil)
        #expect(try lab.drops(.falseSource) == 3)
    }

    @Test("the world is off until it is on, and off again at once, flows that run included")
    func publicSwitch() throws {
        let sandbox = try lab.slot(SlotSettings())
        let witness = try lab.slot()
        let server = try lab.listener()
        let client = try sandbox.datagrams()
        let other = try witness.datagrams()
        func arrives(_ text: String) throws -> Bool {
            try client.send(text, to: Lab.server, 5000)
            try other.send("witness", to: Lab.server, 5000)
            let first = try server.receive()?.text
            if first == "witness" { return false }
            #expect(try server.receive()?.text == "witness")
            return first == text
        }
        #expect(try !arrives("one"))
        try lab.network.change(sandbox.slot.index) { $0.isPublic = true }
        #expect(try arrives("two"))
        try lab.network.change(sandbox.slot.index) { $0.isPublic = false }
        #expect(try !arrives("three"))
        #expect(try lab.drops(.notAllowed) == 2)
    }

    @Test("strangers do not reach a sandbox through the node")
    func strangers() throws {
        let sandbox = try lab.slot()
        let server = try sandbox.datagrams()
        try server.bind(IPv4Address(0, 0, 0, 0), 5000)
        try lab.world.perform {
            $0.addRoute(
                Route(
                    to: IPv4Prefix(sandbox.slot.address), via: Lab.nodeAddress,
                    through: InterfaceIndex(rawValue: 11)))
        }
        let stranger = try TestSocket(.datagrams, in: lab.world.namespace)
        try stranger.send("no", to: sandbox.slot.address, 5000)
        // The answer goes the same way, behind it.
        let listener = try lab.listener()
        try server.send("yes", to: Lab.server, 5000)
        let question = try #require(try listener.receive())
        try listener.send("answer", to: question.address, question.port)
        #expect(try server.receive()?.text == "answer")
        #expect(try lab.network.nodeDrops()[.strangers] == 1)
    }

    @Test("an error about a packet finds the flow that it is about")
    func quotedPackets() throws {
        let sandbox = try lab.slot()
        let client = try sandbox.datagrams()
        // Nobody listens there: the world says so.
        try client.connect(Lab.server, 5999)
        try client.send(Array("anybody".utf8))
        let failure = try #require(throws: TestSocket.Failure.self) { try client.receive() }
        // ECONNREFUSED
        #expect(failure.errorNumber == 111)
    }

    @Test("a sandbox learns how large packets may be on their way")
    func pathSize() throws {
        let sandbox = try lab.slot()
        try lab.node.perform {
            $0.changeLink(InterfaceIndex(rawValue: 10), LinkChange(mtu: 1200))
        }
        let client = try sandbox.datagrams()
        try client.forbidFragments()
        try client.connect(Lab.server, 5000)
        try client.send([UInt8](repeating: 7, count: 1300))
        let failure = try #require(throws: TestSocket.Failure.self) { try client.receive() }
        // EMSGSIZE
        #expect(failure.errorNumber == 90)
        #expect(
            try sandbox.place.tell("ip", ["route", "get", "198.51.100.1"]).contains("mtu 1200"))
    }

    @Test("an answer that comes late is not the next sandbox's, in the same slot")
    func lateAnswers() throws {
        let slots = IPv4Prefix(containing: IPv4Address(100, 64, 0, 0), length: 28)
        let lab = try Lab(NodeNetworkSettings(slots: slots))
        let server = try lab.listener()
        let first = try lab.slot()
        let early = try first.datagrams()
        try early.bind(IPv4Address(0, 0, 0, 0), 40000)
        try early.send("question", to: Lab.server, 5000)
        let question = try #require(try server.receive())
        try lab.network.giveBack([first.slot.index])
        // Numbers go round.
        let others = try lab.network.makeSlots(13)
        let second = try lab.slot()
        #expect(second.slot.index == first.slot.index)
        let client = try second.datagrams()
        try client.bind(IPv4Address(0, 0, 0, 0), 40000)
        try server.send("late", to: question.address, question.port)
        let other = try second.datagrams()
        try other.send("own", to: Lab.server, 5000)
        let own = try #require(try server.receive())
        try server.send("answer", to: own.address, own.port)
        #expect(try other.receive()?.text == "answer")
        #expect(try client.receive(waiting: false) == nil)
        #expect(throws: HostNetworkError.exhausted(what: "address for a sandbox")) {
            try lab.network.makeSlots(1)
        }
        #expect(others.count == 13)
    }

    @Test("a microVM reaches the world through the same layout", .needs(.tun))
    func tap() throws {
        let slot = try #require(try lab.network.makeSlots(1, .tap).first)
        try lab.network.apply(SlotSettings(isPublic: true), to: slot.index)
        let (own, gateway) = (SandboxNetwork.linkAddress, SandboxNetwork.gatewayLinkAddress)
        // A guest that does not know the gateway's link address asks.
        let question = question(from: SandboxNetwork.address, after: SandboxNetwork.gateway)
        #expect(Frames.send(question, to: slot.tapDescriptor))
        let answer = try #require(Frames.receive(from: slot.tapDescriptor))
        #expect(answer.prefix(42).suffix(22).starts(with: [0, 2] + gateway.bytes))
        // UDP from port 1000 to 5000, "hello", without a checksum of its own.
        let packet = internetHeader(to: Lab.server, count: 13) + [3, 232, 19, 136, 0, 13, 0, 0]
        let server = try lab.listener()
        let frame = gateway.bytes + own.bytes + [8, 0] + packet + Array("hello".utf8)
        #expect(Frames.send(frame, to: slot.tapDescriptor))
        let received = try #require(try server.receive())
        #expect(received.text == "hello" && received.address == Lab.nodeAddress)
        try server.send("there", to: received.address, received.port)
        let back = try #require(Frames.receive(from: slot.tapDescriptor))
        #expect(Array(back.prefix(12)) == own.bytes + gateway.bytes)
        #expect(Array(back[30..<34]) == SandboxNetwork.address.bytes)
        #expect(String(decoding: back.suffix(5), as: UTF8.self) == "there")
    }

    @Test(
        "a microVM is asked nothing, and says of no address but its own that it has it",
        .needs(.tun, .ip))
    func resolution() throws {
        let slot = try #require(try lab.network.makeSlots(1, .tap).first)
        let router = try Place(lab.network.router)
        func neighbours() throws -> [String] {
            try router.tell("ip", ["-o", "neighbour", "show", "dev", slot.index.linkName])
                .split(separator: "\n").map(String.init)
        }
        let before = try neighbours()
        for number in UInt8(1)...9 {
            let false1 = IPv4Address(172, 31, 255, 100 + number)
            let question = question(from: false1, after: SandboxNetwork.gateway)
            #expect(Frames.send(question, to: slot.tapDescriptor))
        }
        // The router's address towards the node is nothing to a sandbox.
        let curious = question(
            from: SandboxNetwork.address, after: IPv4Address(100, 127, 255, 254))
        #expect(Frames.send(curious, to: slot.tapDescriptor))
        let honest = question(from: SandboxNetwork.address, after: SandboxNetwork.gateway)
        #expect(Frames.send(honest, to: slot.tapDescriptor))
        let answer = try #require(Frames.receive(from: slot.tapDescriptor))
        #expect(Array(answer[28..<32]) == SandboxNetwork.gateway.bytes)
        #expect(try neighbours() == before && before.count == 1)
    }

    /// Who has an address? Tell another one.
    private func question(from sender: IPv4Address, after target: IPv4Address) -> [UInt8] {
        let own = SandboxNetwork.linkAddress.bytes
        return [UInt8](repeating: 0xff, count: 6) + own + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + own
            + sender.bytes + [0, 0, 0, 0, 0, 0] + target.bytes
    }

    /// From the sandbox, of UDP, with its checksum.
    private func internetHeader(to destination: IPv4Address, count: UInt16) -> [UInt8] {
        let total = 20 + count
        var header: [UInt8] = [0x45, 0, UInt8(total >> 8), UInt8(total & 255), 0, 0, 0, 0, 64, 17]
        header += [0, 0] + SandboxNetwork.address.bytes + destination.bytes
        var sum: UInt32 = 0
        for index in stride(from: 0, to: 20, by: 2) {
            sum += UInt32(header[index]) << 8 | UInt32(header[index + 1])
        }
        sum = (sum & 0xffff) + (sum >> 16)
        sum = ~((sum & 0xffff) + (sum >> 16))
        header[10] = UInt8(truncatingIfNeeded: sum >> 8)
        header[11] = UInt8(truncatingIfNeeded: sum)
        return header
    }
}
