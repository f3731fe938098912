"""A node in trouble: full, damaged, read-only, or with a record of another version; and an agent
that is replaced while sandboxes run.

Each agent has its state on a file system of its own, in a mount namespace that only the script and
its agents see.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import grpc
from agent import PRODUCTS, STATE, Agent, cgroup_root, controllers
from execution import Execution, execute
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
messages = api.sandboxes
MIB = 1 << 20
COUNTING = "n=0; while :; do echo $n; n=$((n+1)); sleep 0.01; done"
# Of alcoved, as sysexits.h has them.
RECORD_UNUSABLE, RECORD_UNREACHABLE = 65, 74


class MountedAgent(Agent):
    """An agent whose state is on a small file system, in a mount namespace of its own."""

    def __init__(self, size=16 * MIB, **settings):
        super().__init__(capacity__kept_disk="0B", capacity__default_disk="64KiB", **settings)
        os.makedirs(self.state)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"mount -t tmpfs -o size={size},mode=700 alcove-test '{self.state}' && echo ready"
             " && exec sleep 1000000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n", "no file system for the state"

    def entered(self, *command):
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", *command]

    def command(self):
        return self.entered(*super().command())

    def inside(self, script):
        """What a shell says in the namespace."""
        return subprocess.run(self.entered("sh", "-c", script), check=True, capture_output=True,
                              text=True).stdout

    def path(self, name):
        """A file of the state, as the script reaches it."""
        return f"/proc/{self.holder.pid}/root{self.state}/{name}"

    def fill(self):
        """Takes all room that is left."""
        with open(self.path("ballast"), "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def make_room(self):
        os.unlink(self.path("ballast"))

    def close(self):
        try:
            super().close()
        finally:
            self.holder.kill()
            self.holder.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def ends_at_start(self, *arguments):
        """The code with which it ends, and what it says, which is one line."""
        before = len(self.log())
        self.start(*arguments, serving=False)
        code = self.process.wait(60)
        words = self.log()[before:]
        assert words.count("\n") == 1 and words.startswith("alcoved: "), words
        return code, words


def conditions(agent):
    return {api.node.Condition.Kind.Name(each.kind).removeprefix("KIND_").lower()
            for each in agent.capacity().conditions}


def refuses_creation(agent, name, codes=(Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE)):
    try:
        agent.create(name)
        raise AssertionError(f"{name} was created")
    except grpc.RpcError as error:
        assert error.code() in codes, error
        detail = api.detail(error)
        assert detail.code and error.details(), error
        return detail.code


def check_numbers(agent, name, entries):
    """Lines that count, with those that are known to be lost."""
    following = 0
    for entry in entries:
        following += entry.lost
        assert int(entry.data) == following, (name, entry, following)
        following += 1
    return following


def check_events(agent):
    events = agent.events()
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    return events


# ---- A full disk ----


def full_disk(agent):
    """Nothing that was acknowledged is lost, nothing is left, and all goes on with the room."""
    agent.run("counting", "sh", "-c", COUNTING)
    running = {name: agent.run(name) for name in ("ends", "stays")}
    agent.create("idle")
    cgroups, reserved = len(agent.sandbox_cgroups()), agent.capacity().reserved
    for restarts in (False, True):
        agent.fill()
        for number in range(20):
            refuses_creation(agent, f"no-{number}")
        refused(Code.UNAVAILABLE, agent.calls.sandboxes.Start,
                messages.StartRequest(id="idle"), "record_not_writable")
        assert "store_failed" in conditions(agent), conditions(agent)
        assert agent.capacity().reserved == reserved
        eventually(lambda: len(agent.sandbox_cgroups()) == cgroups)
        # What runs runs on, and can be used.
        assert execute(agent.calls, "stays", "echo", "on") == (0, b"on\n", b"")
        assert agent.get("counting").pid and agent.logs("counting", tail=1)
        if not restarts:
            # An end is known at once, and written down when there is room.
            os.kill(running["ends"].pid, signal.SIGKILL)
            ended = agent.wait("ends")
            assert ended.outcome.exit_code == 137, ended
            reserved = agent.capacity().reserved
        else:
            agent.kill()
            agent.start()
            agent.restart()
            assert agent.get("ends").outcome.exit_code == 137
            assert agent.get("stays").pid == running["stays"].pid
            assert agent.get("idle").state == STATE.SANDBOX_STATE_CREATED
        agent.make_room()
        after = "after" if restarts else "again"
        eventually(lambda: "store_failed" not in conditions(agent))
        agent.run(after, "true")
        agent.wait(after)
        agent.delete(after)
        cgroups = len(agent.sandbox_cgroups())
    check_events(agent)
    agent.begin("idle")
    # Lines that found no room are counted, and later ones are there.
    seen = int(agent.logs("counting", tail=1)[0].data)
    eventually(lambda: int(agent.logs("counting", tail=1)[0].data) > seen + 50)
    agent.stop("counting")
    check_numbers(agent, "counting", [
        entry for entry in agent.logs("counting") if entry.data.endswith(b"\n")])


def end_on_full_disk(agent):
    """The outcome of one that ends while nothing can be written survives the agent too."""
    agent.run("e", "sh", "-c", "read x < /dev/null; sleep 0.3; exit 7")
    agent.fill()
    with contextlib.suppress(AssertionError):
        refuses_creation(agent, "no")
    assert agent.wait("e").outcome.exit_code == 7
    agent.kill()
    agent.make_room()
    agent.start()
    sandbox = agent.get("e")
    assert sandbox.outcome.exit_code == 7, sandbox
    check_events(agent)


# ---- A full table of processes ----


@contextlib.contextmanager
def few_processes(agent):
    """A limit that whatever the agent starts counts against."""
    legacy = "/sys/fs/cgroup/pids"
    if os.path.isdir(legacy):
        path = f"{legacy}/{agent.cgroup}"
        os.mkdir(path)
        try:
            for task in os.listdir(f"/proc/{agent.process.pid}/task"):
                with open(f"{path}/tasks", "w") as file:
                    file.write(task)
            yield Limit(path)
        finally:
            for name in open(f"{path}/tasks").read().split():
                with contextlib.suppress(OSError), open(f"{legacy}/tasks", "w") as file:
                    file.write(name)
            eventually(lambda: removed(path))
    elif "pids" in controllers():
        yield Limit(f"{cgroup_root()}/{agent.cgroup}")
    else:
        yield None


def removed(path):
    with contextlib.suppress(OSError):
        for name in open(f"{path}/tasks").read().split():
            with contextlib.suppress(OSError), open(
                    f"{os.path.dirname(path)}/tasks", "w") as file:
                file.write(name)
        os.rmdir(path)
    return not os.path.exists(path)


class Limit:
    def __init__(self, path):
        self.path = path
        self.quiet = self.current()

    def current(self):
        with open(f"{self.path}/pids.current") as file:
            return int(file.read())

    def set(self, spare):
        """So many more than there are when nothing goes on."""
        eventually(lambda: self.current() <= self.quiet)
        with open(f"{self.path}/pids.max", "w") as file:
            file.write(str(self.quiet + spare))

    def lift(self):
        with open(f"{self.path}/pids.max", "w") as file:
            file.write("max")


def full_processes(agent):
    """No process can be made: starts fail with words, leave nothing, and work again later."""
    with few_processes(agent) as limit:
        if limit is None:
            print("no pids controller: not tried", flush=True)
            return
        agent.run("stays")
        before = len(agent.processes())
        limit.quiet = limit.current()
        for spare in (0, 0, 1):
            # With one left, the first process comes to be and its workload does not.
            limit.set(spare)
            agent.create("s")
            detail = refused(Code.RESOURCE_EXHAUSTED, agent.calls.sandboxes.Start,
                             messages.StartRequest(id="s"))
            assert detail.code == "exhausted" and detail.hint, detail
            sandbox = agent.wait("s")
            assert sandbox.state == STATE.SANDBOX_STATE_FAILED, sandbox
            agent.delete("s")
            eventually(lambda: len(agent.processes()) == before)
            eventually(lambda: len(agent.sandbox_cgroups()) == 1)
            assert agent.capacity().reserved.sandboxes == 1
        limit.lift()
        agent.run("s", "true")
        assert agent.wait("s").outcome.exit_code == 0
        agent.delete("s")
        # A command inside says so as well.
        limit.set(0)
        try:
            execute(agent.calls, "stays", "true")
            raise AssertionError("a process too many")
        except grpc.RpcError as error:
            assert error.code() == Code.RESOURCE_EXHAUSTED, error
        limit.lift()
        assert execute(agent.calls, "stays", "true")[0] == 0
        agent.delete("stays", force=True)


# ---- A record that cannot be used ----


def running_pair(agent):
    """One that counts, and its first process."""
    agent.run("counting", "sh", "-c", COUNTING)
    agent.run("ended", "sh", "-c", "echo bye; exit 6")
    agent.wait("ended")
    agent.create("idle")
    return agent.get("counting").pid


def check_adopted(agent, pid, kinds=("adopted",)):
    """The same process, its output whole, and all that can be done to it."""
    sandbox = agent.get("counting")
    assert sandbox.pid == pid and sandbox.state == STATE.SANDBOX_STATE_RUNNING, sandbox
    seen = int(agent.logs("counting", tail=1)[0].data)
    eventually(lambda: int(agent.logs("counting", tail=1)[0].data) > seen)
    assert execute(agent.calls, "counting", "echo", "on") == (0, b"on\n", b"")
    told = {event.WhichOneof("kind") for event in agent.events() if event.sandbox_id}
    assert set(kinds) <= told, told
    agent.stop("counting")
    check_numbers(agent, "counting", agent.logs("counting"))


def damage_all(path):
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        file.write(os.urandom(size))


def damage_middle(path):
    with open(path, "r+b") as file:
        for page in range(1, os.path.getsize(path) // 4096):
            file.seek(4096 * page)
            file.write(b"\xaa" * 4096)


def cut(path):
    os.truncate(path, 100)


def corrupt(agent):
    """Refused in one line each time, with what to do; after that what ran is there."""
    for number, damage in enumerate((damage_all, damage_middle, cut)):
        pid = running_pair(agent)
        # What the log has reaches the file before.
        agent.restart()
        agent.kill()
        damage(agent.path("alcove.db"))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(agent.path("alcove.db-wal"))
        for _ in range(3):
            code, words = agent.ends_at_start()
            assert code == RECORD_UNUSABLE, (code, words)
            assert "--set-record-aside" in words and "alcove.db" in words, words
        assert os.path.exists(f"/proc/{pid}"), "the sandbox ended"
        aside = subprocess.run([*agent.command(), "--set-record-aside"], check=True,
                               capture_output=True, text=True).stdout
        assert f"alcove.db.aside-{number + 1}" in aside, aside
        agent.start()
        check_adopted(agent, pid)
        ended = agent.get("ended")
        assert ended.outcome.exit_code == 6 and agent.output("ended") == b"bye\n", ended
        assert agent.get("idle").state == STATE.SANDBOX_STATE_CREATED
        agent.begin("idle")
        agent.run("new", "true")
        agent.wait("new")
        reserved = agent.capacity().reserved.sandboxes
        assert reserved == 1, reserved
        # Nobody takes it from an agent that has it.
        taken = subprocess.run([*agent.command(), "--set-record-aside"], check=False,
                               capture_output=True, text=True)
        assert taken.returncode == 71 and "open" in taken.stderr, taken
        # Deleted ones do not come back with the next empty record.
        agent.delete_all()
        agent.expect_nothing_left()
    agent.kill()
    subprocess.run([*agent.command(), "--set-record-aside"], check=True, capture_output=True)
    agent.start()
    assert not agent.list()


def read_only(agent):
    """Refused in one line; once it can be written, what ran is there."""
    pid = running_pair(agent)
    agent.kill()
    # Files are open for writing below: only another view of it can be read-only.
    agent.inside(f"mount --bind '{agent.state}' '{agent.state}'"
                 f" && mount -o remount,bind,ro '{agent.state}'")
    for _ in range(2):
        code, words = agent.ends_at_start()
        assert code == RECORD_UNREACHABLE, (code, words)
        assert "Read-only file system" in words and "writable" in words, words
    agent.inside(f"umount '{agent.state}'")
    agent.start()
    check_adopted(agent, pid)


def downgrade(agent):
    """A record of a newer version is left as it is, with words."""
    pid = running_pair(agent)
    assert agent.terminate() == 0

    def set_version(version):
        script = ("import sqlite3, sys\n"
                  "record = sqlite3.connect(sys.argv[1])\n"
                  "print(record.execute('PRAGMA user_version').fetchone()[0])\n"
                  "record.execute(f'PRAGMA user_version = {sys.argv[2]}')\n"
                  "record.commit()")
        return int(subprocess.run(
            agent.entered(sys.executable, "-c", script, f"{agent.state}/alcove.db", str(version)),
            check=True, capture_output=True, text=True).stdout)

    version = set_version(99)
    for _ in range(2):
        code, words = agent.ends_at_start()
        assert code == RECORD_UNUSABLE, (code, words)
        assert "version 99" in words and "or a later one" in words, words
    set_version(version)
    agent.start()
    check_adopted(agent, pid)


# ---- Another agent in its place ----


def upgrade(agent):
    """Another program takes over: no sandbox notices, and no line or event is missing."""
    script = ("for s in HUP INT TERM PIPE USR1 CONT; do trap \"echo noticed $s\" $s; done; "
              + COUNTING)
    agent.run("counting", "sh", "-c", script)
    agent.run("ends", "sh", "-c", "sleep 0.5; exit 9")
    pid = agent.get("counting").pid
    seen, first = [], agent.last_event() + 1
    for life in range(3):
        follow = agent.calls.sandboxes.Logs(
            messages.LogsRequest(id="counting", follow=True), timeout=60)
        entries = [next(follow) for _ in range(20)]
        command = Execution(agent.calls, "counting", "cat").send(stdin=b"x").until(
            lambda e: e.stdout == b"x")
        folder = f"{agent.folder}/version-{life}"
        os.mkdir(folder)
        for name in ("alcoved", "alcove-init"):
            shutil.copy(f"{PRODUCTS}/{name}", folder)
        if life == 1:
            agent.kill()
        else:
            assert agent.terminate() == 0, agent.log()
        # Its calls end, and say that it is the agent that went away.
        for call in (lambda: list(follow), command.finish):
            try:
                call()
                raise AssertionError("a call outlived its agent")
            except grpc.RpcError as error:
                assert error.code() in (Code.UNAVAILABLE, Code.CANCELLED), error
        agent.program = f"{folder}/alcoved"
        agent.settings["sandboxes__init"] = f"{folder}/alcove-init"
        agent.start()
        assert os.readlink(f"/proc/{agent.process.pid}/exe") == agent.program
        assert agent.get("counting").pid == pid
        # A client goes on where it was.
        since = entries[-1].at_nanoseconds
        again = agent.calls.sandboxes.Logs(messages.LogsRequest(
            id="counting", follow=True, since_at_nanoseconds=since), timeout=60)
        assert next(again).data == entries[-1].data
        assert int(next(again).data) == int(entries[-1].data) + 1
        again.cancel()
        assert execute(agent.calls, "counting", "echo", "on") == (0, b"on\n", b"")
        seen += agent.events(first)
        first = agent.last_event() + 1
        agent.run(f"new-{life}", "true")
        assert agent.wait(f"new-{life}").outcome.exit_code == 0
    assert agent.wait("ends").outcome.exit_code == 9
    numbers = [event.number for event in check_events(agent)]
    assert {event.number for event in seen} <= set(numbers)
    os.kill(agent.get("counting").pid, 0)
    agent.stop("counting")
    output = agent.logs("counting")
    assert not any(b"noticed" in entry.data for entry in output[:-2]), output[-5:]
    check_numbers(agent, "counting", [e for e in output if b"noticed" not in e.data])


class ReplacedAgent(MountedAgent):
    """One whose program changes."""

    program = None

    def command(self):
        command = super().command()
        if self.program:
            command[command.index(f"{PRODUCTS}/alcoved")] = self.program
        return command


def with_agent(part, kind=MountedAgent):
    def run():
        with kind() as agent:
            part(agent)
    run.__name__ = part.__name__
    return run


if __name__ == "__main__":
    run_parts(*map(with_agent, (full_disk, end_on_full_disk, full_processes, corrupt, read_only,
                                downgrade)), with_agent(upgrade, ReplacedAgent))
