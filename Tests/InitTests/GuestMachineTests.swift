import CInitProtocol
import Foundation
import TestSupport
import Testing

@Suite("The machine of a guest", .needs(.root))
struct GuestMachineTests {
    @Test("Statistics are told when they are asked for, also with no process")
    func statistics() throws {
        let guest = try GuestInit.ready()
        try guest.setKills(3)
        guest.link.send(Frame(kind: ALCOVE_FRAME_ASK_STATISTICS))
        let before = try #require(guest.link.next())
        #expect(before.kind == ALCOVE_FRAME_STATISTICS && before.content.count == 40)
        let numbers = before.numbers
        // As the kernel says, which is that of this test.
        let text = try String(contentsOfFile: "/proc/meminfo", encoding: .utf8)
        let total = try #require(text.split(separator: " ").compactMap { UInt64($0) }.first)
        #expect(numbers[0] == total * 1024)
        #expect(numbers[1] > 0 && numbers[1] <= numbers[0])
        #expect(numbers[2] > 0)
        #expect(numbers[3] == 0 && numbers[4] == 3)
        guest.link.send(Start.shell("exit 2").frame)
        #expect(guest.link.outcome().last == exited(2))
        guest.link.send(Frame(kind: ALCOVE_FRAME_ASK_STATISTICS))
        #expect(guest.link.next()?.kind == ALCOVE_FRAME_STATISTICS)
    }

    @Test("A host that asks without taking the answers is not answered without end")
    func unreadStatistics() throws {
        let guest = try GuestInit.ready()
        let question = Frame(kind: ALCOVE_FRAME_ASK_STATISTICS).bytes
        var asked = 0
        var rest: [UInt8] = []
        while true {
            let count = guest.link.sendAtOnce(rest.isEmpty ? question : rest)
            guard count > 0 else { break }
            rest = rest.isEmpty ? Array(question.dropFirst(count)) : Array(rest.dropFirst(count))
            if rest.isEmpty { asked += 1 }
        }
        #expect(try guest.run(.shell("exit 3")).outcome().last == exited(3))
        for _ in 0..<asked { try #require(guest.link.next()?.kind == ALCOVE_FRAME_STATISTICS) }
    }

    @Test("It gets its host name and new entropy")
    func identity() throws {
        let guest = try GuestInit.ready()
        guest.link.send(
            .text(ALCOVE_FRAME_HOSTNAME, "one-guest"),
            Frame(kind: ALCOVE_FRAME_RESEED, content: Array(repeating: 7, count: 512)),
            Start.shell("hostname").frame)
        #expect(guest.link.outcome().text == "one-guest\n")
    }

    @Test("A clock that cannot be set is nothing that it ends by")
    func clock() throws {
        let guest = try GuestInit.ready()
        guest.link.send(
            Frame(kind: ALCOVE_FRAME_CLOCK, content: Frame.bytes(of: UInt64(1) << 60)),
            Start.shell("exit 3").frame)
        #expect(guest.link.outcome().last == exited(3))
    }

    @Test(
        "Its link gets address, prefix, route and size, and it finds its name server",
        .needs(.netAdmin))
    func network() throws {
        let guest = try GuestInit.ready()
        let script = """
            ip link add eth0 type veth peer name other && ip link set other up && echo made
            """
        #expect(try guest.run(.shell(script)).outcome().text == "made\n")
        let content: [UInt8] =
            [10, 1, 2, 3, 10, 1, 2, 1, 10, 9, 8, 7, 25, 0] + Frame.bytes(of: UInt16(1400))
        guest.link.send(
            Frame(kind: ALCOVE_FRAME_NETWORK, content: content),
            Start.shell("ip -o -4 address show eth0; ip link show eth0; ip route").frame)
        let text = guest.link.outcome().text
        #expect(text.contains("inet 10.1.2.3/25 "))
        #expect(text.contains("mtu 1400") && text.contains(",UP"))
        #expect(text.contains("default via 10.1.2.1 dev eth0"))
        #expect(try guest.resolver() == "nameserver 10.9.8.7\n")
    }
}
