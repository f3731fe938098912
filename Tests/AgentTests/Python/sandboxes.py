"""A sandbox's life by the calls of `Sandboxes`, but for Exec, Logs and Stats."""
import os
import shutil
import tempfile
import time

import grpc
from agent import IMAGE, STATE, Agent, controllers
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
types, messages = api.types, api.sandboxes
CREATED, RUNNING = STATE.Value("SANDBOX_STATE_CREATED"), STATE.Value("SANDBOX_STATE_RUNNING")
PAUSED, STOPPED = STATE.Value("SANDBOX_STATE_PAUSED"), STATE.Value("SANDBOX_STATE_STOPPED")
FAILED = STATE.Value("SANDBOX_STATE_FAILED")


def life(agent):
    """Created, started, waited for, stopped, deleted: what each answer says."""
    before = time.time_ns()
    created = agent.create("life", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done")
    assert created.id == "life" and created.state == CREATED and created.pid == 0
    assert created.isolation == types.ISOLATION_KIND_PROCESS
    assert before <= created.created_at_nanoseconds <= time.time_ns()
    assert created.started_at_nanoseconds == created.ended_at_nanoseconds == 0
    assert not created.HasField("outcome")
    assert agent.get("life") == created
    answer = agent.calls.sandboxes.Start(messages.StartRequest(id="life"), timeout=60)
    running = answer.sandbox
    assert running.state == RUNNING and running.pid > 0
    assert running.started_at_nanoseconds >= created.created_at_nanoseconds
    moments = [moment.nanoseconds for moment in answer.timeline]
    assert moments and moments == sorted(moments) and all(m.what for m in answer.timeline)
    assert running.pid in agent.processes()
    # A start of one that runs answers at once, and starts nothing.
    assert agent.begin("life").pid == running.pid
    waiting = agent.calls.sandboxes.Wait.future(messages.WaitRequest(id="life"), timeout=60)
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Delete,
            messages.DeleteRequest(id="life"))
    # The shell may not have come to its trap.
    eventually(lambda: agent.stop_signals("life"))
    stopped = agent.stop("life", grace=30)
    assert stopped.state == STOPPED and stopped.pid == 0
    assert stopped.outcome.ending.ended.code == 7 and stopped.outcome.exit_code == 7, stopped
    assert stopped.ended_at_nanoseconds >= stopped.started_at_nanoseconds
    assert waiting.result().sandbox == stopped == agent.get("life") == agent.wait("life")
    assert [m.what for m in stopped.outcome.timeline]
    # Stopping again changes nothing; starting again is refused.
    assert agent.stop("life") == stopped
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Start,
            messages.StartRequest(id="life"))
    agent.delete("life")
    refused(Code.NOT_FOUND, agent.calls.sandboxes.Get, messages.GetRequest(id="life"))
    assert not agent.processes() and not agent.sandbox_cgroups()


def created_and_started(agent):
    """By one call: the answer comes when it runs, and the same call again tells what became."""
    def create(name, *command, **more):
        return agent.calls.sandboxes.Create(messages.CreateRequest(
            id=name, spec=agent.spec(*command, **more), start=True), timeout=60)

    answer = create("both", "sleep", "1000")
    assert answer.sandbox.state == RUNNING and answer.sandbox.pid and not answer.existed
    moments = [moment.nanoseconds for moment in answer.timeline]
    assert moments and moments == sorted(moments)
    again = create("both", "sleep", "1000")
    assert again.existed and again.sandbox == answer.sandbox and not again.timeline
    # One that was created alone is started; one that has ended is not started again.
    agent.create("later", "true")
    assert create("later", "true").existed
    ended = agent.wait("later")
    assert ended.outcome.exit_code == 0 and create("later", "true").sandbox == ended
    refused(Code.ALREADY_EXISTS, agent.calls.sandboxes.Create, messages.CreateRequest(
        id="both", spec=agent.spec("true"), start=True))
    # Two at once are one start.
    calls = [agent.calls.sandboxes.Create.future(messages.CreateRequest(
        id="twice", spec=agent.spec("sleep", "1000"), start=True), timeout=60) for _ in range(2)]
    pids = {call.result().sandbox.pid for call in calls}
    assert len(pids) == 1 and 0 not in pids, pids
    for name in ("both", "later", "twice"):
        agent.delete(name, force=True)


