"""A thousand creates at once on a node with room for a hundred."""
import grpc
from agent import STATE, Agent, Calls
from support import api, run_parts

Code = grpc.StatusCode
types, messages = api.types, api.sandboxes
ROOM, WANTED = 100, 1000


def storm(agent, spec, resource):
    """Exactly as many are admitted as there is room for, and all others are told what is short."""
    connections = [Calls(agent.socket) for _ in range(8)]
    try:
        futures = [connections[n % 8].sandboxes.Create.future(
            messages.CreateRequest(id=f"s{n}", spec=spec), timeout=120) for n in range(WANTED)]
        admitted, refusals = [], 0
        for number, call in enumerate(futures):
            if call.code() == Code.OK:
                admitted.append(f"s{number}")
                continue
            assert call.code() == Code.RESOURCE_EXHAUSTED, (call.code(), call.details())
            detail = api.detail(call)
            shortage, = [s for s in detail.shortages if s.resource == resource]
            assert shortage.requested > shortage.available, shortage
            refusals += 1
    finally:
        for each in connections:
            each.close()
    assert (len(admitted), refusals) == (ROOM, WANTED - ROOM), (len(admitted), refusals)
    assert sorted(admitted) == [each.id for each in agent.list()]
    # Each that is admitted can be started, all at once.
    starts = [agent.calls.sandboxes.Start.future(messages.StartRequest(id=name), timeout=120)
              for name in admitted]
    for start in starts:
        assert start.code() == Code.OK, (start.code(), start.details())
    running = STATE.Value("SANDBOX_STATE_RUNNING")
    assert len(agent.list(states=[running])) == ROOM
    assert len(agent.sandbox_cgroups()) == ROOM
    # What one gives back, one other gets.
    agent.delete(admitted[0], force=True)
    codes = [call.code() for call in [
        agent.calls.sandboxes.Create.future(
            messages.CreateRequest(id=f"t{n}", spec=spec), timeout=120) for n in range(10)]]
    assert codes.count(Code.OK) == 1 and codes.count(Code.RESOURCE_EXHAUSTED) == 9, codes
    agent.delete_all()
    assert agent.capacity().reserved == api.node.Resources()


def by_number():
    """Room for a hundred by the operator's number of sandboxes."""
    with Agent(capacity__max_sandboxes=ROOM) as agent:
        assert agent.capacity().allocatable.sandboxes == ROOM
        storm(agent, agent.spec(), types.RESOURCE_SANDBOXES)


def by_memory():
    """Room for a hundred by memory: each asks for a hundredth of what there is."""
    with Agent() as agent:
        now = agent.capacity()
        overhead = next(o for o in now.overheads
                        if o.isolation == types.ISOLATION_KIND_PROCESS).fixed.memory_bytes
        scratch = 1 << 20
        probe = types.Limits(memory_bytes=64 << 20)
        agent.create("probe", limits=probe, limit_policy=types.LIMIT_POLICY_BEST_EFFORT,
                     scratch_bytes=scratch)
        beyond = agent.capacity().reserved.memory_bytes - (64 << 20)
        agent.delete("probe")
        assert beyond >= overhead
        each = now.allocatable.memory_bytes // ROOM - beyond
        spec = agent.spec(limits=types.Limits(memory_bytes=each, milli_cpus=10),
                          limit_policy=types.LIMIT_POLICY_BEST_EFFORT, scratch_bytes=scratch)
        storm(agent, spec, types.RESOURCE_MEMORY)


run_parts(by_memory, by_number)
