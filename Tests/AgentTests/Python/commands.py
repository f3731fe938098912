"""Exec: streams, terminals, input, signals, ends."""
import os

import grpc
from agent import Agent
from execution import Execution, Request, execute
from support import api, eventually, fails, run_parts

Code = grpc.StatusCode
MIB = 1 << 20


def basics(agent):
    calls = agent.calls
    assert execute(calls, "e", "echo", "hello") == (0, b"hello\n", b"")
    assert execute(calls, "e", "sh", "-c", "echo out; echo err >&2; exit 5") == (
        5, b"out\n", b"err\n")
    assert execute(calls, "e", "sh", "-c", "kill -9 $$")[0] == -9
    assert execute(calls, "e", "sh", "-c", "echo $A-$B; pwd", environment=["B=2"],
                   working_directory="/tmp") == (0, b"1-2\n/tmp\n", b"")
    assert execute(calls, "e", "sh", "-c", "echo $A", environment=["A=other"]) == (
        0, b"other\n", b"")
    execution = Execution(calls, "e", "true")
    assert execution.finish() == 0 and execution.pid > 0
    assert execution.messages == ["started", "exit"]


def user(agent):
    """The sandbox's own user by default; another one where it may be."""
    assert execute(agent.calls, "e", "id", "-u") == (0, b"0\n", b"")
    try:
        assert execute(agent.calls, "e", "id", "-u", user="1000:1000") == (0, b"1000\n", b"")
    except grpc.RpcError as error:
        assert error.code() in (Code.FAILED_PRECONDITION, Code.UNIMPLEMENTED), error
        assert api.detail(error).code


def refuse_user(agent):
    """Nobody of that name; an agent may also not switch users at all."""
    execution = Execution(agent.calls, "e", "true", user="no-such-user")
    try:
        execution.finish()
        raise AssertionError("it ran as nobody")
    except grpc.RpcError as error:
        assert error.code() in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED), error
        assert api.detail(error).code


def refusals(agent):
    def refuse(code, *requests):
        error = fails(code, agent.calls.sandboxes.Exec, iter(requests), timeout=60)
        assert api.detail(error).code, error

    def start(**fields):
        return Request(start=Request.Start(
            **{"sandbox_id": "e", "command": ["true"], **fields}))

    refuse(Code.INVALID_ARGUMENT, Request(stdin=b"x"))
    refuse(Code.INVALID_ARGUMENT, Request())
    refuse(Code.INVALID_ARGUMENT, start(command=[]))
    refuse(Code.INVALID_ARGUMENT, start(command=[""]))
    refuse(Code.INVALID_ARGUMENT, start(command=["a\0b"]))
    refuse(Code.INVALID_ARGUMENT, start(environment=["A"]))
    refuse(Code.INVALID_ARGUMENT, start(working_directory="relative"))
    refuse_user(agent)
    refuse(Code.NOT_FOUND, start(sandbox_id="nobody"))
    refuse(Code.FAILED_PRECONDITION, start(command=["/no/such"]))
    refuse(Code.FAILED_PRECONDITION, start(working_directory="/no/such"))
    refuse(Code.FAILED_PRECONDITION, start(working_directory="/etc/passwd"))
    refuse(Code.INVALID_ARGUMENT, start(command=["cat"]), start())
    refuse(Code.INVALID_ARGUMENT, start(command=["cat"]), Request(signal=65))
    refuse(Code.INVALID_ARGUMENT)
    agent.create("idle")
    refuse(Code.FAILED_PRECONDITION, start(sandbox_id="idle"))
    agent.stop("idle")
    refuse(Code.FAILED_PRECONDITION, start(sandbox_id="idle"))
    agent.delete("idle")