def endings(agent):
    """How a workload ended is told as it was."""
    cases = {"code": (["sh", "-c", "exit 3"], lambda e: e.ended.code == 3, 3),
             "zero": (["true"], lambda e: e.ended.WhichOneof("how") == "code", 0),
             "signal": (["sh", "-c", "kill -9 $$"], lambda e: e.ended.signal.number == 9, 137)}
    for name, (command, check, code) in cases.items():
        agent.run(name, *command)
        ended = agent.wait(name)
        assert ended.state == STOPPED and check(ended.outcome.ending), ended
        assert ended.outcome.exit_code == code
    assert agent.get("signal").outcome.ending.ended.signal.name == "SIGKILL"
    agent.run("late", timeout_nanoseconds=50_000_000)
    ended = agent.wait("late")
    assert ended.outcome.ending.HasField("timed_out") and ended.outcome.exit_code == 124, ended
    agent.run("denied", "mount", "-t", "tmpfs", "none", "/mnt")
    ended = agent.wait("denied")
    assert ended.outcome.ending.denied.call == "mount", ended
    agent.run("errno", "mount", "-t", "tmpfs", "none", "/mnt",
              denied_calls=types.DENIED_CALLS_ERRNO)
    ended = agent.wait("errno")
    assert ended.outcome.ending.ended.code not in (0, None), ended
    # What cannot be is refused before it is made.
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, messages.CreateRequest(
        id="missing", spec=agent.spec("/no/such/program")), "command_missing")
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, messages.CreateRequest(
        id="missing", spec=agent.spec("/etc/passwd")), "command_not_executable")
    # What turns out not to run at its start says so, and is a failure.
    with tempfile.TemporaryDirectory(prefix="alcove-test-") as folder:
        image = f"{folder}/image"
        shutil.copytree(IMAGE, image, symlinks=True)
        with open(f"{image}/bin/garbage", "wb") as file:
            file.write(os.urandom(4096))
        os.chmod(f"{image}/bin/garbage", 0o755)
        agent.create("missing", "garbage", image=image)
        error = refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Start,
                        messages.StartRequest(id="missing"), "command_not_executable")
        failed = agent.get("missing")
        assert failed.state == FAILED and failed.outcome.exit_code == 126, failed
        assert failed.outcome.ending.failed.detail.code == error.code, failed
        assert failed.outcome.ending.failed.message
    for name in [*cases, "late", "denied", "errno", "missing"]:
        agent.delete(name)
    # One that was never started can be stopped, and is a failure then; and deleted.
    agent.create("idle")
    assert agent.stop("idle").state == FAILED
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Start,
            messages.StartRequest(id="idle"))
    agent.delete("idle")
    agent.create("idle")
    agent.delete("idle")
    assert not agent.list()


def stopping(agent):
    """Grace, signals, and force."""
    ignoring = ["sh", "-c", "trap '' TERM; trap 'exit 9' USR1; echo up;"
                            " while :; do sleep 0.05; done"]

    def up(name):
        agent.run(name, *ignoring)
        eventually(lambda: agent.output(name) == b"up\n")

    up("a")
    ended = agent.stop("a", grace=0.2)
    assert ended.outcome.ending.ended.signal.number == 9, ended
    up("b")
    ended = agent.stop("b", grace=30, signal=10)
    assert ended.outcome.exit_code == 9, ended
    up("c")
    # A call without grace takes over from one that waits for it.
    waiting = agent.calls.sandboxes.Stop.future(
        messages.StopRequest(id="c", grace_nanoseconds=1000 * 10 ** 9), timeout=60)
    eventually(lambda: agent.get("c").state == STATE.Value("SANDBOX_STATE_STOPPING"))
    for method, request in ((agent.calls.sandboxes.Start, messages.StartRequest(id="c")),
                            (agent.calls.sandboxes.Pause, messages.PauseRequest(id="c"))):
        refused(Code.FAILED_PRECONDITION, method, request)
    assert agent.stop("c").outcome.exit_code == 137
    assert waiting.result().sandbox.state == STOPPED
    up("d")
    agent.delete("d", force=True)
    refused(Code.NOT_FOUND, agent.calls.sandboxes.Wait, messages.WaitRequest(id="d"))
    # The grace of the specification counts where the call says nothing.
    agent.run("e", *ignoring, stop_grace_nanoseconds=50_000_000)
    eventually(lambda: agent.output("e") == b"up\n")
    agent.calls.sandboxes.Stop(messages.StopRequest(id="e"), timeout=60)
    for number in (0, -1, 65, 1 << 30):
        refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Stop,
                messages.StopRequest(id="a", signal=number))
    agent.delete_all()


