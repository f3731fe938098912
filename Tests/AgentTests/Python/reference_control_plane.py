"""The reference control plane, judged by a fake agent that keeps the contract and ones that break
it. Needs no agent."""
import os
import subprocess
import sys
import tempfile

import grpc
from fake_agent import FakeAgent, Message
from support import api, eventually, fails, run_parts

import record as records
import service

Code = grpc.StatusCode
RUNNING, STOPPED = api.types.SANDBOX_STATE_RUNNING, api.types.SANDBOX_STATE_STOPPED
EXAMPLE = os.path.dirname(os.path.realpath(service.__file__))


class Pair:
    """A control plane and a fake agent, in a folder of their own."""

    def __init__(self, state=False, heartbeat=0.1, agent=True, **faults):
        self.folder = tempfile.TemporaryDirectory(prefix="alcove-test-")
        self.path = f"{self.folder.name}/s"
        self.state = f"{self.folder.name}/state.json" if state else None
        self.heartbeat = heartbeat
        self.serve(**faults)
        self.agent = FakeAgent(self.path).start() if agent else None

    def serve(self, **faults):
        self.plane = service.Plane(records.Record(self.state), self.heartbeat,
                                   service.Faults(**faults), seed=1)
        self.server = service.serve(self.plane, self.path)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.agent:
            self.agent.stop()
        self.server.stop(None).wait()
        self.folder.cleanup()

    @property
    def node(self):
        return self.plane.record.nodes.get("n1") or records.NodeRecord("n1")

    def settled(self):
        """All that happened is known, and acknowledged where it is."""
        with self.agent.lock, self.plane.record.lock:
            told = {key: each.state for key, each in self.agent.sandboxes.items()}
            known = {key: each.state for key, each in self.node.sandboxes.items()}
            return (self.node.last_event == self.agent.last == self.agent.acknowledged
                    and told == known)

    def live(self, first, count):
        """Some sandboxes' lives."""
        for number in range(first, first + count):
            self.agent.create(f"s{number}")
            self.agent.change(f"s{number}", RUNNING)
            if number % 3:
                self.agent.change(f"s{number}", STOPPED)
            if number % 3 == 1:
                self.agent.remove(f"s{number}")


def steady():
    with Pair() as pair:
        pair.live(0, 250)
        eventually(pair.settled)
        assert pair.node.condition() == "ready" and pair.node.name == "node-1"
        numbers = [event.number for event in pair.node.events]
        assert numbers == list(range(1, pair.agent.last + 1))
        assert not pair.plane.violations and pair.plane.sessions == 1
        resyncs = pair.node.resyncs
        pair.plane.resync("n1")
        eventually(lambda: pair.node.resyncs == resyncs + 1)
        pair.plane.drain("n1", 5)
        eventually(lambda: pair.node.drain is not None and pair.node.drain.draining)
        pair.plane.end_drain("n1")
        eventually(lambda: not pair.node.drain.draining)
        heard = pair.node.heard_at
        eventually(lambda: pair.node.heard_at > heard)
        assert not pair.plane.violations


def dropped():
    """Sessions end all the time, acknowledgements are late, and nothing is lost or reordered."""
    with Pair(drop_after=0.1, delay_acknowledgements=0.03, refuse_registers=3) as pair:
        for first in range(0, 400, 20):
            pair.live(first, 20)
            pair.agent.stopped.wait(0.05)
        eventually(lambda: pair.plane.sessions >= 5)
        pair.plane.faults.drop_after = 0
        eventually(pair.settled)
        numbers = [event.number for event in pair.node.events]
        assert numbers == list(range(1, pair.agent.last + 1))
        assert not pair.plane.violations, pair.plane.violations
        assert pair.plane.sessions >= 5 and pair.node.lost_events == 0


def forgotten():
    """What was acknowledged and forgotten is told by the resync."""
    with Pair(drop_after=0.1, forget=0.5) as pair:
        for first in range(0, 200, 20):
            pair.live(first, 20)
            pair.agent.stopped.wait(0.05)
        pair.plane.faults.drop_after = 0
        eventually(pair.settled)
        pair.plane.forget()
        eventually(pair.settled)
        assert not pair.plane.violations, pair.plane.violations


def restarted():
    """A control plane with a file goes on where it was."""
    with Pair(state=True) as pair:
        pair.live(0, 30)
        eventually(pair.settled)
        last = pair.agent.last
        pair.server.stop(None).wait()
        pair.live(30, 30)
        pair.serve()
        eventually(pair.settled)
        assert pair.agent.welcomes[-1] == last
        assert [e.number for e in pair.node.events] == list(range(last + 1, pair.agent.last + 1))
        assert not pair.plane.violations


