"""Logs and Stats."""
import time

import grpc
from agent import Agent, controllers
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
messages = api.sandboxes
OUT, ERR = messages.LOG_STREAM_STDOUT, messages.LOG_STREAM_STDERR


def lines(entries):
    return [(entry.stream, entry.data) for entry in entries]


def logs(agent):
    """What was written, by stream, tail and time."""
    before = time.time_ns()
    agent.run("l", "sh", "-c", "for n in 1 2 3 4 5; do echo o$n; echo e$n >&2; done; printf end")
    agent.wait("l")
    entries = agent.logs("l")
    out = [e for e in entries if e.stream == OUT]
    err = [e for e in entries if e.stream == ERR]
    assert [e.data for e in out] == [b"o1\n", b"o2\n", b"o3\n", b"o4\n", b"o5\n", b"end"], out
    assert [e.data for e in err] == [b"e1\n", b"e2\n", b"e3\n", b"e4\n", b"e5\n"], err
    assert len(entries) == 11 and not any(e.partial or e.lost for e in entries)
    # In order within a stream; the two are read one after the other.
    for stream in (out, err):
        times = [e.at_nanoseconds for e in stream]
        assert times == sorted(times) and (
            before <= times[0] <= times[-1] <= time.time_ns()), (before, times)
    times = sorted(e.at_nanoseconds for e in entries)
    assert agent.logs("l", streams=[ERR]) == err and agent.logs("l", streams=[OUT, ERR]) == entries
    for count in (0, 1, 3, 11, 100):
        assert agent.logs("l", tail=count) == entries[max(0, 11 - count):], count
    assert agent.logs("l", tail=2, streams=[ERR]) == err[-2:]
    assert agent.logs("l", since_at_nanoseconds=times[4]) == [
        e for e in entries if e.at_nanoseconds >= times[4]]
    assert agent.logs("l", since_at_nanoseconds=times[-1] + 1) == []
    # Following what has ended gives all, and ends.
    assert agent.logs("l", follow=True) == entries
    agent.restart()
    assert agent.logs("l") == entries
    for bad in ([0], [3]):
        refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Logs,
                messages.LogsRequest(id="l", streams=bad))
    agent.delete("l")
    refused(Code.NOT_FOUND, agent.calls.sandboxes.Logs, messages.LogsRequest(id="l"))
    agent.create("l")
    assert agent.logs("l") == []
    agent.delete("l")


def following(agent):
    """Lines come as they are written, to each who follows, and the stream ends with it."""
    agent.create("f", "sh", "-c", "n=0; while [ $n -lt 50 ]; do echo $n; n=$((n+1)); done; read x;"
                 " echo last; exit 0")
    # Also of one that has not started yet.
    early = agent.calls.sandboxes.Logs(messages.LogsRequest(id="f", follow=True), timeout=60)
    agent.begin("f")
    agent.wait("f")
    assert [e.data for e in early] == [b"%d\n" % n for n in range(50)] + [b"last\n"]
    agent.delete("f")
    agent.run("f", "sh", "-c", "n=0; while :; do echo $n; n=$((n+1)); sleep 0.01; done")
    streams = [agent.calls.sandboxes.Logs(messages.LogsRequest(id="f", follow=True), timeout=60)
               for _ in range(5)]
    for stream in streams:
        assert [next(stream).data for _ in range(30)] == [b"%d\n" % n for n in range(30)]
    tail = agent.calls.sandboxes.Logs(
        messages.LogsRequest(id="f", follow=True, tail=0), timeout=60)
    first = int(next(tail).data)
    assert first >= 29 and int(next(tail).data) == first + 1
    agent.stop("f")
    for stream in [*streams, tail]:
        numbers = [int(entry.data) for entry in stream if not entry.partial]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    whole = [int(entry.data) for entry in agent.logs("f")]
    assert whole == list(range(len(whole)))
    agent.delete("f")
    # A removal ends it too.
    agent.run("f", "sh", "-c", "echo up; exec sleep 1000")
    stream = agent.calls.sandboxes.Logs(messages.LogsRequest(id="f", follow=True), timeout=60)
    assert next(stream).data == b"up\n"
    agent.delete("f", force=True)
    try:
        assert list(stream) == []
    except grpc.RpcError as error:
        assert error.code() in (Code.NOT_FOUND, Code.ABORTED), error