def stdin(agent):
    """Input as a message, large ones, its end by a message and by the end of the stream."""
    one = Execution(agent.calls, "e", "cat").send(stdin=b"a\n").send(stdin=b"b\n").end_input()
    assert one.finish() == 0 and one.stdout == b"a\nb\n"
    one = Execution(agent.calls, "e", "cat").send(stdin=b"a\n").half_close()
    assert one.finish() == 0 and one.stdout == b"a\n"
    block = os.urandom(MIB)
    one = Execution(agent.calls, "e", "cat")
    for _ in range(8):
        one.send(stdin=block)
    assert one.end_input().finish() == 0 and one.stdout == block * 8
    # A conversation.
    one = Execution(agent.calls, "e", "cat")
    for number in range(20):
        line = b"%d\n" % number
        one.send(stdin=line).until(lambda e: e.stdout.endswith(line))
    assert one.end_input().finish() == 0
    # A command that does not read ends all the same, whenever that is in between the writes.
    for _ in range(50):
        one = Execution(agent.calls, "e", "true")
        for _ in range(4):
            one.send(stdin=block)
        assert one.finish() == 0
    # After its input's end it still takes signals.
    one = Execution(agent.calls, "e", "sh", "-c", "cat; echo closed; exec sleep 1000")
    one.end_input().until(lambda e: e.stdout == b"closed\n")
    assert one.send(signal=15).finish() == -15
    one = Execution(agent.calls, "e", "cat").send(stdin=block)
    assert one.end_input().finish() == 0 and one.stdout == block
    for size, codes in ((MIB + 1, [Code.INVALID_ARGUMENT]),
                        (5 * MIB, [Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT])):
        one = Execution(agent.calls, "e", "cat").send(stdin=bytes(size)).half_close()
        try:
            one.finish()
            raise AssertionError(f"{size} bytes in one message")
        except grpc.RpcError as error:
            assert error.code() in codes, error


def output(agent):
    """Much output, whole, by both streams."""
    code, out, err = execute(agent.calls, "e", "sh", "-c",
                             "head -c 8388608 /dev/zero; head -c 3145728 /dev/zero >&2")
    assert (code, len(out), len(err)) == (0, 8 * MIB, 3 * MIB)
    # What a child holds open after the command's end does not hold up the end of the call.
    one = Execution(agent.calls, "e", "sh", "-c", "sleep 1000 & echo $!")
    assert one.finish() == 0 and one.stdout.strip().isdigit(), one.stdout


def terminal(agent):
    size = api.sandboxes.TerminalSize
    one = Execution(agent.calls, "e", "sh", "-c", "tty; stty size; echo e >&2",
                    terminal=size(columns=91, rows=17))
    assert one.finish() == 0
    assert one.stdout.startswith(b"/dev/") and b"17 91\r\n" in one.stdout, one.stdout
    assert one.stdout.endswith(b"e\r\n") and one.stderr == b""
    one = Execution(agent.calls, "e", "sh", "-c",
                    "trap 'stty size' WINCH; echo up; while :; do sleep 0.02; done",
                    terminal=size(columns=80, rows=24))
    one.until(lambda e: b"up" in e.stdout)
    one.send(resize=size(columns=132, rows=43)).until(lambda e: b"43 132" in e.stdout)
    # ^C is a signal for what runs in the foreground.
    one.send(stdin=b"\x03")
    assert one.finish() in (-2, 130)
    one = Execution(agent.calls, "e", "cat", terminal=size(columns=80, rows=24))
    one.send(stdin=b"line\n").until(lambda e: e.stdout.count(b"line") == 2)
    one.send(stdin=b"\x04")
    assert one.finish() == 0
    one = Execution(agent.calls, "e", "sleep", "1000", terminal=size(columns=80, rows=24))
    one.until(lambda e: e.pid)
    one.half_close()
    one.cancel()


def signals(agent):
    one = Execution(agent.calls, "e", "sh", "-c",
                    "trap 'echo got' USR1; echo up; while :; do sleep 0.02; done")
    one.until(lambda e: e.stdout == b"up\n")
    one.send(signal=10).until(lambda e: e.stdout == b"up\ngot\n")
    assert one.send(signal=9).finish() == -9
    # The whole process group gets it.
    one = Execution(agent.calls, "e", "sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait")
    one.until(lambda e: e.stdout == b"up\n")
    before = len(agent.processes())
    assert one.send(signal=15).finish() == -15
    eventually(lambda: len(agent.processes()) <= before - 3)


