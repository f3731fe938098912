import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip, .nft)) struct NameForwarderTests {
    private static let allowing = SlotSettings(names: [
        rule(.deny, "bad.example.org"), rule(.allow, "*.example.org"),
    ])

    private static func rule(_ action: EgressRule.Action, _ text: String) -> NameRule {
        NameRule(action, NamePattern(text) ?? .every)
    }

    /// Whether it reaches the server. What another one sends behind it by the same way does.
    private func reaches(
        _ sandbox: Sandbox, _ server: TestSocket, by socket: TestSocket? = nil, _ names: NameLab
    ) throws -> Bool {
        try (socket ?? sandbox.datagrams()).send("x", to: Lab.server, 5000)
        try names.witness.datagrams().send("end", to: Lab.server, 5000)
        guard try server.receive()?.text == "x" else { return false }
        return try server.receive()?.text == "end"
    }

    @Test("what an allowed name stands for is reached from the moment it is answered, no other")
    func opens() throws {
        let names = try NameLab()
        let server = try names.lab.listener()
        names.answers = {
            [NameBytes.answer($0, [NameBytes.address("www.example.org", Lab.server)])]
        }
        let sandbox = try names.lab.slot(Self.allowing)
        let other = try names.lab.slot(Self.allowing)
        #expect(try !reaches(sandbox, server, names))
        let answer = try names.ask(NameBytes.question("wWw.example.org"), in: sandbox)
        #expect(answer.prefix(2) == [0, 77] && NameBytes.code(answer) == 0)
        #expect(answer.suffix(4) == Lab.server.bytes[...])
        #expect(try reaches(sandbox, server, names))
        #expect(try !reaches(other, server, names))
        #expect(names.lab.network.resolvedAddresses(of: sandbox.slot.index) == [Lab.server])
        let set = try Place(names.lab.network.router).tell(
            "nft", ["list", "set", "ip", "alcove", "resolved"])
        #expect(set.contains("timeout 1m5s"), "\(set)")
        #expect(names.forwarder.counts.opened == 1)
        // Asked again, it stays open for longer, and nothing is there twice.
        _ = try names.ask(NameBytes.question("www.example.org"), in: sandbox)
        #expect(try reaches(sandbox, server, names))
    }

    @Test("a denied name does not exist, an alias of it neither, and no other name is asked for")
    func denies() throws {
        let names = try NameLab()
        names.answers = {
            [
                NameBytes.answer(
                    $0,
                    [
                        NameBytes.address("bad.example.org", Lab.server),
                        NameBytes.alias("good.example.org", of: "bad.example.org"),
                    ])
            ]
        }
        let sandbox = try names.lab.slot(Self.allowing)
        let denied = try names.ask(NameBytes.question("BAD.example.org"), in: sandbox)
        #expect(NameBytes.code(denied) == 3)
        let unknown = try names.ask(NameBytes.question("example.org"), in: sandbox)
        #expect(NameBytes.code(unknown) == 5)
        #expect(names.asked == 0)
        let alias = try names.ask(NameBytes.question("good.example.org"), in: sandbox)
        #expect(NameBytes.code(alias) == 3 && names.asked == 1)
        #expect(names.lab.network.resolvedAddresses(of: sandbox.slot.index) == [])
        #expect(names.forwarder.counts.denied == 3)
    }

    @Test("a sandbox that reaches the world may ask for every name that is not denied")
    func open() throws {
        let names = try NameLab()
        names.answers = { [NameBytes.answer($0, [])] }
        let sandbox = try names.lab.slot(
            SlotSettings(isPublic: true, names: [Self.rule(.deny, "*.ads.example")]))
        let answer = try names.ask(NameBytes.question("anything.test"), in: sandbox)
        #expect(NameBytes.code(answer) == 0 && names.asked == 1)
        let denied = try names.ask(NameBytes.question("x.ads.example"), in: sandbox)
        #expect(NameBytes.code(denied) == 3 && names.asked == 1)
    }

    @Test("a flow goes on when its address is closed, and ends when its name is no longer allowed")
    func flows() throws {
        let names = try NameLab()
        let server = try names.lab.listener()
        names.answers = {
            [NameBytes.answer($0, [NameBytes.address("www.example.org", Lab.server)])]
        }
        let sandbox = try names.lab.slot(Self.allowing)
        _ = try names.ask(NameBytes.question("www.example.org"), in: sandbox)
        let flow = try sandbox.datagrams()
        try flow.send("1", to: Lab.server, 5000)
        let first = try #require(try server.receive())
        try server.send("2", to: first.address, first.port)
        _ = try flow.receive()
        // As its time would do it.
        _ = try Place(names.lab.network.router).tell(
            "nft", ["flush", "set", "ip", "alcove", "resolved"])
        #expect(try !reaches(sandbox, server, names))
        #expect(try reaches(sandbox, server, by: flow, names))
        try names.lab.network.change(sandbox.slot.index) {
            $0.names = [Self.rule(.allow, "other.test")]
        }
        #expect(try !reaches(sandbox, server, by: flow, names))
    }

    @Test("addresses of names that are allowed no more are closed, others stay")
    func changes() throws {
        let names = try NameLab()
        let server = try names.lab.listener()
        names.answers = {
            [NameBytes.answer($0, [NameBytes.address("www.example.org", Lab.server)])]
        }
        let sandbox = try names.lab.slot(Self.allowing)
        _ = try names.ask(NameBytes.question("www.example.org"), in: sandbox)
        try names.lab.network.change(sandbox.slot.index) {
            $0.names.append(Self.rule(.allow, "other.test"))
        }
        #expect(try reaches(sandbox, server, names))
        try names.lab.network.change(sandbox.slot.index) { $0.names.removeFirst(2) }
        #expect(try !reaches(sandbox, server, names))
        #expect(names.lab.network.resolvedAddresses(of: sandbox.slot.index) == [])
    }

    @Test("questions on a connection are answered in turn, by a connection")
    func streams() throws {
        let names = try NameLab()
        names.answers = {
            [NameBytes.answer($0, [NameBytes.address("www.example.org", Lab.server)])]
        }
        let sandbox = try names.lab.slot(Self.allowing)
        let socket = try InternetSocket(.stream, in: sandbox.place.namespace)
        try socket.connect(to: InternetAddress(SandboxNetwork.gateway.rawValue, port: 53))
        var isConnected = false
        let watch = try names.loop.watch(socket.descriptor, for: .writable) { _ in
            isConnected = true
        }
        try names.run { isConnected }
        watch.cancel()
        for (name, code) in [("www.example.org", UInt8(0)), ("bad.example.org", 3)] {
            let question = NameBytes.question(name)
            _ = UnixSockets.send(
                NameBytes.number(question.count) + question, from: 0, to: socket.descriptor)
            let answer = try names.wait(socket)
            #expect(answer.count > 2 && NameBytes.code(Array(answer.dropFirst(2))) == code)
        }
        #expect(names.lab.network.resolvedAddresses(of: sandbox.slot.index) == [Lab.server])
    }

    @Test("answers that nobody asked for change nothing, and silence is told of")
    func strange() throws {
        let names = try NameLab {
            $0.patience = .milliseconds(300)
            $0.attempts = 2
        }
        names.answers = { question in
            let other = Array(question[0..<2]) + NameBytes.question("evil.example.org")[2...]
            return [
                NameBytes.answer(other, [NameBytes.address("evil.example.org", Lab.server)]),
                question, [1, 2, 3],
            ]
        }
        let sandbox = try names.lab.slot(Self.allowing)
        let answer = try names.ask(NameBytes.question("www.example.org"), in: sandbox)
        #expect(NameBytes.code(answer) == 2)
        #expect(names.asked == 2)
        #expect(names.forwarder.counts.unanswered == 1)
        try names.run { names.forwarder.counts.strange == 6 }
        #expect(names.lab.network.resolvedAddresses(of: sandbox.slot.index) == [])
    }

    @Test("whatever both sides send, what is asked properly is answered", arguments: 0..<3)
    func noise(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        func broken(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                // What it is known by stays in most.
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] =
                    Bool.random(using: &random) ? 0xC0 : .random(in: 0...255, using: &random)
                if Int.random(in: 0..<8, using: &random) == 0 {
                    bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
                }
                if bytes.isEmpty { return [0] }
            }
            return bytes
        }
        // What is asked and not answered properly stays on its way.
        let names = try NameLab { $0.mostQuestionsOfSlot = 1000 }
        let sandbox = try names.lab.slot(Self.allowing)
        let good = NameBytes.question("www.example.org")
        names.answers = { question in
            let answer = NameBytes.answer(
                good, [NameBytes.address("www.example.org", Lab.server)])
            return [
                broken(answer), question.count > 2 ? Array(question[0..<2]) + answer[2...] : [],
            ]
        }
        let socket = try InternetSocket(.datagrams, in: sandbox.place.namespace)
        try socket.connect(to: InternetAddress(SandboxNetwork.gateway.rawValue, port: 53))
        let sent = 400
        for _ in 0..<sent {
            _ = UnixSockets.send(broken(good), from: 0, to: socket.descriptor)
            // So many wait in a socket without being lost.
            let counts = names.forwarder.counts
            let before = counts.malformed + counts.questions
            try names.run {
                names.forwarder.counts.malformed + names.forwarder.counts.questions > before
            }
        }
        let answer = try names.ask(good, in: sandbox)
        #expect(NameBytes.code(answer) == 0)
    }

    @Test("what is beyond a sandbox's questions is dropped, and another's are answered")
    func bounded() throws {
        let names = try NameLab {
            $0.mostQuestionsOfSlot = 3
            $0.patience = .seconds(60)
        }
        let noisy = try names.lab.slot(Self.allowing)
        let socket = try noisy.datagrams()
        for number in 0..<5 {
            let name = "q\(number).example.org"
            try socket.send(
                String(decoding: NameBytes.question(name), as: UTF8.self),
                to: SandboxNetwork.gateway, 53)
        }
        try names.run { names.forwarder.counts.excess == 2 }
        names.answers = { [NameBytes.answer($0, [])] }
        let quiet = try names.lab.slot(Self.allowing)
        let answer = try names.ask(NameBytes.question("www.example.org"), in: quiet)
        #expect(NameBytes.code(answer) == 0)
    }
}
