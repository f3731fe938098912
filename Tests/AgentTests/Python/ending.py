"""How an agent ends when it is asked to, with sandboxes that run."""
import signal

import grpc
from agent import STATE, Agent
from service_manager import Manager
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
RUNNING, STOPPED, FAILED = (
    STATE.Value(f"SANDBOX_STATE_{name}") for name in ("RUNNING", "STOPPED", "FAILED"))
DRAINING = api.node.Condition.KIND_DRAINING


def conditions(agent):
    return {each.kind for each in agent.capacity().conditions}


def sandboxes_are_left():
    with Agent() as agent:
        agent.run("a")
        agent.restart()
        assert agent.get("a").state == RUNNING


def sandboxes_are_stopped_in_time():
    agent = Agent(shutdown__drain_deadline="300ms")
    manager = Manager(agent)
    with agent:
        assert "STATUS=serving" in manager.told("READY=1")
        agent.run("a")
        agent.create("b")
        agent.process.terminate()
        assert "STOPPING=1" in manager.told("EXTEND_TIMEOUT_USEC=60300000")
        manager.told("STATUS=ending")
        assert agent.process.wait(60) == 0, agent.log()
        assert not agent.processes()
        agent.start()
        states = {each.id: each.state for each in agent.list()}
        # What never ran has failed to, as after any drain.
        assert states == {"a": STOPPED, "b": FAILED}, states
        kinds = [each.WhichOneof("kind") for each in agent.events()]
        assert kinds.count("drain_started") == kinds.count("drain_ended") == 1, kinds
        # It was the end that drained the node, not somebody who wants it out of service.
        assert DRAINING not in conditions(agent)
        agent.run("c")


def nothing_is_to_be_stopped():
    with Agent(shutdown__drain_deadline="1h") as agent:
        agent.run("a", "true")
        agent.wait("a")
        agent.restart()


def while_it_drains():
    with Agent(shutdown__drain_deadline="1h") as agent:
        agent.run("a")
        agent.process.terminate()
        eventually(lambda: DRAINING in conditions(agent))
        refused(Code.UNAVAILABLE, agent.calls.sandboxes.Create,
                api.sandboxes.CreateRequest(id="c", spec=agent.spec()))
        # The second signal leaves the rest to the next agent.
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(60) == 0, agent.log()
        agent.start()
        assert agent.get("a").state == RUNNING
        assert DRAINING not in conditions(agent)


if __name__ == "__main__":
    run_parts(sandboxes_are_left, sandboxes_are_stopped_in_time, nothing_is_to_be_stopped,
              while_it_drains)