def idempotence(agent):
    """The same id and specification are the same sandbox."""
    request = messages.CreateRequest(id="once", spec=agent.spec(environment=["A=1"]))
    first = agent.calls.sandboxes.Create(request, timeout=60)
    assert not first.existed
    again = agent.calls.sandboxes.Create(request, timeout=60)
    assert again.existed and again.sandbox == first.sandbox
    other = messages.CreateRequest(id="once", spec=agent.spec(environment=["A=2"]))
    detail = refused(Code.ALREADY_EXISTS, agent.calls.sandboxes.Create, other)
    assert detail.hint
    agent.begin("once")
    assert agent.calls.sandboxes.Create(request, timeout=60).existed
    agent.stop("once")
    again = agent.calls.sandboxes.Create(request, timeout=60)
    assert again.existed and again.sandbox.state == STOPPED
    agent.restart()
    assert agent.calls.sandboxes.Create(request, timeout=60).existed
    refused(Code.ALREADY_EXISTS, agent.calls.sandboxes.Create, other)
    agent.delete("once")
    # Fifty at once of one id: one is made.
    calls = [agent.calls.sandboxes.Create.future(request, timeout=60) for _ in range(50)]
    answers = [call.result() for call in calls]
    assert [answer.existed for answer in answers].count(False) == 1
    assert {answer.sandbox.created_at_nanoseconds for answer in answers} == {
        answers[0].sandbox.created_at_nanoseconds}
    assert len(agent.list()) == 1 and agent.capacity().reserved.sandboxes == 1
    # Fifty starts at once: one process.
    starts = [agent.calls.sandboxes.Start.future(messages.StartRequest(id="once"), timeout=60)
              for _ in range(50)]
    assert len({start.result().sandbox.pid for start in starts}) == 1
    deletes = [agent.calls.sandboxes.Delete.future(
        messages.DeleteRequest(id="once", force=True), timeout=60) for _ in range(20)]
    codes = {delete.code() for delete in deletes}
    assert codes <= {Code.OK, Code.NOT_FOUND} and Code.OK in codes, codes


INVALID_IDS = ["", "A", "-a", ".a", "_a", "a" * 65, "a b", "a/b", "ä", "a\n", "a:b", "../a"]
VALID_IDS = ["a", "0", "a" * 64, "a-_.b", "9.9"]


def invalid_ids(agent):
    for value in INVALID_IDS:
        detail = refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Create,
                         messages.CreateRequest(id=value, spec=agent.spec()))
        assert detail.hint, value
    for value in VALID_IDS:
        agent.create(value)
    assert [each.id for each in agent.list()] == sorted(VALID_IDS)
    agent.delete_all()
    for value in ("nobody", *INVALID_IDS):
        for name in ("Get", "Start", "Stop", "Delete", "Wait", "Pause", "Resume", "Snapshot",
                     "UpdateResources", "Logs", "Stats"):
            request = getattr(messages, f"{name}Request")(id=value)
            refused(Code.NOT_FOUND, getattr(agent.calls.sandboxes, name), request)


