import TestSupport
import Testing

@testable import Netlink

@Suite struct NetlinkReaderTests {
    /// The answer to a request numbered 7, with the kernel's words behind the request's header.
    private static let answer: [UInt8] = [
        // nlmsghdr: 52 bytes, NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, number 7, port 9
        52, 0, 0, 0, 2, 0, 0, 3, 7, 0, 0, 0, 9, 0, 0, 0,
        // EEXIST, negated
        0xef, 0xff, 0xff, 0xff,
        // the request's header: 40 bytes once, RTM_NEWLINK
        40, 0, 0, 0, 16, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0,
        // NLMSGERR_ATTR_MSG: "no more", zero
        12, 0, 1, 0, 110, 111, 32, 109, 111, 114, 101, 0,
    ].map { $0 }

    private func message(_ bytes: [UInt8]) -> NetlinkMessage? {
        var rest = bytes[...]
        return NetlinkMessage(takingFrom: &rest)
    }

    @Test("an answer gives its error number and the kernel's words")
    func answer() throws {
        var bytes = Self.answer
        bytes[0] = UInt8(bytes.count)
        let answer = try #require(message(bytes).flatMap { NetlinkAnswer($0) })
        #expect(answer.errorNumber == 17)
        #expect(answer.words == "no more")
    }

    @Test("a message that is cut off anywhere is none")
    func truncated() {
        var bytes = Self.answer
        bytes[0] = UInt8(bytes.count)
        for count in 0..<bytes.count { #expect(message(Array(bytes.prefix(count))) == nil) }
        bytes[0] = 15
        #expect(message(bytes) == nil)
    }

    @Test("an attribute that is longer than what there is damages the whole")
    func attributes() {
        #expect(NetlinkAttributes([5, 0, 1, 0, 9])?[1] == [9])
        #expect(NetlinkAttributes([5, 0, 1, 0, 9, 0, 0, 0, 4, 0, 2, 0])?.all.count == 2)
        #expect(NetlinkAttributes([6, 0, 1, 0, 9]) == nil)
        #expect(NetlinkAttributes([3, 0, 1, 0]) == nil)
        #expect(NetlinkAttributes([4, 0, 1]) == nil)
        #expect(NetlinkAttributes([])?.all.isEmpty == true)
        // A number of another size is not read as one.
        #expect(NetlinkAttributes([6, 0, 1, 0, 9, 0])?.number(1, as: UInt32.self) == nil)
    }

    @Test("nothing that is made of messages by chance traps", arguments: UInt64(1)...8)
    func fuzz(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var valid: [[UInt8]] = [Self.answer]
        var batch = NetlinkBatch()
        batch.makeVeth(LinkPlan("a", mtu: 9, group: 3), peer: LinkPlan("b"))
        batch.addRoute(
            Route(to: .everything, via: IPv4Address(1, 2, 3, 4), mtu: 3, priority: 2))
        batch.addNeighbour(
            Neighbour(
                IPv4Address(1, 2, 3, 4), at: .zero, on: InterfaceIndex(rawValue: 1)))
        batch.addRule(RoutingRule(priority: 1, mark: 2, table: 3))
        batch.addAddress(
            LinkAddressing(
                IPv4Address(1, 2, 3, 4), prefixLength: 3, on: InterfaceIndex(rawValue: 1)))
        valid.append(batch.number(from: 1, acknowledging: 0))
        for _ in 0..<3000 {
            var bytes = valid.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...8, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[place] = [0, 1, 3, 4, 0x7f, 0xff].randomElement(using: &random) ?? 0
                case 2: bytes.removeSubrange(place...)
                default: bytes.insert(contentsOf: bytes[place...].prefix(5), at: place)
                }
            }
            readAll(bytes)
        }
    }

    private func readAll(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while let message = NetlinkMessage(takingFrom: &rest) {
            _ = NetlinkAnswer(message)
            _ = NetlinkAnswer(message, endOfList: true)
            _ = Link(message)
            _ = Route.read(message)
            _ = RoutingRule(message)
            _ = LinkAddressing(message)
            _ = Neighbour(message)
            _ = ForwardingEntry(message)
            _ = NetfilterRule(message)
        }
        _ = NetlinkAttributes(bytes[...])
    }
}

@Suite struct NetlinkWriterTests {
    @Test("a request is written byte for byte as the kernel reads it")
    func golden() {
        var batch = NetlinkBatch()
        batch.addNeighbour(
            Neighbour(
                IPv4Address(10, 0, 0, 1), at: LinkAddress(local: 1),
                on: InterfaceIndex(rawValue: 5)))
        #expect(
            batch.number(from: 0x0102_0304, acknowledging: 0) == [
                // nlmsghdr: 48 bytes, RTM_NEWNEIGH, REQUEST | ACK | REPLACE | CREATE
                48, 0, 0, 0, 28, 0, 0x05, 0x05, 4, 3, 2, 1, 0, 0, 0, 0,
                // ndmsg: AF_INET, link 5, NUD_PERMANENT
                2, 0, 0, 0, 5, 0, 0, 0, 0x80, 0, 0, 0,
                // NDA_DST
                8, 0, 1, 0, 10, 0, 0, 1,
                // NDA_LLADDR, filled up to a multiple of four
                10, 0, 2, 0, 2, 0xac, 0, 0, 0, 1, 0, 0,
            ])
    }

    @Test("only the last request of a batch is acknowledged, and each has its number")
    func numbers() {
        var batch = NetlinkBatch()
        batch.deleteLink(named: "a")
        batch.deleteLink(named: "b")
        let bytes = batch.number(from: 7, acknowledging: 1)
        #expect(bytes[6] == 1 && bytes[8] == 7)
        let second = bytes.count / 2
        #expect(bytes[second + 6] == 5 && bytes[second + 8] == 8)
    }
}
