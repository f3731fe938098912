import CInitProtocol
import Foundation
import TestSupport
import Testing

@Suite("The guest's first process and its host", .needs(.root))
struct GuestServerTests {
    /// A restart of the machine, as the first process of a pid namespace finds it.
    private static let restarted = 128 + SIGHUP
    private static let input = Int32(ALCOVE_GUEST_INPUT)
    private static let notUnderstood = Frame.value(
        ALCOVE_FRAME_REFUSED, Int32(ALCOVE_REFUSAL_NOT_UNDERSTOOD.rawValue))

    @Test("The machine ends with its link, and when it is told to")
    func ends() throws {
        let left = try GuestInit.ready()
        left.link.send(Start.shell("trap '' TERM HUP; sleep 1000").frame)
        #expect(left.link.next()?.kind == ALCOVE_FRAME_STARTED)
        left.link.close()
        #expect(left.wait() == Self.restarted)

        let told = try GuestInit.ready()
        told.link.send(Frame(kind: ALCOVE_FRAME_POWER_OFF))
        #expect(told.wait() == Self.restarted)
    }

    @Test(
        "Arguments that are none are refused in one line, and the machine ends",
        arguments: [
            [], ["layers=0", "root=ro", "scratch=65536"], ["layers=1", "root=ro"],
            ["layers=1", "root=rx", "scratch=65536"], ["layers=129", "root=ro", "scratch=65536"],
            ["layers=1", "layers=1", "root=ro", "scratch=65536"], ["link=3"],
            ["link=3", "commands=3"],
            ["layers=1", "root=ro", "scratch=1"], ["layers=1", "root=ro", "scratch=disc"],
            ["layers=1x", "root=ro", "scratch=65536"], ["link=3", "commands=7", "layers=1"],
            ["link=3", "commands=7", "vsock=none"], ["link=3", "commands=7", "mark=65536"],
            ["layers=99999999999999999999", "root=ro", "scratch=65536"],
            ["link=3", "commands=7", ""],
        ])
    func arguments(words: [String]) throws {
        let guest = try GuestInit(words)
        #expect(guest.line() == "alcove-init: the arguments are not understood")
        #expect(guest.wait() == Self.restarted)
    }

    @Test("16 commands run at once, one more is refused, and one may follow one that ended")
    func commands() throws {
        let guest = try GuestInit.ready()
        let start = Start.shell("read -r line") { $0.flags = Self.input }
        let running = try (0..<Int(ALCOVE_GUEST_COMMANDS)).map { _ in try guest.run(start) }
        for connection in running { #expect(connection.next()?.kind == ALCOVE_FRAME_STARTED) }
        let refused = try guest.connect()
        #expect(
            refused.next()
                == .value(ALCOVE_FRAME_REFUSED, Int32(ALCOVE_REFUSAL_TOO_MANY.rawValue)))
        #expect(refused.next() == nil)
        running[5].send(Frame(kind: ALCOVE_FRAME_INPUT_END))
        #expect(running[5].outcome().last == exited(1))
        #expect(running[5].next() == nil)
        #expect(try guest.run(start).next()?.kind == ALCOVE_FRAME_STARTED)
    }

