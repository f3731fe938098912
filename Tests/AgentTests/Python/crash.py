"""Kills the agent over and over, at random moments and at each of its steps, and compares what is
there afterwards with what it had said.

Several threads work on sandboxes of their own while it dies, so each knows what must be true of
them: what was answered has happened, what was not answered has happened as a whole or not at all.

ALCOVE_CRASH_KILLS is how often (300), ALCOVE_CRASH_SEED repeats a run.
"""
import contextlib
import glob
import os
import random
import shutil
import subprocess
import threading
import time

import grpc
from agent import IMAGE, PRODUCTS, STATE, Agent, Calls
from execution import Execution
from support import api, eventually

KILLS = int(os.environ.get("ALCOVE_CRASH_KILLS", 300))
SEED = int(os.environ.get("ALCOVE_CRASH_SEED", time.time_ns() % 1_000_000_007))
WORKERS, MOST_SANDBOXES = 3, 4
Code = grpc.StatusCode
messages = api.sandboxes
ACTIVE = {"starting", "running", "paused", "stopping"}
OVER = {"stopped", "failed"}
HAS_LOOP_DEVICES = os.path.exists("/dev/loop-control") and bool(
    shutil.which("mkfs.ext4", path="/usr/sbin:/usr/bin:/sbin:/bin"))


def name_of(state):
    return STATE.Name(state).removeprefix("SANDBOX_STATE_").lower()


class Died(Exception):
    """The agent is not there any more, and whether the call has done anything is not known."""


class Subject:
    """One sandbox as its worker knows it."""

    # What each kind of workload is, what it writes, and the codes with which it may end.
    def __init__(self, sandbox_id, kind, code):
        self.id, self.kind, self.code = sandbox_id, kind, code
        # What it may be now; "absent" is not there.
        self.possible = {"absent"}
        self.pid = 0
        # A stop was asked for: it may have ended by that.
        self.stopped = False
        self.paused = False

    def command(self):
        mark = f": {self.id};"
        if self.kind == "short":
            return ["sh", "-c", f"{mark} echo one; sleep 0.0{self.code % 10}; echo two;"
                                f" exit {self.code}"]
        if self.kind == "deaf":
            return ["sh", "-c", f"{mark} trap '' TERM; echo up; while :; do sleep 0.05; done"]
        return ["sh", "-c", f"{mark} echo up; exec sleep 1000000"]

    def check_end(self, sandbox, output):
        """An outcome that is right for what happened to it."""
        code = sandbox.outcome.exit_code
        if sandbox.started_at_nanoseconds == 0:
            assert self.pid == 0, f"{self.id} ran, and its record says it did not: {sandbox}"
            return
        right = {self.code} if self.kind == "short" else set()
        if self.stopped:
            right |= {143, 137}
        assert code in right, f"{self.id} ({self.kind}) ended with {code}, not {right}: {sandbox}"
        if self.kind == "short" and code == self.code:
            assert output == b"one\ntwo\n", (self.id, output)
        else:
            # Stopped early it may have written nothing yet.
            assert output in (b"", b"one\n", b"one\ntwo\n", b"up\n"), (self.id, output)