def invalid_fields():
    """Each field with a value that it cannot have."""
    limits = types.Limits
    maps = types.IdentityMap
    process = types.ProcessLimit
    huge = (1 << 64) - 1
    return [
        {"command": []}, {"command": [""]}, {"command": ["a\0b"]},
        {"command": ["true"] * 4097},
        {"environment": ["A"]}, {"environment": ["=1"]}, {"environment": ["A=1\0"]},
        {"environment": [f"A{n}=1" for n in range(4097)]},
        {"working_directory": "relative"}, {"working_directory": "/a\0"},
        {"hostname": "-a"}, {"hostname": "a" * 65}, {"hostname": "a b"}, {"hostname": "ü"},
        {"hostname": "a..b"},
        {"user": "-1"}, {"user": "0:0:0"},
        {"user": "4294967295"}, {"user": "4294967296:0"}, {"user": ":"}, {"user": "-0:0"},
        {"identity_maps": [maps(inside=0, outside=100000, count=0)]},
        {"identity_maps": [maps(inside=1, outside=100000, count=10)]},
        {"identity_maps": [maps(inside=0, outside=4294967295, count=10)]},
        {"identity_maps": [maps(inside=n, outside=100000 + n, count=1) for n in range(341)]},
        {"limits": limits(memory_bytes=1)}, {"limits": limits(milli_cpus=1)},
        {"limits": limits(pids=1)},
        {"limits": limits(read_bytes_per_second=1)},
        {"limits": limits(write_bytes_per_second=1)},
        {"limit_policy": 7}, {"denied_calls": 7}, {"isolation": 7},
        {"process_limits": [process(resource="no", soft=1, hard=1)]},
        {"process_limits": [process(resource="nofile", soft=9, hard=8)]},
        {"process_limits": [process(resource="nofile", soft=8, hard=8)] * 2},
        {"scratch_bytes": 1},
        {"timeout_nanoseconds": 0}, {"timeout_nanoseconds": huge},
        {"stop_grace_nanoseconds": huge},
        {"image": ""},
    ]


def too_much():
    """What a larger node might take."""
    huge = (1 << 64) - 1
    return [{"limits": types.Limits(memory_bytes=huge)},
            {"limits": types.Limits(milli_cpus=4294967295)},
            {"limits": types.Limits(pids=4294967295)}, {"scratch_bytes": huge}]


def not_in_image():
    """What another image might have, with the reason that is told."""
    return [({"working_directory": "/no/such"}, "directory_missing"),
            ({"working_directory": "/etc/passwd"}, "directory_missing"),
            ({"user": "nobody-of-that-name"}, "user_missing"),
            ({"user": "nobody-of-that-name:7"}, "user_missing"),
            ({"command": ["no-such"]}, "command_missing"),
            ({"command": ["/etc/passwd"]}, "command_not_executable")]


def in_no_image():
    """Names that no image can have."""
    return [{"working_directory": "/etc/../.."}, {"image": "../etc"}, {"image": "Has Spaces"}]


def is_refused(call, request, codes):
    """Refused with one of these codes."""
    for code in codes[:-1]:
        try:
            return refused(code, call, request)
        except AssertionError:
            pass
    return refused(codes[-1], call, request)


def validation(agent):
    """Each bad field is refused with a detail, and nothing stays reserved."""
    create = agent.calls.sandboxes.Create
    invalid, exhausted = Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED
    for codes, cases in (([invalid], invalid_fields()), ([invalid, exhausted], too_much()),
                         ([invalid, Code.FAILED_PRECONDITION], in_no_image())):
        for fields in cases:
            try:
                request = messages.CreateRequest(
                    id="bad", spec=agent.spec(**{**fields, "command": ["true"]}))
                request.spec.ClearField("command")
                request.spec.command.extend(fields.get("command", ["true"]))
                is_refused(create, request, codes)
            except AssertionError as problem:
                raise AssertionError(str(fields)[:200]) from problem
    for fields, reason in not_in_image():
        spec = agent.spec(*fields.get("command", ["true"]),
                          **{name: value for name, value in fields.items() if name != "command"})
        refused(Code.FAILED_PRECONDITION, create, messages.CreateRequest(id="bad", spec=spec),
                reason)
    refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Create,
            messages.CreateRequest(id="bad"))
    for image in ("unknown", "/no/such/directory", "/etc/passwd"):
        refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create,
                messages.CreateRequest(id="bad", spec=agent.spec(image=image)), "image_missing")
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, messages.CreateRequest(
        id="bad", spec=agent.spec(isolation=types.ISOLATION_KIND_MICROVM)))
    assert not agent.list()
    reserved = agent.capacity().reserved
    assert reserved == api.node.Resources(), reserved
    # An id that was refused is free.
    agent.create("bad")
    agent.delete("bad")


