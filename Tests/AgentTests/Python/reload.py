"""A configuration that is read again by an agent with sandboxes that run."""
import json
import os
import re
import signal

import grpc
from agent import STATE, Agent
from session import Plane
from service_manager import Manager
from support import api, eventually, fails, refused, run_parts

Code = grpc.StatusCode


def logged(agent):
    """The entries of its log."""
    return [json.loads(line) for line in agent.log().splitlines() if line.startswith("{")]


def reload(agent, **settings):
    """Gives the entries that the agent logged because of it."""
    agent.settings.update(settings)
    agent.command()
    return read_again(agent)


def read_again(agent):
    known = len(logged(agent))
    agent.process.send_signal(signal.SIGHUP)
    eventually(lambda: any("configuration" in each["message"] for each in logged(agent)[known:]))
    # Nothing of it comes after an answer.
    agent.capacity()
    return logged(agent)[known:]


def information(agent):
    return agent.calls.node.Info(api.node.InfoRequest(), timeout=60)


def what_can_change():
    with Agent(log__level="error", **{"node.labels__zone": "a"}) as agent:
        assert dict(information(agent).labels) == {"zone": "a"}
        agent.settings["log__level"] = "info"
        agent.run("a")
        before = agent.capacity()
        entry, = reload(
            agent, capacity__max_sandboxes=2, capacity__kept_memory="1GiB",
            capacity__overcommit_memory_permille=2000, starts__in_flight=3,
            capacity__default_memory="2MiB", capacity__overcommit_cpu_permille=50_000,
            **{"node.labels__zone": "b", "node.labels__disk": "fast"})
        assert entry["level"] == "info" and set(entry["config.changed"].split()) == {
            "node.labels", "capacity.max_sandboxes", "capacity.kept_memory",
            "capacity.overcommit_memory_permille", "starts.in_flight", "capacity.default_memory",
            "capacity.overcommit_cpu_permille", "log.level"}, entry
        assert dict(information(agent).labels) == {"zone": "b", "disk": "fast"}
        after = agent.capacity()
        assert after.version > before.version and after.starts_limit == 3
        assert after.allocatable.memory_bytes == 2 * (after.total.memory_bytes - (1 << 30))
        assert after.allocatable.milli_cpus == 50 * after.total.milli_cpus
        assert after.total.sandboxes == after.allocatable.sandboxes == 2
        assert after.over_commit.memory_permille == 2000
        # What was promised stays, and new ones reserve the new default.
        assert after.reserved == before.reserved
        agent.create("b")
        one = after.reserved.memory_bytes
        assert agent.capacity().reserved.memory_bytes == 2 * one + (1 << 20)
        refused(Code.RESOURCE_EXHAUSTED, agent.calls.sandboxes.Create,
                api.sandboxes.CreateRequest(id="c", spec=agent.spec()))
        # Fewer than there are: they stay, and none is added.
        reload(agent, capacity__max_sandboxes=1)
        assert len(agent.list()) == 2 and agent.capacity().allocatable.sandboxes == 1
        reload(agent, capacity__max_sandboxes=3)
        agent.create("c")
        assert agent.get("a").state == STATE.Value("SANDBOX_STATE_RUNNING")
        agent.settings.update(log__level="error", capacity__max_sandboxes=4)
        agent.command()
        known = len(logged(agent))
        agent.process.send_signal(signal.SIGHUP)
        eventually(lambda: agent.capacity().total.sandboxes == 4)
        agent.calls.node.Drain(api.node.DrainRequest(begin={}), timeout=60)
        agent.delete_all()
        assert len(logged(agent)) == known, "what is not to be logged was"


def who_may_call():
    with Agent() as agent:
        stream = agent.calls.sandboxes.Watch(
            api.sandboxes.WatchRequest(from_number=1), timeout=60)
        next(stream)
        agent.settings["socket__allowed_users"] = [os.getuid() + 1]
        agent.command()
        agent.process.send_signal(signal.SIGHUP)
        # Also whoever has been there for long.
        fails(Code.UNAVAILABLE, lambda: list(stream))
        eventually(lambda: fails(Code.UNAVAILABLE, agent.get, "none"))
        agent.settings["socket__allowed_users"] = [os.getuid()]
        agent.command()
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_serving()
        fails(Code.NOT_FOUND, agent.get, "none")


def what_waits():
    with Agent() as agent:
        names = information(agent).node_name
        entries = reload(agent, node__name="another", socket__path=f"{agent.folder}/other",
                         starts__queue=7)
        assert [each["level"] for each in entries] == ["info", "warning"], entries
        assert entries[0]["config.changed"] == "starts.queue"
        assert entries[1]["config.waiting"] == "node.name socket.path"
        assert information(agent).node_name == names
        assert not os.path.exists(f"{agent.folder}/other")
        # It is told each time, until it is so.
        assert read_again(agent)[1]["config.waiting"] == "node.name socket.path"
        del agent.settings["socket__path"]
        agent.restart()
        assert information(agent).node_name == "another"
        entry, = read_again(agent)
        assert entry["config.changed"] == ""


def what_is_wrong():
    agent = Agent(capacity__max_sandboxes=5)
    manager = Manager(agent)
    with agent:
        manager.told("READY=1")
        path = f"{agent.folder}/alcoved.toml"
        with open(path, "a") as file:
            file.write("[starts]\nin_flight = 0\nin_fligth = 3\n")
        lines = agent.configuration().count("\n")
        entries = read_again(agent)
        assert {each["level"] for each in entries} == {"error"} and len(entries) == 2, entries
        assert {each["config.file"] for each in entries} == {path}
        assert re.match(f"{lines + 2}:13: `starts.in_flight`", entries[0]["config.problem"])
        assert "did you mean `starts.in_flight`" in entries[1]["config.problem"]
        begun = manager.told("RELOADING=1")
        assert re.search("^MONOTONIC_USEC=[1-9][0-9]*$", begun, re.MULTILINE), begun
        done = manager.told("READY=1")
        assert "what held before holds on" in done, done
        assert agent.capacity().total.sandboxes == 5
        os.unlink(path)
        assert read_again(agent)[0]["level"] == "error"
        manager.told("RELOADING=1")
        manager.told("READY=1")
        agent.run("a")
        # And then it is right again.
        reload(agent, capacity__max_sandboxes=6)
        done = manager.told("READY=1")
        assert done.endswith(f"STATUS=serving at {agent.socket}"), done
        assert agent.capacity().total.sandboxes == 6


def what_a_control_plane_is_told():
    with Plane() as plane, Agent(control_plane__socket=plane.path) as agent:
        eventually(lambda: plane.knows_all(agent))
        agent.create("a")
        reload(agent, **{"node.labels__zone": "b"})
        eventually(lambda: plane.node.info and dict(plane.node.info.labels) == {"zone": "b"})
        agent.create("b")
        eventually(lambda: plane.knows_all(agent))
        assert plane.node.events == agent.events()
        sessions = plane.plane.sessions
        # What it is told anyway needs no session of its own.
        reload(agent, capacity__max_sandboxes=7)
        eventually(lambda: plane.node.capacity.total.sandboxes == 7)
        assert plane.plane.sessions == sessions
        plane.expect_contract()


def how_it_ends():
    with Agent() as agent:
        agent.run("a")
        reload(agent, shutdown__drain_deadline="100ms")
        assert agent.terminate() == 0
        assert not agent.processes()
        agent.start()


if __name__ == "__main__":
    run_parts(what_can_change, who_may_call, what_waits, what_is_wrong,
              what_a_control_plane_is_told, how_it_ends)