def cancelled(agent):
    """Who cancels, passes its deadline or vanishes, leaves no process."""
    quiet = len(agent.processes())
    ends = []
    for _ in range(5):
        one = Execution(agent.calls, "e", "sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait")
        one.until(lambda e: e.stdout == b"up\n")
        ends.append(one)
    assert len(agent.processes()) >= quiet + 15
    for one in ends:
        one.cancel()
    eventually(lambda: len(agent.processes()) == quiet)
    late = Execution(agent.calls, "e", "sh", "-c", "trap '' TERM; echo up; sleep 1000; sleep 1000",
                     timeout=5)
    late.until(lambda e: e.stdout == b"up\n")
    try:
        late.finish()
        raise AssertionError("no deadline")
    except grpc.RpcError as error:
        assert error.code() == Code.DEADLINE_EXCEEDED
    eventually(lambda: len(agent.processes()) == quiet)
    # Cancelled before it can have begun.
    for _ in range(30):
        Execution(agent.calls, "e", "sleep", "1000").cancel()
    eventually(lambda: len(agent.processes()) == quiet)
    assert execute(agent.calls, "e", "echo", "on") == (0, b"on\n", b"")


def ends_with_sandbox(agent):
    """A command ends with its sandbox, and its call does."""
    agent.run("short")
    one = Execution(agent.calls, "short", "sleep", "1000").until(lambda e: e.pid)
    frozen = Execution(agent.calls, "short", "cat").until(lambda e: e.pid)
    agent.stop("short")
    for each in (one, frozen):
        try:
            assert each.finish() == -9
        except grpc.RpcError as error:
            assert error.code() in (Code.ABORTED, Code.FAILED_PRECONDITION, Code.CANCELLED,
                                    Code.UNAVAILABLE, Code.NOT_FOUND), error
    agent.delete("short")


def many(agent):
    """As many commands at once as a sandbox takes, and words for those beyond."""
    for _ in range(10):
        running = [Execution(agent.calls, "e", "cat").send(stdin=b"%d" % number).end_input()
                   for number in range(8)]
        for number, one in enumerate(running):
            assert one.finish() == 0 and one.stdout == b"%d" % number
    # 100 at once: each runs, or is refused for want of room.
    running = [Execution(agent.calls, "e", "cat").send(stdin=b"%d" % number)
               for number in range(100)]
    for one in running:
        one.until(lambda e: e.stdout or e.over)
    refusals = [one.error for one in running if one.over]
    assert len(refusals) < 100 and all(error is not None for error in refusals)
    for error in refusals:
        assert error.code() == Code.RESOURCE_EXHAUSTED, error
        assert api.detail(error).code, error
    for number, one in enumerate(running):
        if not one.over:
            assert one.end_input().finish() == 0 and one.stdout == b"%d" % number
    before = agent.descriptors()
    for _ in range(30):
        assert execute(agent.calls, "e", "true")[0] == 0
    eventually(lambda: agent.descriptors() <= before)


def paused(agent):
    agent.run("cold")
    agent.calls.sandboxes.Pause(api.sandboxes.PauseRequest(id="cold"), timeout=60)
    error = fails(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Exec, iter([
        Request(start=Request.Start(sandbox_id="cold", command=["true"]))]), timeout=60)
    assert api.detail(error).code
    agent.delete("cold", force=True)


def whole():
    parts = (basics, user, refusals, stdin, output, terminal, signals, cancelled,
             ends_with_sandbox, many, paused)

    def in_agent(part):
        def run():
            with Agent() as agent:
                agent.run("e", environment=["A=1"])
                part(agent)
                assert agent.get("e").outcome.ending.WhichOneof("how") is None
        run.__name__ = part.__name__
        return run

    return map(in_agent, parts)


run_parts(*whole())