def listing(agent):
    """Pages in the order of ids, and states."""
    ids = sorted(f"s{n}" for n in range(25))
    for value in reversed(ids):
        agent.create(value)
    for value in ids[:5]:
        agent.begin(value)
    for value in ids[:2]:
        agent.stop(value)
    assert [each.id for each in agent.list()] == ids
    assert [each.id for each in agent.list(page_size=7)] == ids
    assert [each.id for each in agent.list(page_size=1, states=[RUNNING])] == ids[2:5]
    assert [each.id for each in agent.list(states=[RUNNING, STOPPED])] == ids[:5]
    assert agent.list(states=[PAUSED]) == []
    page = agent.calls.sandboxes.List(messages.ListRequest(page_size=25), timeout=60)
    assert not page.more and len(page.sandboxes) == 25
    page = agent.calls.sandboxes.List(
        messages.ListRequest(page_size=5, after_id="s1zzz"), timeout=60)
    assert [each.id for each in page.sandboxes] == [i for i in ids if i > "s1zzz"][:5]
    assert page.event_number == agent.last_event()
    assert agent.calls.sandboxes.List(
        messages.ListRequest(after_id="zzz"), timeout=60).sandboxes[:] == []
    # What List says is what the events up to its number say.
    shown = {}
    for event in agent.events():
        if event.WhichOneof("kind") == "created":
            shown[event.sandbox_id] = CREATED
        elif event.WhichOneof("kind") == "state_changed":
            assert shown[event.sandbox_id] == event.state_changed.before
            shown[event.sandbox_id] = event.state_changed.after
        elif event.WhichOneof("kind") == "removed":
            del shown[event.sandbox_id]
    assert shown == {each.id: each.state for each in agent.list()}
    agent.delete_all()


def watching(agent):
    """Events by their numbers, from any, of some sandboxes, with heartbeats between."""
    first = agent.last_event() + 1
    live = agent.calls.sandboxes.Watch(messages.WatchRequest(
        heartbeat_nanoseconds=100_000_000), timeout=60)
    beat = next(live)
    assert beat.WhichOneof("kind") == "heartbeat" and beat.number == first - 1
    agent.run("w", "true")
    agent.wait("w")
    agent.create("other")
    agent.delete("w")
    seen = []
    while len(seen) < 6:
        event = next(live)
        if event.WhichOneof("kind") != "heartbeat":
            seen.append(event)
    live.cancel()
    assert [event.number for event in seen] == list(range(first, first + 6))
    kinds = [(event.sandbox_id, event.WhichOneof("kind")) for event in seen]
    assert kinds[0] == ("w", "created") and kinds.count(("w", "state_changed")) == 3, kinds
    assert ("other", "created") in kinds and kinds[-1] == ("w", "removed"), kinds
    after = [event.state_changed.after for event in seen
             if event.WhichOneof("kind") == "state_changed"]
    assert after == [STATE.Value("SANDBOX_STATE_STARTING"), RUNNING, STOPPED], after
    last = [event for event in seen if event.WhichOneof("kind") == "state_changed"][-1]
    assert last.state_changed.outcome.ending.ended.WhichOneof("how") == "code"
    assert all(event.at_nanoseconds for event in seen)
    assert agent.events(first) == seen and agent.events(first + 3) == seen[3:]
    mine = agent.calls.sandboxes.Watch(messages.WatchRequest(
        from_number=first, sandbox_ids=["other"]), timeout=60)
    assert next(mine) == next(event for event in seen if event.sandbox_id == "other")
    mine.cancel()
    # From the beginning of the node: its own events too, without a gap.
    whole = agent.events()
    assert [event.number for event in whole] == list(range(1, agent.last_event() + 1))
    assert whole[0].WhichOneof("kind") == "agent_started" and not whole[0].sandbox_id
    assert whole[0].agent_started.version
    watch = agent.calls.sandboxes.Watch
    refused(Code.INVALID_ARGUMENT, watch, messages.WatchRequest(heartbeat_nanoseconds=1))
    refused(Code.OUT_OF_RANGE, watch, messages.WatchRequest(from_number=1 << 60))
    # Over a restart the numbers go on.
    number = agent.last_event()
    agent.restart()
    more = agent.events(number + 1)
    assert [event.number for event in more] == list(
        range(number + 1, number + 1 + len(more))) and more
    assert agent.events(1, number) == whole
    agent.delete("other")


