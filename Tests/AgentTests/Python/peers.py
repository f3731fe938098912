"""Peers that leave, wait, hurry and never read; sockets that may only look."""
import concurrent.futures
import os
import signal
import subprocess
import sys

import grpc
from agent import Agent, Calls
from execution import Execution, execute
from support import api, eventually, fails, run_parts

Code = grpc.StatusCode
messages, node = api.sandboxes, api.node


def warm_up(agent, sandbox_id):
    """What the agent opens once and keeps is open from here on."""
    stream = agent.calls.sandboxes.Logs(messages.LogsRequest(id=sandbox_id, follow=True))
    agent.list()
    stream.cancel()
    execute(agent.calls, sandbox_id, "true")


def deadlines(agent):
    """A deadline that passes ends the call, and nothing of it stays."""
    agent.run("d")
    calls = agent.calls
    warm_up(agent, "d")
    before = agent.descriptors()
    fails(Code.DEADLINE_EXCEEDED, calls.sandboxes.Wait, messages.WaitRequest(id="d"), timeout=0.05)
    fails(Code.DEADLINE_EXCEEDED, calls.sandboxes.Watch, messages.WatchRequest(), timeout=0.05)
    fails(Code.DEADLINE_EXCEEDED, calls.sandboxes.Logs,
          messages.LogsRequest(id="d", follow=True), timeout=0.05)
    fails(Code.DEADLINE_EXCEEDED, calls.sandboxes.Stats,
          messages.StatsRequest(id="d", interval_nanoseconds=10 ** 9), timeout=0.05)
    fails(Code.DEADLINE_EXCEEDED, calls.node.WatchCapacity, node.WatchCapacityRequest(),
          timeout=0.05)
    # A stop goes on without who asked for it.
    agent.run("slow", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    eventually(lambda: agent.output("slow") == b"up\n")
    fails(Code.DEADLINE_EXCEEDED, calls.sandboxes.Stop, messages.StopRequest(
        id="slow", grace_nanoseconds=300_000_000), timeout=0.05)
    assert agent.wait("slow").outcome.exit_code == 137
    # A create that is too late for its client is whole or not there at all.
    for number in range(100):
        try:
            calls.sandboxes.Create(messages.CreateRequest(
                id=f"c{number}", spec=agent.spec()), timeout=0.0005 * (1 + number % 5))
        except grpc.RpcError as error:
            assert error.code() in (Code.DEADLINE_EXCEEDED, Code.CANCELLED), error
    for number in range(100):
        agent.create(f"c{number}")
    assert len(agent.list()) == 102
    agent.delete_all()
    eventually(lambda: agent.descriptors() <= before)


def cancellations(agent):
    """Streams that are cancelled in the middle leave nothing."""
    agent.run("s", "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")
    warm_up(agent, "s")
    before = agent.descriptors()
    for _ in range(20):
        streams = [agent.calls.sandboxes.Watch(messages.WatchRequest(from_number=1)),
                   agent.calls.sandboxes.Logs(messages.LogsRequest(id="s", follow=True)),
                   agent.calls.sandboxes.Stats(messages.StatsRequest(
                       id="s", interval_nanoseconds=10_000_000)),
                   agent.calls.node.WatchCapacity(node.WatchCapacityRequest())]
        for stream in streams:
            next(stream)
            stream.cancel()
        waiting = agent.calls.sandboxes.Wait.future(messages.WaitRequest(id="s"))
        waiting.cancel()
    eventually(lambda: agent.descriptors() <= before)
    assert agent.get("s").pid


def many_calls(agent):
    """500 calls at once on one connection, of every kind."""
    agent.run("m", "sh", "-c", "echo line; exec sleep 1000")
    eventually(lambda: agent.output("m") == b"line\n")
    with Calls(agent.socket) as one:
        waits = [one.sandboxes.Wait.future(messages.WaitRequest(id="m"), timeout=60)
                 for _ in range(200)]
        watches = [one.sandboxes.Watch(messages.WatchRequest(from_number=1), timeout=60)
                   for _ in range(100)]
        logs = [one.sandboxes.Logs(messages.LogsRequest(id="m", follow=True), timeout=60)
                for _ in range(100)]
        # No more in one sandbox than it takes.
        names = [f"x{number}" for number in range(10)]
        for name in names:
            agent.run(name)
        execs = [Execution(one, names[n % 10], "cat").send(stdin=b"%d" % n) for n in range(50)]
        unary = [one.node.Info.future(node.InfoRequest(), timeout=60) for _ in range(50)]
        for call in unary:
            assert call.result().node_id
        for call in watches:
            assert next(call).number == 1
        for call in logs:
            assert next(call).data == b"line\n"
        for number, call in enumerate(execs):
            call.until(lambda e: e.stdout == b"%d" % number)
        # A new call gets through while all of these are there.
        assert agent.get("m").pid
        for call in execs:
            assert call.end_input().finish() == 0
        agent.stop("m")
        assert {call.result().sandbox.outcome.exit_code for call in waits} == {137}
        for call in logs:
            assert list(call) == []
        for call in watches:
            call.cancel()


def grown_kib(agent, before):
    return agent.resident_kib() - before


def not_reading(agent):
    """A peer that stops reading costs bounded memory, and holds nobody up."""
    agent.run("n", "sh", "-c", "while :; do head -c 60 /dev/zero | tr '\\0' x; echo; done")
    agent.run("e")
    eventually(lambda: len(agent.logs("n", tail=100)) == 100)
    before = agent.resident_kib()
    silent = []
    for _ in range(10):
        calls = Calls(agent.socket)
        silent.append(calls)
        calls.sandboxes.Logs(messages.LogsRequest(id="n", follow=True))
        flood = Execution(calls, "e", "sh", "-c", "head -c 268435456 /dev/zero", reads=False)
        watch = calls.sandboxes.Watch(messages.WatchRequest(from_number=1))
        silent += [flood, watch]
    # The commands wait for the peer with what it does not take.
    eventually(lambda: sum(1 for _ in agent.processes()) >= 14)
    for round_number in range(20):
        assert execute(agent.calls, "e", "echo", "quick") == (0, b"quick\n", b"")
        agent.create(f"x{round_number}")
        agent.delete(f"x{round_number}")
    # grpcio takes some of each stream by itself: up to 4 MiB of a message's window or so.
    assert grown_kib(agent, before) < 65536, grown_kib(agent, before)
    for each in silent:
        if isinstance(each, Calls):
            each.close()
    eventually(lambda: len(agent.processes()) <= 8)
    agent.delete_all()


VANISHING = """
import os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from agent import Calls
from execution import Execution
from support import api
calls = Calls(sys.argv[2])
executions = [Execution(calls, "v", "sh", "-c", "sleep 1000 & echo up; wait") for _ in range(8)]
for each in executions:
    each.until(lambda e: e.stdout == b"up\\n")
streams = [calls.sandboxes.Logs(api.sandboxes.LogsRequest(id="v", follow=True)) for _ in range(10)]
streams += [calls.sandboxes.Watch(api.sandboxes.WatchRequest(from_number=1)) for _ in range(10)]
for each in streams[10:]:
    next(each)
waiting = [calls.sandboxes.Wait.future(api.sandboxes.WaitRequest(id="v")) for _ in range(10)]
print("ready", flush=True)
sys.stdin.read()
"""


def vanishing(agent):
    """A peer that is killed leaves no command, descriptor or call."""
    agent.run("v", "sh", "-c", "echo up; exec sleep 1000")
    eventually(lambda: agent.output("v") == b"up\n")
    quiet = len(agent.processes())
    warm_up(agent, "v")
    before = agent.descriptors()
    for _ in range(3):
        peer = subprocess.Popen(
            [sys.executable, "-B", "-c", VANISHING, os.path.realpath(__file__), agent.socket],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert peer.stdout.readline() == "ready\n"
        assert len(agent.processes()) >= quiet + 16
        peer.send_signal(signal.SIGKILL)
        peer.wait()
        peer.stdin.close()
        peer.stdout.close()
        eventually(lambda: len(agent.processes()) == quiet)
    eventually(lambda: agent.descriptors() <= before)
    assert agent.get("v").pid
    agent.delete("v", force=True)


def connections(agent):
    """Connections that come and go, and many at once."""
    before = agent.descriptors()
    for _ in range(50):
        with Calls(agent.socket) as calls:
            calls.node.Info(node.InfoRequest(), timeout=60)
    several = [Calls(agent.socket) for _ in range(50)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(
            lambda c: c.node.Info(node.InfoRequest(), timeout=60).node_id, several))
    assert len(set(answers)) == 1
    for calls in several:
        calls.close()
    eventually(lambda: agent.descriptors() <= before)


def large(agent):
    """Messages of 1 MiB go, larger ones are refused, and the connection goes on."""
    agent.run("big")
    block = os.urandom(1 << 20)
    one = Execution(agent.calls, "big", "cat").send(stdin=block).end_input()
    assert one.finish() == 0 and one.stdout == block
    spec = agent.spec(environment=[f"V{n}={'x' * 4000}" for n in range(2000)])
    error = fails(Code.RESOURCE_EXHAUSTED, agent.calls.sandboxes.Create,
                  messages.CreateRequest(id="huge", spec=spec), timeout=60)
    assert error.details()
    assert agent.get("big").pid
    long = agent.spec(environment=[f"V{n}={'x' * 1000}" for n in range(100)])
    agent.calls.sandboxes.Create(messages.CreateRequest(id="long", spec=long), timeout=60)
    assert agent.get("long").spec == long
    agent.begin("long")
    code, out, _ = execute(agent.calls, "long", "sh", "-c", "echo ${#V0} ${#V99}")
    assert (code, out) == (0, b"1000 1000\n")


def read_only():
    """The second socket tells everything and changes nothing."""
    agent = Agent()
    agent.settings["monitor__path"] = f"{agent.folder}/run/read.sock"
    with agent:
        agent.run("r", "echo", "hello")
        agent.wait("r")
        agent.run("up")
        with Calls(f"{agent.folder}/run/read.sock") as calls:
            assert calls.sandboxes.Get(messages.GetRequest(id="r"), timeout=60).sandbox.id == "r"
            assert len(calls.sandboxes.List(messages.ListRequest(), timeout=60).sandboxes) == 2
            assert [e.data for e in calls.sandboxes.Logs(
                messages.LogsRequest(id="r"), timeout=60)] == [b"hello\n"]
            watch = calls.sandboxes.Watch(messages.WatchRequest(from_number=1), timeout=60)
            assert next(watch).number == 1
            watch.cancel()
            assert calls.node.Info(node.InfoRequest(), timeout=60).node_id
            assert calls.node.Capacity(node.CapacityRequest(), timeout=60).capacity.version
            assert calls.images.List(api.images.ListImagesRequest(), timeout=60) is not None
            assert calls.sandboxes.Wait(messages.WaitRequest(id="r"), timeout=60).sandbox.id
            denied = [
                (calls.sandboxes.Create, messages.CreateRequest(id="x", spec=agent.spec())),
                (calls.sandboxes.Start, messages.StartRequest(id="up")),
                (calls.sandboxes.Stop, messages.StopRequest(id="up")),
                (calls.sandboxes.Delete, messages.DeleteRequest(id="up", force=True)),
                (calls.sandboxes.Pause, messages.PauseRequest(id="up")),
                (calls.sandboxes.Resume, messages.ResumeRequest(id="up")),
                (calls.sandboxes.Snapshot, messages.SnapshotRequest(id="up")),
                (calls.sandboxes.UpdateResources, messages.UpdateResourcesRequest(id="up")),
                (calls.images.Import, api.images.ImportRequest(name="a", directory="/")),
                (calls.images.Remove, api.images.RemoveRequest(name="a")),
                (calls.images.Prune, api.images.PruneRequest()),
                (calls.images.Pin, api.images.PinRequest(name="a")),
                (calls.images.Check, api.images.CheckRequest()),
                (calls.node.Drain, node.DrainRequest(end=node.DrainRequest.End()))]
            for call, request in denied:
                fails(Code.PERMISSION_DENIED, call, request, timeout=60)
            fails(Code.PERMISSION_DENIED, calls.sandboxes.Exec, iter([
                messages.ExecRequest(start=messages.ExecRequest.Start(
                    sandbox_id="up", command=["true"]))]), timeout=60)
        assert len(agent.list()) == 2 and agent.get("up").pid


def with_agent(part):
    def run():
        with Agent() as agent:
            part(agent)
    run.__name__ = part.__name__
    return run


run_parts(*map(with_agent, (deadlines, cancellations, many_calls, not_reading, vanishing,
                            connections, large)), read_only)