class Worker:
    """Does random things to sandboxes that no other worker touches."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(f"{seed} {number}")
        self.subjects = {}
        self.made = 0
        self.problem = None
        self.acknowledged = 0

    def work(self, path, until):
        """Until the agent dies or the time comes."""
        try:
            with Calls(path) as calls:
                while not until.is_set():
                    self.step(calls)
        except Died:
            pass
        except BaseException as problem:
            self.problem = problem

    def call(self, method, request, accepted=()):
        try:
            answer = method(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() in accepted:
                return None
            if error.code() in (Code.UNAVAILABLE, Code.CANCELLED, Code.INTERNAL):
                if error.code() == Code.INTERNAL and "RST_STREAM" not in error.details():
                    raise
                raise Died from None
            raise
        self.acknowledged += 1
        return answer

    def step(self, calls):
        here = list(self.subjects.values())
        if not here or (len(here) < MOST_SANDBOXES and self.random.random() < 0.4):
            return self.create(calls)
        subject = self.random.choice(here)
        known = subject.possible
        if known == {"created"}:
            return self.random.choice([self.start, self.start, self.start, self.delete])(
                calls, subject)
        if "running" in known:
            return self.random.choices(
                [self.execute, self.stop, self.delete, self.pause, self.update],
                [4, 3, 1, 1, 1])[0](calls, subject)
        self.delete(calls, subject)

    def create(self, calls):
        self.made += 1
        kind = self.random.choice(["long", "long", "short", "deaf"])
        subject = Subject(f"w{self.number}-{self.made}", kind, self.random.randrange(1, 100))
        self.subjects[subject.id] = subject
        subject.possible = {"absent", "created"}
        spec = self.spec(subject)
        answer = self.call(calls.sandboxes.Create, messages.CreateRequest(
            id=subject.id, spec=spec))
        subject.possible = {"created"}
        assert not answer.existed

    @staticmethod
    def spec(subject):
        return api.types.SandboxSpec(
            image=IMAGE, command=subject.command(), isolation=api.types.ISOLATION_KIND_PROCESS,
            stop_grace_nanoseconds=30_000_000,
            # Of some, what they write is on the disk, where the host can do that.
            scratch_place=int(HAS_LOOP_DEVICES and subject.code % 3 == 0), scratch_bytes=4 << 20)

    def start(self, calls, subject):
        after = {"running"} | (OVER if subject.kind == "short" else set())
        subject.possible = {"created"} | after
        answer = self.call(calls.sandboxes.Start, messages.StartRequest(id=subject.id))
        subject.possible = after
        subject.pid = answer.sandbox.pid

    def execute(self, calls, subject):
        """A command that ends, or one that is still there when the agent dies."""
        short = self.random.random() < 0.7
        command = ["sh", "-c", f": {subject.id}; cat; exit 3"] if short else ["sleep", "2000000"]
        execution = Execution(calls, subject.id, *command, timeout=30)
        if short:
            execution.send(stdin=b"x").end_input()
            with contextlib.suppress(grpc.RpcError, AssertionError):
                code = execution.finish(30)
                assert code in (3, -9), code
        else:
            with execution.changed:
                execution.changed.wait_for(lambda: execution.pid or execution.over, 30)
        if execution.over and execution.error is not None:
            if execution.error.code() in (Code.UNAVAILABLE, Code.CANCELLED):
                raise Died
            # A short workload may have ended meanwhile, a paused one takes no command.
            assert execution.error.code() in (Code.FAILED_PRECONDITION, Code.ABORTED), (
                execution.error)
        elif execution.over:
            self.acknowledged += 1
            assert not short or execution.stdout in (b"x", b""), execution.stdout

    def stop(self, calls, subject):
        subject.possible = {"running"} | OVER
        subject.stopped = True
        request = messages.StopRequest(id=subject.id)
        if self.random.random() < 0.3:
            request.grace_nanoseconds = 0
        answer = self.call(calls.sandboxes.Stop, request)
        subject.possible = set(OVER)
        assert name_of(answer.sandbox.state) in OVER, answer

    def delete(self, calls, subject):
        before = set(subject.possible)
        force = "running" in before or self.random.random() < 0.5
        subject.possible = before | OVER | {"absent"} if "running" in before else (
            before | {"absent"})
        subject.stopped |= force
        self.call(calls.sandboxes.Delete, messages.DeleteRequest(id=subject.id, force=force))
        del self.subjects[subject.id]

    def pause(self, calls, subject):
        refusals = (Code.FAILED_PRECONDITION,) if subject.kind == "short" else ()
        self.call(calls.sandboxes.Pause, messages.PauseRequest(id=subject.id), refusals)
        self.call(calls.sandboxes.Resume, messages.ResumeRequest(id=subject.id), refusals)

    def update(self, calls, subject):
        refusals = (Code.FAILED_PRECONDITION,) if subject.kind == "short" else ()
        self.call(calls.sandboxes.UpdateResources, messages.UpdateResourcesRequest(
            id=subject.id, limits=api.types.Limits(pids=self.random.randrange(40, 80)),
            limit_policy=api.types.LIMIT_POLICY_BEST_EFFORT), refusals)


class Events:
    """All events, as they were told, over all lives of the agent."""

    def __init__(self):
        self.told = []
        self.states = {}

    def take_new(self, agent, last):
        """Those since the last look, checked: numbers, and states that follow from each other."""
        fresh = agent.events(len(self.told) + 1, last)
        for event in fresh:
            assert event.number == len(self.told) + 1, (event.number, len(self.told))
            self._apply(event)
            self.told.append(event)
        return fresh

    def _apply(self, event):
        kind, name = event.WhichOneof("kind"), event.sandbox_id
        if kind == "created":
            assert name not in self.states, event
            self.states[name] = "created"
        elif kind == "state_changed":
            assert self.states[name] == name_of(event.state_changed.before), (
                event, self.states[name])
            self.states[name] = name_of(event.state_changed.after)
            over = self.states[name] in OVER
            assert over == event.state_changed.HasField("outcome"), event
        elif kind == "removed":
            del self.states[name]
        elif kind == "adopted":
            assert self.states[name] == name_of(event.adopted.state), (event, self.states[name])


class Watcher:
    """Takes events live while the agent is about to die; what it was told must stay true."""

    def __init__(self, path, first):
        self.events = []
        self.calls = Calls(path)
        self.stream = self.calls.sandboxes.Watch(messages.WatchRequest(from_number=first))
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with contextlib.suppress(grpc.RpcError, ValueError):
            for event in self.stream:
                if event.WhichOneof("kind") != "heartbeat":
                    self.events.append(event)

    def finish(self):
        self.thread.join(30)
        self.calls.close()
        return self.events


class Harness:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.agent = Agent()
        self.workers = [Worker(number, seed) for number in range(WORKERS)]
        self.events = Events()
        self.kills = 0
        self.passed = {}
        self.fresh = []
        # What a watcher was told in the last life.
        self.seen = []

    # ---- One life ----

    def live(self, step=None):
        """Starts the agent, checks what it makes of the last life, works, and ends its life."""
        arguments = ["--die-at", step] if step else []
        self.agent.start(*arguments, serving=False)
        try:
            self.agent.wait_serving(30)
        except AssertionError:
            # It may die at once, for its start passes steps too.
            if not step or self.agent.process.poll() is None:
                raise
            self.kills += 1
            self.agent.start()
        try:
            self.check()
        except grpc.RpcError as error:
            # The end of a workload passes steps as well.
            if not step or error.code() not in (Code.UNAVAILABLE, Code.CANCELLED):
                raise
            self.agent.process.wait(30)
            self.kills += 1
            self.agent.start()
            self.check()
        watcher = Watcher(self.agent.socket, len(self.events.told) + 1)
        stop = threading.Event()
        threads = [threading.Thread(target=worker.work, args=(self.agent.socket, stop))
                   for worker in self.workers]
        for thread in threads:
            thread.start()
        self.die(step)
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a call does not end though the agent has"
        for worker in self.workers:
            if worker.problem:
                raise worker.problem
        self.seen = watcher.finish()

    def die(self, step):
        if step:
            # A step that nothing passes is passed over.
            try:
                self.agent.process.wait(3)
                self.passed[step.split(":")[0]] = True
            except subprocess.TimeoutExpired:
                pass
        else:
            time.sleep(self.random.uniform(0, 0.25))
        if self.agent.process.poll() is None:
            self.agent.kill()
        self.kills += 1

    # ---- The comparison ----

    def check(self):
        listed, last = eventually(self.settled)
        fresh = self.events.take_new(self.agent, last)
        for event in self.seen:
            if event.number > last:
                break
            assert self.events.told[event.number - 1] == event, "an event that was told is another"
        if self.agent.starts > 1:
            kinds = [event.WhichOneof("kind") for event in fresh]
            assert kinds.count("agent_started") >= 1, kinds
        self.fresh = fresh
        states = {each.id: name_of(each.state) for each in listed.values()}
        assert states == self.events.states, (states, self.events.states)
        for worker in self.workers:
            for subject in list(worker.subjects.values()):
                self.check_subject(worker, subject, listed.get(subject.id))
        known = {name for worker in self.workers for name in worker.subjects}
        assert set(listed) <= known, f"deleted, and there again: {set(listed) - known}"
        self.check_host(listed)
        eventually(self.reserves_what_is_active, 20)

    def reserves_what_is_active(self):
        # Between the two a short workload may end.
        reserved = self.agent.capacity().reserved.sandboxes
        return reserved == sum(name_of(each.state) not in OVER for each in self.agent.list())

    def settled(self):
        """All sandboxes, once none is between two states, and the last event that they show."""
        page = self.agent.calls.sandboxes.List(messages.ListRequest(), timeout=30)
        listed = {each.id: each for each in page.sandboxes}
        for sandbox in listed.values():
            if name_of(sandbox.state) in ("starting", "stopping"):
                return None
            if name_of(sandbox.state) == "paused":
                self.agent.calls.sandboxes.Resume(
                    messages.ResumeRequest(id=sandbox.id), timeout=30)
                return None
        return listed, page.event_number

    def check_subject(self, worker, subject, sandbox):
        state = name_of(sandbox.state) if sandbox else "absent"
        possible = set(subject.possible)
        if "running" in possible and subject.kind == "short":
            possible |= OVER
        assert state in possible, f"{subject.id} ({subject.kind}) is {state}, not {possible}"
        subject.possible = {state}
        if state == "absent":
            del worker.subjects[subject.id]
        elif state == "running":
            if subject.pid:
                assert sandbox.pid == subject.pid, (
                    f"{subject.id} has another process: {sandbox.pid}, not {subject.pid}")
            subject.pid = sandbox.pid
        elif state in OVER:
            try:
                subject.check_end(sandbox, self.agent.output(subject.id))
            except AssertionError:
                print("its events:", *(e for e in self.events.told if e.sandbox_id == subject.id),
                      "of this life:", *(e.number for e in self.fresh), flush=True)
                raise

    def check_host(self, listed):
        agent = self.agent
        running = {each.id: each for each in listed.values() if name_of(each.state) == "running"}

        def same():
            # A short workload may end at any moment.
            for name in list(running):
                if name_of(agent.get(name).state) in OVER:
                    del running[name]
            folders = agent.sandbox_cgroups()
            inside = {}
            for folder in folders:
                for path in [folder, *glob.glob(f"{folder}/**/", recursive=True)]:
                    with contextlib.suppress(OSError), open(f"{path}/cgroup.procs") as file:
                        inside.setdefault(folder, set()).update(map(int, file.read().split()))
            pids = {each.pid for each in running.values()}
            owned = [folder for folder in folders if inside.get(folder, set()) & pids]
            lone = [folder for folder in folders if folder not in owned]
            # The first process, and the workload with a `sleep` of its own at most.
            extra = [folder for folder in owned if not 2 <= len(inside[folder]) <= 3]
            self.why = (f"running {sorted(pids)}, cgroups {inside}, lone {lone}, extra {extra}")
            return len(owned) == len(running) and not lone and not extra

        try:
            eventually(same, 20)
        except AssertionError:
            raise AssertionError(f"the host is not what the record says: {self.why}") from None
        assert not agent.mounts(), agent.mounts()
        kept = glob.glob(f"{agent.state}/sandboxes/*")
        assert len(kept) <= len(listed), (kept, sorted(listed))
        # What ends between the two looks is no finding.
        eventually(lambda: not self.marked_processes() - set(agent.processes()), 20)

    def marked_processes(self):
        """Processes below the agent's cgroup, as they say themselves."""
        found = set()
        for path in glob.glob("/proc/[0-9]*/cgroup"):
            with contextlib.suppress(OSError), open(path) as file:
                if f"/{self.agent.cgroup}" in file.read():
                    found.add(int(path.split("/")[2]))
        # One that ended meanwhile is no finding.
        return {pid for pid in found if self.is_alive(pid)}

    @staticmethod
    def is_alive(pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
        return False

    # ---- All lives ----

    def run(self):
        steps = subprocess.run([f"{PRODUCTS}/alcoved", "--list-steps"], check=True,
                               capture_output=True, text=True).stdout.split()
        assert steps, "there are no steps"
        self.agent.start()
        list(self.agent.calls.images.Import(api.images.ImportRequest(
            name="base", directory=self.agent.spec().image), timeout=60))
        self.agent.kill()
        plan = [f"{step}:{count}" for step in steps for count in (1, 2, 5)][:KILLS * 2 // 3]
        plan += [None] * (KILLS - len(plan))
        self.random.shuffle(plan)
        for number, step in enumerate(plan):
            try:
                self.live(step)
            except BaseException:
                before = plan[number - 1] if number else None
                print(f"life {number} of seed {SEED}, which was to end {step or 'at random'}, after"
                      f" one that ended {before or 'at random'}", flush=True)
                raise
        # On a slow host a step may not have come in time.
        for step in [step for step in steps if step not in self.passed] * 3:
            if KILLS >= 3 * len(steps) and step not in self.passed:
                self.live(f"{step}:1")
        self.agent.start()
        self.check()
        for each in self.agent.list():
            self.agent.delete(each.id, force=True)
        self.agent.expect_nothing_left()
        missed = [step for step in steps if step not in self.passed]
        calls = sum(worker.acknowledged for worker in self.workers)
        print(f"{self.kills} kills, {calls} calls answered, {len(self.events.told)} events,"
              f" steps never reached: {' '.join(missed) or 'none'}", flush=True)
        assert self.kills >= KILLS
        # Each step was the place of a death, where there were enough lives.
        assert not missed or KILLS < 3 * len(steps), missed


def main():
    print(f"seed {SEED}, {KILLS} kills", flush=True)
    harness = Harness(SEED)
    try:
        harness.run()
    except BaseException:
        with contextlib.suppress(OSError):
            print(f"the agent said:\n{harness.agent.log()[-4000:]}", flush=True)
        raise
    finally:
        harness.agent.close()


main()
