import CInitProtocol
import Foundation
import TestSupport
import Testing

@Suite("Processes of a guest", .needs(.root))
struct GuestProcessTests {
    private static let input = Int32(ALCOVE_GUEST_INPUT)

    @Test("A guest says first that it is ready, and by which version")
    func ready() throws {
        let guest = try GuestInit()
        let ready = try #require(guest.link.next())
        #expect(ready.kind == ALCOVE_FRAME_READY && ready.content.count == 16)
        #expect(ready.content.first == UInt8(ALCOVE_GUEST_VERSION))
        #expect(ready.numbers[1] > 0)
    }

    @Test("The workload runs by the link: input, both outputs, exit code, in this order")
    func workload() throws {
        let guest = try GuestInit.ready()
        let start = Start.shell("read -r line; echo $line $$; echo oh >&2; exit 7") {
            $0.flags = Self.input
        }
        guest.link.send(start.frame, .text(ALCOVE_FRAME_INPUT, "some words\n"))
        let started = try #require(guest.link.next())
        #expect(started.kind == ALCOVE_FRAME_STARTED)
        let process = try #require(started.value)
        let outcome = guest.link.outcome()
        #expect(outcome.text == "some words \(process)\n")
        #expect(outcome.errorText == "oh\n")
        #expect(outcome.last == exited(7))
        #expect(kill(guest.pid, 0) == 0)
    }