def over_restarts(agent):
    """Nothing is lost of what a sandbox writes while no agent is there."""
    agent.run("o", "sh", "-c", "n=0; while [ $n -lt 3000 ]; do echo $n; n=$((n+1));"
              " [ $((n % 10)) = 0 ] && sleep 0.002; done; exit 4")
    for _ in range(3):
        agent.kill()
        agent.start()
    ended = agent.wait("o")
    assert ended.outcome.exit_code == 4, ended
    assert agent.output("o") == b"".join(b"%d\n" % n for n in range(3000))
    agent.delete("o")
    # One that ends while nobody is there.
    agent.run("o", "sh", "-c", "sleep 0.2; echo bye; exit 6")
    agent.kill()
    eventually(lambda: not agent.processes())
    agent.start()
    ended = agent.wait("o")
    assert ended.outcome.exit_code == 6 and agent.output("o") == b"bye\n", ended
    agent.delete("o")


def long_lines(agent):
    """Lines longer than an entry come in parts, and any bytes as they are."""
    agent.run("b", "sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo; printf '\\377\\0\\n'")
    agent.wait("b")
    entries = agent.logs("b")
    assert b"".join(e.data for e in entries) == b"x" * 200000 + b"\n\xff\0\n"
    assert max(len(e.data) for e in entries) <= 65536
    assert [e.partial for e in entries if not e.data.endswith(b"\n")].count(False) == 0
    assert not entries[-1].partial and entries[-1].data == b"\xff\0\n"
    agent.delete("b")


def bounded(agent):
    """Old lines go, their number is told, the newest stay, and the disk holds little."""
    count, filler = 60_000, "x" * 100
    agent.run("m", "sh", "-c", f"seq 1 {count} | sed s/$/{filler}/; seq 1 {count}")
    agent.wait("m")
    entries = agent.logs("m")
    assert entries[-1].data == b"%d\n" % count
    held = sum(len(entry.data) for entry in entries)
    assert len(entries) + sum(entry.lost for entry in entries) == 2 * count, (
        len(entries), sum(entry.lost for entry in entries))
    assert entries[0].lost > 0 and held < count * 106, (entries[0], held)
    tail = agent.logs("m", tail=10)
    assert [e.data for e in tail] == [b"%d\n" % n for n in range(count - 9, count + 1)]
    agent.delete("m")


def restless(agent):
    """Without following, a call ends though the workload writes faster than it is read."""
    agent.run("r", "sh", "-c", "yes $(head -c 4000 /dev/zero | tr '\\0' x)")
    eventually(lambda: agent.logs("r", tail=1))
    for _ in range(3):
        entries = agent.logs("r")
        assert sum(len(entry.data) for entry in entries) < 64 << 20, len(entries)
        # The last line of each stream goes on.
        assert 1 <= len(agent.logs("r", tail=10)) <= 12
    agent.delete("r", force=True)


def stats(agent):
    agent.run("s", "sh", "-c", "while :; do :; done")
    call = agent.calls.sandboxes.Stats
    once = list(call(messages.StatsRequest(id="s"), timeout=60))
    assert len(once) == 1 and once[0].at_nanoseconds
    stream = call(messages.StatsRequest(id="s", interval_nanoseconds=20_000_000), timeout=60)
    answers = [next(stream) for _ in range(10)]
    times = [each.at_nanoseconds for each in answers]
    assert times == sorted(set(times))
    assert answers[-1].HasField("cpu"), answers[-1]
    used = [each.cpu.user_microseconds + each.cpu.system_microseconds for each in answers]
    assert used == sorted(used) and used[-1] > used[0], used
    has = controllers()
    for name, controller in (("memory", "memory"), ("pids", "pids")):
        if controller in has:
            assert answers[-1].HasField(name), answers[-1]
    if answers[-1].HasField("pids"):
        assert answers[-1].pids.current >= 2
    agent.stop("s")
    # It ends with the sandbox.
    for _ in stream:
        pass
    assert stream.code() == Code.OK, stream.details()
    refused(Code.FAILED_PRECONDITION, call, messages.StatsRequest(id="s"))
    refused(Code.INVALID_ARGUMENT, call, messages.StatsRequest(id="s", interval_nanoseconds=1))
    agent.delete("s")
    agent.create("s")
    refused(Code.FAILED_PRECONDITION, call, messages.StatsRequest(id="s"))
    agent.delete("s")


def network(agent):
    agent.run("n", "sh", "-c", "ping -c 3 127.0.0.1; exec sleep 1000")
    answer, = agent.calls.sandboxes.Stats(messages.StatsRequest(id="n"), timeout=60)
    assert answer.at_nanoseconds
    if answer.HasField("network"):
        assert answer.network.received_packets >= 0
    agent.delete("n", force=True)


def with_agent(part):
    def run():
        with Agent() as agent:
            part(agent)
    run.__name__ = part.__name__
    return run


run_parts(*map(with_agent, (logs, following, over_restarts, long_lines, bounded, restless,
                            stats, network)))
