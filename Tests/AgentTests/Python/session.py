"""The agent as the client of a control plane: the reference one, with all its faults."""
import json
import os
import tempfile

import grpc
from agent import STATE, Agent
from support import api, eventually, refused, run_parts

import record as records
import service

Code = grpc.StatusCode


class Plane:
    """The reference control plane on a socket, which can be ended and begun again."""

    def __init__(self, heartbeat=0.1):
        self.folder = tempfile.TemporaryDirectory(prefix="alcove-test-")
        self.path = f"{self.folder.name}/plane.sock"
        self.state = f"{self.folder.name}/state.json"
        self.heartbeat = heartbeat
        self.plane = self.server = None

    def start(self, kept=True, **faults):
        if not kept and os.path.exists(self.state):
            os.unlink(self.state)
        self.plane = service.Plane(records.Record(self.state), self.heartbeat,
                                   service.Faults(**faults), seed=1)
        self.server = service.serve(self.plane, self.path)
        return self

    def stop(self):
        self.server.stop(None).wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()
        self.folder.cleanup()

    @property
    def node(self):
        """The record of the one node."""
        nodes = list(self.plane.record.nodes.values())
        assert len(nodes) <= 1, [each.node_id for each in nodes]
        return nodes[0] if nodes else None

    def knows_all(self, agent):
        """What it knows is what the agent says, up to the last event."""
        node, listed = self.node, agent.list()
        if node is None or node.session is None or node.session.first_resync:
            return False
        with self.plane.record.lock:
            return (node.last_event == agent.last_event()
                    and {key: each.state for key, each in node.sandboxes.items()}
                    == {each.id: each.state for each in listed})

    def has_kept_all(self, agent):
        """What it knows is written down, too: nothing of it is told again."""
        if not self.knows_all(agent) or not os.path.exists(self.state):
            return False
        with open(self.state) as file:
            nodes = json.load(file)["nodes"]
        return [each["last_event"] for each in nodes] == [agent.last_event()]

    def expect_contract(self):
        assert not self.plane.violations, self.plane.violations


def connected(plane, **settings):
    return Agent(control_plane__socket=plane.path, **settings)


def live(agent, first, count):
    """Some sandboxes' lives, from their creation to an end or a removal."""
    for number in range(first, first + count):
        agent.run(f"s{number}", *(["true"] if number % 2 else []))
        if number % 2:
            agent.wait(f"s{number}")
        if number % 3 == 0:
            agent.delete(f"s{number}", force=True)


def steady():
    with Plane() as plane, connected(plane) as agent:
        eventually(lambda: plane.knows_all(agent))
        info = agent.calls.node.Info(api.node.InfoRequest(), timeout=60)
        told = plane.node.info
        assert told.booted_at_nanoseconds == info.booted_at_nanoseconds, "the boot's time moves"
        assert told == info
        live(agent, 0, 20)
        eventually(lambda: plane.knows_all(agent))
        assert plane.node.events == agent.events(), "it has all events, as a watcher has them"
        eventually(lambda: plane.node.capacity.reserved == agent.capacity().reserved)
        assert plane.plane.sessions == 1
        before = plane.node.heard_at
        eventually(lambda: plane.node.heard_at > before)
        resyncs = plane.node.resyncs
        plane.plane.resync(plane.node.node_id)
        eventually(lambda: plane.node.resyncs > resyncs)
        # More than one part holds.
        for number in range(230):
            agent.create(f"many{number}")
        plane.plane.resync(plane.node.node_id)
        eventually(lambda: plane.node.resyncs > resyncs + 1)
        eventually(lambda: plane.knows_all(agent))
        assert len(plane.node.sandboxes) >= 230
        plane.expect_contract()


def dropped():
    """Sessions end at random, and no event is lost, doubled or out of order."""
    with Plane() as plane, connected(plane) as agent:
        eventually(lambda: plane.knows_all(agent))
        plane.plane.faults.drop_after = 0.4
        plane.plane.faults.delay_acknowledgements = 0.05
        plane.plane.drop_all()
        number = 0
        while plane.plane.sessions < 8:
            live(agent, number, 5)
            number += 5
        plane.plane.faults.drop_after = 0
        live(agent, number, 5)
        eventually(lambda: plane.knows_all(agent))
        told = [event.number for event in plane.node.events]
        assert told == list(range(1, agent.last_event() + 1)), told
        assert plane.node.lost_events == 0
        plane.expect_contract()