    @Test("A command has its own connection, which ends with it")
    func command() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(.shell("echo here"))
        let outcome = connection.outcome()
        #expect(outcome.text == "here\n" && outcome.last == exited(0))
        #expect(connection.next() == nil)
        #expect(kill(guest.pid, 0) == 0)
    }

    @Test("It has the user, group, directory, environment and limits that were asked for")
    func identity() throws {
        let guest = try GuestInit.ready()
        let script = "id -u; id -g; id -G; pwd; echo $WORD; ulimit -Sn; ulimit -Hn; umask"
        let outcome = try guest.run(
            .shell(script) {
                $0.user = 1234
                $0.group = 4321
                $0.directory = "/tmp"
                $0.environment.append("WORD=one two")
                $0.limits = [(7, 50, 60)]
            }
        ).outcome()
        #expect(
            outcome.text.split(separator: "\n")
                == ["1234", "4321", "4321", "/tmp", "one two", "50", "60", "0022"])
        #expect(outcome.last == exited(0))
    }

    @Test("Programs are tried in order, and what fails is told with its stage")
    func programs() throws {
        let guest = try GuestInit.ready()
        var several = Start("/nonexistent/sh", ["bash", "-c", "exit 5"])
        several.programs += ["/etc/passwd/sh", "/bin/bash", "/nonexistent"]
        #expect(try guest.run(several).outcome().last == exited(5))

        func failure(_ change: (inout Start) -> Void) throws -> Frame? {
            try guest.run(.shell("exit 0", change)).outcome().last
        }
        func failed(_ error: Int32, _ stage: alcove_execute_stage) -> Frame {
            .value(ALCOVE_FRAME_FAILED, error, stage.rawValue)
        }
        #expect(
            try failure { $0.programs = ["/nonexistent"] } == failed(ENOENT, ALCOVE_STAGE_PROGRAM))
        #expect(
            try failure { $0.programs = ["/etc/passwd"] } == failed(EACCES, ALCOVE_STAGE_PROGRAM))
        #expect(
            try failure { $0.directory = "/none" } == failed(ENOENT, ALCOVE_STAGE_DIRECTORY))
        #expect(try failure { $0.limits = [(7, 9, 8)] } == failed(EINVAL, ALCOVE_STAGE_LIMITS))
        #expect(
            try failure {
                $0.user = 1
                $0.directory = "/root"
            } == failed(EACCES, ALCOVE_STAGE_DIRECTORY))
    }

    @Test("Without an input it reads nothing; its streams can be opened anew by any user")
    func streams() throws {
        let guest = try GuestInit.ready()
        let script = "cat; echo one > /dev/stdout; echo two > /dev/stderr; ls /proc/self/fd"
        let outcome = try guest.run(.shell(script) { $0.user = 1234 }).outcome()
        #expect(outcome.text == "one\n0\n1\n2\n3\n")
        #expect(outcome.errorText == "two\n")
    }

    @Test("The end of its input is passed on, and input that nobody reads is dropped")
    func endOfInput() throws {
        let guest = try GuestInit.ready()
        let counting = try guest.run(.shell("wc -c") { $0.flags = Self.input })
        let piece = Frame(kind: ALCOVE_FRAME_INPUT, content: Array(repeating: 65, count: 16384))
        for _ in 0..<20 { counting.send(piece) }
        counting.send(Frame(kind: ALCOVE_FRAME_INPUT_END))
        #expect(counting.outcome().text == "327680\n")

        let closing = try guest.run(
            .shell("exec 0<&-; echo closed; read -r -u 3 line; exit 3") { $0.flags = Self.input })
        #expect(closing.output(upTo: "closed\n") != nil)
        for _ in 0..<20 { closing.send(piece) }
        #expect(closing.outcome().last == exited(3))
    }

    @Test("A signal goes to its process group, and one that ends it is told")
    func signals() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(
            .shell(
                "trap 'echo got; exit 9' USR1; (trap 'echo child' USR1; echo x; sleep 1000) & wait")
        )
        #expect(connection.output(upTo: "x\n") != nil)
        connection.send(.value(ALCOVE_FRAME_SIGNAL, SIGUSR1))
        let outcome = connection.outcome()
        #expect(outcome.text.contains("got\n") && outcome.last == exited(9))

        let killed = try guest.run(.shell("echo x; exec sleep 1000"))
        #expect(killed.output(upTo: "x\n") != nil)
        killed.send(.value(ALCOVE_FRAME_SIGNAL, SIGTERM))
        #expect(killed.outcome().last == .value(ALCOVE_FRAME_SIGNALED, SIGTERM))
    }

    @Test("A kill by the kernel for want of memory is told as such, one by the host is not")
    func outOfMemory() throws {
        let guest = try GuestInit.ready()
        let mark = UInt32(ALCOVE_GUEST_DETAIL_OUT_OF_MEMORY)
        let first = try guest.run(.shell("echo x; read -r line; kill -KILL $$") { $0.flags = 2 })
        let second = try guest.run(.shell("echo x; exec sleep 1000"))
        #expect(first.output(upTo: "x\n") != nil && second.output(upTo: "x\n") != nil)
        try guest.setKills(1)
        first.send(.text(ALCOVE_FRAME_INPUT, "\n"))
        #expect(first.outcome().last == .value(ALCOVE_FRAME_SIGNALED, SIGKILL, mark))
        second.send(.value(ALCOVE_FRAME_SIGNAL, SIGKILL))
        #expect(second.outcome().last == .value(ALCOVE_FRAME_SIGNALED, SIGKILL))
        // That was before its time.
        let third = try guest.run(.shell("kill -KILL $$"))
        #expect(third.outcome().last == .value(ALCOVE_FRAME_SIGNALED, SIGKILL))
        // Of the workload, nothing was before.
        guest.link.send(Start.shell("kill -KILL $$").frame)
        #expect(guest.link.outcome().last == .value(ALCOVE_FRAME_SIGNALED, SIGKILL, mark))
    }

    @Test(
        "What its process left in the pipes comes before the end, and who is left is not waited for"
    )
    func drained() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(
            .shell("sleep 1000 & head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2"))
        let outcome = connection.outcome()
        #expect(outcome.output.count == 60000 && outcome.error.count == 60000)
        #expect(outcome.last == exited(0))
    }

    @Test("Abandoned processes are reaped")
    func orphans() throws {
        let guest = try GuestInit.ready()
        let connection = try guest.run(
            .shell(
                """
                for ((i = 0; i < 100; i++)); do (true &); done
                until [ $# = 2 ]; do set -- /proc/[0-9]*; done
                """))
        #expect(connection.outcome().last == exited(0))
    }
}