    @Test("When a command's connection ends, its process group is killed")
    func connectionEnds() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(
            .shell("trap '' TERM HUP; sleep 1000 & echo ready; sleep 1000"))
        #expect(connection.output(upTo: "ready\n") != nil)
        connection.close()
        let looking = try guest.run(
            .shell("until [ $# = 2 ]; do set -- /proc/[0-9]*; done; echo none"))
        #expect(looking.outcome().text == "none\n")
    }

    @Test("Who does not read and who is not read from hold up nobody else, and lose nothing")
    func backPressure() throws {
        let guest = try GuestInit.ready()
        let silent = try guest.run(
            .shell("read -r -n 1 x; echo ready; sleep 1000") { $0.flags = Self.input })
        let piece = Frame(kind: ALCOVE_FRAME_INPUT, content: Array(repeating: 65, count: 16384))
        silent.send(piece)
        #expect(silent.output(upTo: "ready\n") != nil)
        // Until neither the pipe nor the connection takes any more.
        while silent.sendAtOnce(piece.bytes) == piece.bytes.count {}
        guest.link.send(Start.shell("head -c 3000000 /dev/zero; exit 6").frame)
        let deaf = try guest.run(.shell("head -c 3000000 /dev/zero >&2; exit 7"))
        for _ in 0..<20 {
            #expect(try guest.run(.shell("exit 3")).outcome().last == exited(3))
        }
        let outcome = deaf.outcome()
        #expect(outcome.error.count == 3_000_000 && outcome.last == exited(7))
        let workload = guest.link.outcome()
        #expect(workload.output.count == 3_000_000 && workload.last == exited(6))
        silent.close()
        #expect(try guest.run(.shell("exit 3")).outcome().last == exited(3))
    }

    @Test("What goes in comes out the same, whatever is in its way")
    func echo() throws {
        let guest = try GuestInit.ready()
        var random = SeededRandom(seed: 1)
        let content = (0..<2_000_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let connection = try guest.run(.shell("exec cat") { $0.flags = Self.input })
        var sent: [UInt8] = []
        var rest = content[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 0...16384, using: &random))
            sent += Frame(kind: ALCOVE_FRAME_INPUT, content: Array(piece)).bytes
            rest = rest.dropFirst(piece.count)
        }
        sent += Frame(kind: ALCOVE_FRAME_INPUT_END).bytes
        var place = 0
        var output: [UInt8] = []
        while place < sent.count {
            let count = connection.sendAtOnce(Array(sent[place...].prefix(100_000)))
            place += max(0, count)
            // What it does not take, it takes when what comes back is taken.
            if count < 0, let frame = connection.next(), frame.kind == ALCOVE_FRAME_OUTPUT {
                output += frame.content
            }
        }
        let outcome = connection.outcome()
        #expect(output + outcome.output == content && outcome.last == exited(0))
    }

    @Test("Many frames at once are all taken, however many")
    func manyFrames() throws {
        let guest = try GuestInit.ready()
        for count in 25..<70 {
            let connection = try guest.connect()
            var bytes = Start.shell("cat; exit 3", { $0.flags = Self.input }).frame.bytes
            for _ in 0..<count { bytes += Frame(kind: ALCOVE_FRAME_INPUT).bytes }
            connection.send(bytes + Frame(kind: ALCOVE_FRAME_INPUT_END).bytes)
            #expect(connection.outcome().last == exited(3), "\(count)")
        }
    }

    @Test("A start that comes in pieces makes others wait, and none wrong")
    func pieces() throws {
        let guest = try GuestInit.ready()
        let long = Start.shell("echo ${#WORD}") {
            $0.environment.append("WORD=" + String(repeating: "x", count: 100_000))
        }
        let slow = try guest.connect()
        let bytes = long.frame.bytes
        slow.send(Array(bytes.prefix(50_000)))
        let other = try guest.run(.shell("echo other"))
        try guest.settle()
        slow.send(Array(bytes.dropFirst(50_000)))
        #expect(slow.outcome().text == "100000\n")
        #expect(other.outcome().text == "other\n")
        // One that ends in the middle makes room as well.
        let broken = try guest.connect()
        broken.send(Array(bytes.prefix(50_000)))
        try guest.settle()
        let waiting = try guest.run(.shell("echo waiting"))
        broken.close()
        #expect(waiting.outcome().text == "waiting\n")
    }

    @Test(
        "What is no frame is refused; a command is killed then, and the link ends the machine"
    )
    func refusals() throws {
        let guest = try GuestInit.ready()
        for frame in [
            Frame(kind: ALCOVE_FRAME_INPUT), Frame(kind: ALCOVE_FRAME_POWER_OFF),
            Frame(kind: ALCOVE_FRAME_ASK_STATISTICS), .value(ALCOVE_FRAME_SIGNAL, 9),
            Frame(kind: ALCOVE_FRAME_START), Frame(kind: ALCOVE_FRAME_EXITED),
            .text(ALCOVE_FRAME_HOSTNAME, "other"),
        ] {
            let connection = try guest.connect()
            connection.send(frame)
            #expect(connection.next() == Self.notUnderstood, "\(frame)")
            #expect(connection.next() == nil)
        }
        let running = try guest.run(.shell("echo ready; sleep 1000"))
        #expect(running.output(upTo: "ready\n") != nil)
        running.send(.value(ALCOVE_FRAME_SIGNAL, 65))
        #expect(running.next() == Self.notUnderstood)
        let looking = try guest.run(
            .shell("until [ $# = 2 ]; do set -- /proc/[0-9]*; done; echo none"))
        #expect(looking.outcome().text == "none\n")
        guest.link.send(.text(ALCOVE_FRAME_RESEED, "too short"))
        #expect(guest.link.next() == Self.notUnderstood)
        #expect(guest.wait() == Self.restarted)
    }

    @Test("A guest that cannot bound its processes ends, as one that is told nonsense")
    func processes() throws {
        for (frame, answer) in [
            // This one is no machine's first process, and makes no groups of processes.
            (Frame.value(ALCOVE_FRAME_PROCESSES, 10), nil),
            (Frame.value(ALCOVE_FRAME_PROCESSES, 1), Self.notUnderstood),
            (Frame.value(ALCOVE_FRAME_PROCESSES, -1), Self.notUnderstood),
        ] {
            let guest = try GuestInit.ready()
            guest.link.send(frame)
            #expect(guest.link.next() == answer)
            #expect(guest.wait() == Self.restarted)
        }
    }

    @Test("Its memory and its descriptors do not grow with what it handles")
    func growth() throws {
        let guest = try GuestInit.ready()
        func round() throws {
            let connection = try guest.run(
                .shell("head -c 3000 /dev/zero; exit 3") { $0.flags = Self.input })
            #expect(connection.outcome().last == exited(3))
            // Its end tells that nothing is open of it any more.
            #expect(connection.next() == nil)
        }
        for _ in 0..<20 { try round() }
        let (memory, count) = (try guest.residentKilobytes(), try guest.descriptorCount())
        for _ in 0..<100 { try round() }
        #expect(try guest.residentKilobytes() == memory)
        #expect(try guest.descriptorCount() == count)
    }
}