def away():
    """Control planes that end, come back, and do not know any more."""
    with Plane() as plane, connected(plane) as agent:
        eventually(lambda: plane.knows_all(agent))
        live(agent, 0, 5)
        eventually(lambda: plane.has_kept_all(agent))
        plane.stop()
        live(agent, 5, 10)
        last = plane.node.last_event
        plane.start()
        eventually(lambda: plane.knows_all(agent))
        told = [event.number for event in plane.node.events]
        assert told == list(range(last + 1, agent.last_event() + 1)), (last, told)
        assert plane.node.lost_events == 0
        plane.expect_contract()
        plane.stop()
        live(agent, 15, 5)
        plane.start(kept=False)
        eventually(lambda: plane.knows_all(agent))
        plane.expect_contract()
        plane.plane.forget()
        live(agent, 20, 5)
        eventually(lambda: plane.knows_all(agent))
        plane.expect_contract()


def killed():
    """Agents that are killed: what happened is told by the next one."""
    with Plane() as plane, connected(plane) as agent:
        plane.plane.faults.delay_acknowledgements = 0.05
        for first in range(0, 40, 5):
            live(agent, first, 5)
            agent.kill()
            agent.start()
        eventually(lambda: plane.knows_all(agent))
        told = [event.number for event in plane.node.events]
        assert told == list(range(1, agent.last_event() + 1)), told
        assert plane.node.events == agent.events()
        plane.expect_contract()


def pass_events(agent, count):
    """So many events, made cheaply."""
    for number in range(count // 2):
        agent.create(f"e{number}")
        agent.delete(f"e{number}")


def late():
    """An agent serves without its control plane, keeps all events, and finds it when it comes."""
    plane = Plane()
    with connected(plane, events__kept=1000) as agent:
        live(agent, 0, 5)
        pass_events(agent, 1500)
        agent.restart()
        plane.start(refuse_registers=3)
        try:
            eventually(lambda: plane.knows_all(agent))
            told = [event.number for event in plane.node.events]
            assert told == list(range(1, agent.last_event() + 1)), (told[:3], len(told))
            plane.expect_contract()
            # What is acknowledged is kept for watchers as far as the operator said.
            pass_events(agent, 1500)
            eventually(lambda: plane.knows_all(agent))
            eventually(lambda: plane.node.session.acknowledged == agent.last_event())
            pass_events(agent, 200)
            refused(Code.OUT_OF_RANGE, agent.calls.sandboxes.Watch,
                    api.sandboxes.WatchRequest(from_number=1))
        finally:
            plane.stop()
    plane.folder.cleanup()


def unwanted():
    """A node that is not wanted comes back, and serves meanwhile."""
    with Plane() as plane:
        agent = connected(plane, node__name="stranger")
        plane.plane.faults.unwanted = {"stranger"}
        with agent:
            eventually(lambda: plane.plane.registrations >= 1)
            agent.create("a")
            assert plane.plane.sessions == 0
            agent.delete("a")


def orders():
    """Drains by the control plane, answered and kept."""
    with Plane() as plane, connected(plane) as agent:
        eventually(lambda: plane.knows_all(agent))
        agent.run("d")
        node_id = plane.node.node_id
        plane.plane.drain(node_id)
        eventually(lambda: plane.node.drain is not None)
        assert plane.node.drain.draining and plane.node.drain.remaining == 1
        refused(Code.UNAVAILABLE, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="x", spec=agent.spec()))
        eventually(lambda: plane.node.condition() == "draining")
        agent.kill()
        agent.start()
        refused(Code.UNAVAILABLE, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="x", spec=agent.spec()))
        agent.stop("d")
        eventually(lambda: plane.node.condition() == "drained")
        plane.plane.end_drain(node_id)
        eventually(lambda: not plane.node.drain.draining)
        eventually(lambda: plane.node.condition() == "ready")
        agent.run("e")
        plane.plane.drain(node_id, 0.1)
        eventually(lambda: agent.get("e").state == STATE.Value("SANDBOX_STATE_STOPPED"))
        eventually(lambda: plane.knows_all(agent))
        plane.plane.end_drain(node_id)
        plane.expect_contract()


def placed():
    """A sandbox placed by what the node's session told."""
    from placement import Placement
    with Plane() as plane, connected(plane, node__name="one") as agent:
        eventually(lambda: plane.knows_all(agent))
        placement = Placement(plane.plane, {"one": agent.socket})
        assert placement.place("p", agent.spec()).name == "one"
        assert placement.place("p", agent.spec()).name == "one"
        eventually(lambda: plane.knows_all(agent))
        memory = agent.capacity().total.memory_bytes
        try:
            placement.place("q", agent.spec(limits=api.types.Limits(memory_bytes=memory)))
            raise AssertionError("it does not fit")
        except LookupError:
            pass
        plane.expect_contract()


if __name__ == "__main__":
    run_parts(steady, dropped, away, killed, late, unwanted, orders, placed)