def unwanted():
    with Pair(unwanted={"node-1"}) as pair:
        eventually(lambda: pair.agent.failures)
        assert pair.agent.failures[0].code() == Code.PERMISSION_DENIED
    with Pair(agent=False) as pair, grpc.insecure_channel(f"unix:{pair.path}") as channel:
        stub = api.control_plane_services.ControlPlaneStub(channel)
        hello = Message(hello=Message.Hello(node_id="n1", session_token=b"stale"))
        fails(Code.UNAUTHENTICATED, stub.Session, iter([hello]), timeout=10)


def breaches():
    """Each breach of the contract is found, and ends the session."""
    def event(number, **keywords):
        keywords = keywords or {"agent_started": api.types.Event.AgentStarted()}
        return Message(event=api.types.Event(number=number, **keywords))

    def resync(**keywords):
        return Message(resync=Message.Resync(**keywords))

    one = api.types.Sandbox(id="a")
    cases = {
        "event 3 came after 1": [event(1), event(3)],
        "event 1 came after 2": [event(1), event(2), event(1)],
        "event 2 came where 1 was due": [event(2)],
        "a heartbeat came as an event": [event(1, heartbeat=api.types.Event.Heartbeat())],
        "a resync that was not ordered": [resync(complete=True)],
        "a second hello": [Message(hello=Message.Hello(node_id="n1"))],
        "an answer to a drain that was not ordered": [Message(drain=api.node.DrainResponse())],
        "capacity 1 came after 2": [
            Message(capacity=api.node.Capacity(version=2)),
            Message(capacity=api.node.Capacity(version=1))],
        "a heartbeat names an event before those that came": [
            event(1), Message(heartbeat=Message.Heartbeat())],
        "different event numbers": ["resync", resync(event_number=1),
                                    resync(event_number=2, complete=True)],
        "101 sandboxes in one part": ["resync", resync(sandboxes=[one] * 101)],
        "a sandbox came twice": ["resync", resync(sandboxes=[one, one], complete=True)],
        "events told of": ["resync", resync(sandboxes=[one], complete=True)],
    }
    for text, lines in cases.items():
        def misbehave(agent, outgoing):
            agent.stopped.set()
            if lines[0] == "resync":
                pair.plane.resync("n1")
            for line in lines:
                if line != "resync":
                    outgoing.put(line)

        with Pair(agent=False) as pair:
            agent = FakeAgent(pair.path)
            agent.misbehave = misbehave
            agent.run()
            assert agent.failures[-1].code() == Code.INVALID_ARGUMENT, text
            assert len(pair.plane.violations) == 1, pair.plane.violations
            assert text in pair.plane.violations[0], (text, pair.plane.violations)


def lost_events():
    """An agent that has forgotten what was acknowledged says so, which is no breach."""
    with Pair() as pair:
        pair.live(0, 5)
        eventually(pair.settled)
        last = pair.agent.last
        pair.plane.forget()
        pair.live(5, 5)
        eventually(pair.settled)
        assert pair.node.lost_events == last and not pair.plane.violations


def program():
    """The program: its table, its orders, its end."""
    with tempfile.TemporaryDirectory(prefix="alcove-test-") as folder:
        path = f"{folder}/s"
        process = subprocess.Popen(
            [sys.executable, "-B", f"{EXAMPLE}/control_plane.py", path, "--assert",
             "--heartbeat", "0.1", "--events"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stdout.readline().startswith("serving on ")
            agent = FakeAgent(path).start()
            agent.create("a")
            assert process.stdout.readline() == "node-1  1  a  created\n"

            def ask(text):
                process.stdin.write(text + "\n")
                process.stdin.flush()
                return process.stdout.readline()

            assert ask("drain node-1 10") == "ordered\n"
            eventually(lambda: agent.draining)
            assert ask("undrain node-1") == "ordered\n"
            assert ask("drain other").startswith("failed: no node")
            assert "node-1  a  created" in ask("sandboxes")
            assert ask("nodes").startswith("NODE") and "1 created" in process.stdout.readline()
            agent.stop()
            process.stdin.write("quit\n")
            process.stdin.flush()
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
            process.communicate()


run_parts(steady, dropped, forgotten, restarted, unwanted, breaches, lost_events, program)
