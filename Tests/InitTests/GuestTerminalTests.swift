import CInitProtocol
import TestSupport
import Testing

@Suite("Terminals of a guest", .needs(.root))
struct GuestTerminalTests {
    private static func terminal(_ script: String, user: UInt32 = 0) -> Start {
        .shell(script) {
            $0.flags = Int32(ALCOVE_GUEST_TERMINAL)
            $0.rows = 33
            $0.columns = 77
            $0.user = user
        }
    }

    @Test("It is the controlling terminal, of its user, with the size that was asked for")
    func terminal() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(
            Self.terminal("stty size; echo x > /dev/tty; stat -c %u $(tty)", user: 1234))
        let outcome = connection.outcome()
        #expect(outcome.text == "33 77\r\nx\r\n1234\r\n" && outcome.error.isEmpty)
        #expect(outcome.last == exited(0))
    }

    @Test("A new size is told to it")
    func resize() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(
            Self.terminal("trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 1; done"))
        #expect(connection.output(upTo: "ready\r\n") != nil)
        connection.send(.value(ALCOVE_FRAME_RESIZE, 10 << 16 | 20))
        let outcome = connection.outcome()
        #expect(outcome.text == "10 20\r\n" && outcome.last == exited(4))
    }

    @Test("Input is typed: it is echoed, and its control characters act")
    func input() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(Self.terminal("cat; echo end; sleep 1000"))
        connection.send(.text(ALCOVE_FRAME_INPUT, "word\n"))
        #expect(connection.output(upTo: "word\r\nword\r\n") != nil)
        // A terminal has no end of input: the byte 4 ends what reads it.
        connection.send(Frame(kind: ALCOVE_FRAME_INPUT_END))
        connection.send(.text(ALCOVE_FRAME_INPUT, "\u{4}"))
        #expect(connection.output(upTo: "end\r\n") != nil)
        connection.send(.text(ALCOVE_FRAME_INPUT, "\u{3}"))
        #expect(connection.outcome().last == .value(ALCOVE_FRAME_SIGNALED, 2))
    }

    @Test("Who has it, in another process group, is hung up when the connection goes")
    func hangUp() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(
            Self.terminal("set -m; (trap 'exit 0' HUP; echo ready; while :; do sleep 1; done)"))
        #expect(connection.output(upTo: "ready\r\n") != nil)
        connection.close()
        let looking = try guest.run(
            .shell("until [ $# = 2 ]; do set -- /proc/[0-9]*; done; echo none"))
        #expect(looking.outcome().text == "none\n")
    }

    @Test("Much output through a terminal is all there before the end")
    func output() throws {
        let guest = try GuestInit.ready()
        let outcome = try guest.run(Self.terminal("stty raw; head -c 1000000 /dev/zero")).outcome()
        #expect(outcome.output.count == 1_000_000)
        #expect(outcome.last == exited(0))
    }
}