def still(agent, name):
    """How many ticks one has written, once no more come for a while."""
    before = agent.output(name).count(b"tick")
    time.sleep(0.1)
    return before if agent.output(name).count(b"tick") == before else 0


def pausing(agent):
    """A paused sandbox does nothing; one can stop it, and exec nothing in it."""
    agent.run("p", "sh", "-c", "while :; do echo tick; sleep 0.01; done")
    eventually(lambda: agent.output("p").count(b"tick") > 3)
    pause, resume = agent.calls.sandboxes.Pause, agent.calls.sandboxes.Resume
    assert pause(messages.PauseRequest(id="p"), timeout=60).sandbox.state == PAUSED
    assert pause(messages.PauseRequest(id="p"), timeout=60).sandbox.state == PAUSED
    path, = agent.sandbox_cgroups()
    frozen = False
    for folder in agent.cgroups():
        with open(f"{folder}/cgroup.events") as file:
            frozen |= "frozen 1" in file.read()
    assert frozen, path
    # The output that was under way may still be read; then nothing comes any more.
    ticks = eventually(lambda: still(agent, "p"))
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Start, messages.StartRequest(id="p"))
    assert agent.get("p").state == PAUSED
    # Over a restart it stays as it is.
    agent.restart()
    assert agent.get("p").state == PAUSED
    assert eventually(lambda: still(agent, "p")) == ticks
    pause, resume = agent.calls.sandboxes.Pause, agent.calls.sandboxes.Resume
    assert resume(messages.ResumeRequest(id="p"), timeout=60).sandbox.state == RUNNING
    assert resume(messages.ResumeRequest(id="p"), timeout=60).sandbox.state == RUNNING
    eventually(lambda: agent.output("p").count(b"tick") > ticks)
    pause(messages.PauseRequest(id="p"), timeout=60)
    assert agent.stop("p", grace=30).outcome.exit_code == 143
    for call, request in ((pause, messages.PauseRequest), (resume, messages.ResumeRequest)):
        refused(Code.FAILED_PRECONDITION, call, request(id="p"))
    agent.delete("p")
    agent.run("p")
    pause(messages.PauseRequest(id="p"), timeout=60)
    agent.delete("p", force=True)


def snapshots(agent):
    agent.run("s")
    refused(Code.UNIMPLEMENTED, agent.calls.sandboxes.Snapshot,
            messages.SnapshotRequest(id="s", directory=f"{agent.folder}/snapshot"))
    agent.delete("s", force=True)


def limits(agent):
    """Limits hold, or their statuses say why they do not; strict ones are refused then."""
    has = controllers()
    wanted = types.Limits(memory_bytes=64 << 20, milli_cpus=500, pids=20)
    kinds = {types.LIMIT_KIND_MEMORY: "memory", types.LIMIT_KIND_CPU: "cpu",
             types.LIMIT_KIND_PIDS: "pids"}
    if not set(kinds.values()) <= has:
        refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, messages.CreateRequest(
            id="l", spec=agent.spec(limits=wanted)))
    sandbox = agent.run("l", limits=wanted, limit_policy=types.LIMIT_POLICY_BEST_EFFORT)
    assert {each.kind: each.holds for each in sandbox.limits} == {
        kind: name in has for kind, name in kinds.items()}, sandbox.limits
    assert all(each.request and bool(each.reason) != each.holds for each in sandbox.limits)
    reserved = agent.capacity().reserved
    update = agent.calls.sandboxes.UpdateResources
    best = types.LIMIT_POLICY_BEST_EFFORT
    changed = update(messages.UpdateResourcesRequest(
        id="l", limits=types.Limits(memory_bytes=128 << 20), limit_policy=best),
        timeout=60).sandbox
    assert changed.spec.limits.memory_bytes == 128 << 20
    assert changed.spec.limits.milli_cpus == 500 and changed.spec.limits.pids == 20
    assert len(changed.limits) == 3 and agent.get("l") == changed
    now = agent.capacity().reserved
    assert now.memory_bytes == reserved.memory_bytes + (64 << 20), (reserved, now)
    assert now.milli_cpus == reserved.milli_cpus
    event = agent.events(agent.last_event())[0]
    assert event.resources_updated.limits == changed.spec.limits, event
    if "memory" not in has:
        refused(Code.FAILED_PRECONDITION, update, messages.UpdateResourcesRequest(
            id="l", limits=types.Limits(memory_bytes=32 << 20)))
    for bad in (types.Limits(memory_bytes=1), types.Limits(pids=1), types.Limits(milli_cpus=1)):
        refused(Code.INVALID_ARGUMENT, update, messages.UpdateResourcesRequest(
            id="l", limits=bad, limit_policy=best))
    refused(Code.INVALID_ARGUMENT, update, messages.UpdateResourcesRequest(id="l"))
    assert agent.get("l").spec == changed.spec and agent.capacity().reserved == now
    # More than the node has left is refused, and changes nothing.
    room = agent.capacity()
    rest = room.allocatable.memory_bytes - room.reserved.memory_bytes
    detail = refused(Code.RESOURCE_EXHAUSTED, update, messages.UpdateResourcesRequest(
        id="l", limits=types.Limits(memory_bytes=(128 << 20) + rest + 1), limit_policy=best)) \
        if rest + (128 << 20) < room.total.memory_bytes else None
    assert detail is None or detail.shortages[0].resource == types.RESOURCE_MEMORY
    assert agent.get("l").spec == changed.spec and agent.capacity().reserved == now
    agent.stop("l")
    refused(Code.FAILED_PRECONDITION, update, messages.UpdateResourcesRequest(
        id="l", limits=wanted, limit_policy=best))
    assert agent.capacity().reserved == api.node.Resources()
    agent.delete("l")


def surroundings(agent):
    """What a specification asks for is what the workload sees."""
    agent.run("see", "sh", "-c", 'echo "$A $(pwd) $(hostname) $(id -u):$(id -g)"; touch /new;'
              ' echo $?; exit 0', environment=["A=b c"], working_directory="/tmp",
              hostname="there", user="1000:100", read_only_root=True)
    agent.wait("see")
    lines = [e.data for e in agent.logs("see") if e.stream == messages.LOG_STREAM_STDOUT]
    assert lines == [b"b c /tmp there 1000:100\n", b"1\n"], lines
    agent.delete("see")
    agent.run("see", "sh", "-c", "tty; stty size", terminal=True)
    agent.wait("see")
    output = agent.output("see")
    assert output.startswith(b"/dev/"), output
    agent.delete("see")


def stop_signals(self, sandbox_id):
    """Whether the shell of a sandbox, not its first process, has set its trap for SIGTERM."""
    pid = self.get(sandbox_id).pid
    for each in self.processes():
        with open(f"/proc/{each}/status") as file:
            lines = dict(line.split(":", 1) for line in file)
        if each != pid and lines["Name"].strip() == "sh":
            return bool(int(lines["SigCgt"], 16) & 1 << 14)
    return False


Agent.stop_signals = stop_signals


def with_agent(part):
    def run():
        with Agent() as agent:
            part(agent)
    run.__name__ = part.__name__
    return run


run_parts(*map(with_agent, (
    life, created_and_started, endings, stopping, idempotence, invalid_ids, validation, listing, watching, pausing,
    snapshots, limits, surroundings)))
