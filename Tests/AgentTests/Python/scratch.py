"""Scratch space on the disk: bounded, reserved, kept over restarts, and gone with its sandbox."""
import os
import threading

import grpc
from agent import IMAGE, STATE, Agent, controllers
from faults import MountedAgent
from oci import Layout, base_layer, tar
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
DISK = api.types.SCRATCH_PLACE_DISK
MIB = 1 << 20
LOG = 1 * MIB
# What it can write to each place, until an error, and what is left to write then.
FILL = """
write() { dd if=/dev/zero of=$1/large bs=1M count=$2 2> /dev/null; }
for place in / /tmp /dev/shm; do
    write $place 100 && echo "$place has no bound"
    test $(($(wc -c < $place/large) >> 20)) -ge 6 || echo "$place has $(wc -c < $place/large)"
    rm $place/large
done
write / 5 && ! write /tmp 5 && echo one bound
rm /large /tmp/large
"""


def new_agent(**settings):
    return Agent(sandboxes__log_size="1MiB", **settings)


def create(agent, sandbox_id, *command, size=8 * MIB, **fields):
    return agent.create(sandbox_id, *command, scratch_place=DISK, scratch_bytes=size, **fields)


def said(agent, sandbox_id, *command, **fields):
    create(agent, sandbox_id, *command, **fields)
    agent.begin(sandbox_id)
    outcome = agent.wait(sandbox_id).outcome
    text = agent.output(sandbox_id).decode()
    assert outcome.exit_code == 0, (outcome, text)
    agent.delete(sandbox_id)
    return text


def reserved(agent):
    return agent.capacity().reserved.disk_bytes


# ---- What there is ----

def bounded():
    """All that a sandbox writes is in one file system on the disk, and no more than that has."""
    with new_agent() as agent:
        assert said(agent, "a", "sh", "-c", FILL) == "one bound\n"
        read_only = ("sh", "-c", "! touch /file 2> /dev/null; grep -o ' /tmp ext4 [^ ]*' /proc/mounts")
        mount = said(agent, "b", *read_only, read_only_root=True)
        assert "rw" in mount and "nosuid" in mount and "nodev" in mount, mount
        # Root inside is somebody else outside, and may write all the same.
        maps = [api.types.IdentityMap(inside=0, outside=200_000, count=65_536)]
        for user in ("0:0", "1000:1000"):
            text = said(agent, "c", "sh", "-c", "echo x > /tmp/x && touch /dev/shm/y && cat /tmp/x",
                        identity_maps=maps, user=user)
            assert text == "x\n", text
        assert said(agent, "d", "sh", "-c", FILL, identity_maps=maps) == "one bound\n"
        # Of a node's memory it takes none for good: what is in the page cache can go.
        source = Layout(f"{agent.folder}/layout")
        source.add([base_layer()])
        list(agent.calls.images.Import(api.images.ImportRequest(
            name="app", archive=source.folder), timeout=300))
        assert said(agent, "e", "sh", "-c", FILL, image="app") == "one bound\n"
        assert said(agent, "f", "sh", "-c", "rm /bin/vi && ! ls /bin/vi 2> /dev/null && echo gone",
                    image="app") == "gone\n"
        assert said(agent, "g", "ls", "/bin/vi", image="app") == "/bin/vi\n"
        for size in (0, 4 * MIB - 1, (16 << 40) + 1, 2**64 - 1):
            # More than the largest is more than any node has.
            code = refused_size(agent, size)
            assert code == ("limit_out_of_range" if size < MIB * 4 else "no_room"), (size, code)
        assert said(agent, "h", "sh", "-c", "dd if=/dev/zero of=/x bs=1M count=1 2> /dev/null && echo ok",
                    size=4 * MIB) == "ok\n"
        refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="x", spec=agent.spec("true", scratch_place=7)), "invalid_request")


def refused_size(agent, size):
    try:
        create(agent, "refused", "true", size=size)
    except grpc.RpcError as error:
        return api.detail(error).code
    raise AssertionError(f"a size of {size} was taken")


def gone():
    """Whatever the end of a sandbox, nothing of its file system is left."""
    with new_agent() as agent:
        assert not agent.scratch_devices()
        create(agent, "made")
        assert len(agent.scratch_devices()) == 1
        assert os.listdir(f"{agent.state}/scratch") == []
        agent.delete("made")
        eventually(lambda: not agent.scratch_devices())
        ends = {
            "exits": lambda name: agent.wait(name), "stopped": lambda name: agent.stop(name, 60.0),
            "killed": lambda name: agent.stop(name), "deleted": lambda name: None}
        for name, end in ends.items():
            command = ["true"] if name == "exits" else [
                "sh", "-c", "dd if=/dev/zero of=/large bs=1M count=3; sleep 1000000"]
            create(agent, name, *command)
            agent.begin(name)
            end(name)
            agent.delete(name, force=True)
            eventually(lambda: not agent.scratch_devices())
        # It does not come to run.
        refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create,
                api.sandboxes.CreateRequest(id="none", spec=agent.spec(
                    "/none", scratch_place=DISK)), "command_missing")
        assert not agent.scratch_devices()
        agent.create("ahead", scratch_place=DISK)
        agent.kill()
        eventually(lambda: not agent.scratch_devices())
        agent.start()
        agent.delete("ahead")


def together():
    """Many at once, while others come and go that have theirs in memory."""
    with new_agent() as agent:
        failures = []

        def use(number):
            try:
                for turn in range(3):
                    name = f"s-{number}-{turn}"
                    fields = {"size": 8 * MIB} if number % 4 else {}
                    if number % 4:
                        text = said(agent, name, "sh", "-c", "echo $0 > /x; cat /x", name, **fields)
                        assert text == f"{name}\n", text
                    else:
                        agent.run(name, "true")
                        assert agent.wait(name).outcome.exit_code == 0
                        agent.delete(name)
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=use, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        eventually(lambda: not agent.scratch_devices())


def adopted():
    """It belongs to the sandbox, whatever becomes of the agent; one that waits gets a new one."""
    with new_agent() as agent:
        create(agent, "up", "sh", "-c", "n=0; while :; do n=$((n+1)); echo $n > /n; sync /n;"
               " test -e /tmp/stop && exec cat /tmp/stop; sleep 0.01; done")
        agent.begin("up")
        create(agent, "waits", "sh", "-c", "echo x > /x; cat /x")
        before = reserved(agent)
        assert before == 2 * (8 * MIB + LOG), before
        for end in (agent.kill, agent.terminate):
            end()
            # That of the one which waited went with the agent that had made it.
            eventually(lambda: len(agent.scratch_devices()) == 1)
            agent.start()
            assert agent.get("up").state == STATE.Value("SANDBOX_STATE_RUNNING")
            assert reserved(agent) == before
        agent.begin("waits")
        assert agent.wait("waits").outcome.exit_code == 0 and agent.output("waits") == b"x\n"
        stream = agent.calls.sandboxes.Exec(iter([api.sandboxes.ExecRequest(
            start=api.sandboxes.ExecRequest.Start(
                sandbox_id="up", command=["sh", "-c", "echo kept > /tmp/stop"]))]), timeout=60)
        assert list(stream)
        assert agent.wait("up").outcome.exit_code == 0 and agent.output("up") == b"kept\n"
        # Stopped ones hold nothing.
        eventually(lambda: not agent.scratch_devices())
        assert reserved(agent) == 0
        # An agent that dies at any point of a start leaves none behind but a running one's.
        for step in ("create.prepared", "create.written", "start.written", "start.spawned",
                     "start.running"):
            agent.restart("--die-at", step)
            try:
                create(agent, "dies")
                agent.begin("dies")
            except grpc.RpcError:
                pass
            agent.process.wait()
            agent.start()
            running = [each for each in agent.list()
                       if each.state == STATE.Value("SANDBOX_STATE_RUNNING")]
            eventually(lambda: len(agent.scratch_devices()) == len(running))
            agent.delete_all()
            eventually(lambda: not agent.scratch_devices())


class Counted:
    """What the kernel counts of a sandbox's use of the disk below a folder, where it does: in its
    own cgroup, or in one of version 1 that it is put into."""

    def __init__(self, agent, sandbox, folder):
        number = os.stat(folder).st_dev
        place = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        whole = os.path.dirname(place) if os.path.exists(f"{place}/partition") else place
        self.group = None
        if not os.path.exists(f"{whole}/dev"):
            return
        with open(f"{whole}/dev") as file:
            self.disk = file.read().strip()
        if "io" in controllers():
            self.group, = [each for each in agent.sandbox_cgroups()]
            self.file = "io.stat"
        elif os.path.isdir("/sys/fs/cgroup/blkio"):
            self.group, self.file = f"/sys/fs/cgroup/blkio/{agent.cgroup}", \
                "blkio.throttle.io_service_bytes"
            os.makedirs(self.group)
            with open(f"{self.group}/cgroup.procs", "w") as file:
                file.write(str(sandbox.pid))

    def bytes(self, kind):
        """Read, or written."""
        with open(f"{self.group}/{self.file}") as file:
            lines = [line.split() for line in file if line.startswith(self.disk + " ")]
        if self.file == "io.stat":
            words = dict(word.split("=") for line in lines for word in line[1:])
            return int(words.get({"Read": "rbytes", "Write": "wbytes"}[kind], 0))
        return sum(int(line[2]) for line in lines if line[1] == kind)

    def close(self):
        if self.group and "/blkio/" in self.group:
            os.rmdir(self.group)


def counted():
    """What a sandbox reads of an image, and writes to scratch space, the kernel knows as its own on
    the disks below: that is what a limit of disk rates bounds."""
    with new_agent() as agent:
        source = Layout(f"{agent.folder}/layout")
        source.add([base_layer(), tar([("data", os.urandom(16 * MIB))])], packed=False)
        list(agent.calls.images.Import(api.images.ImportRequest(
            name="app", archive=source.folder), timeout=300))
        os.sync()
        create(agent, "a", image="app", size=64 * MIB)
        use = Counted(agent, agent.begin("a"), agent.state)
        if not use.group:
            print("nothing counts the use of disks here")
            return
        for kind, command in (("Read", ["dd", "if=/data", "of=/dev/null", "bs=1M"]),
                              ("Write", ["dd", "if=/dev/zero", "of=/file", "bs=1M", "count=16",
                                         "conv=fsync"])):
            before = use.bytes(kind)
            answers = list(agent.calls.sandboxes.Exec(iter([api.sandboxes.ExecRequest(
                start=api.sandboxes.ExecRequest.Start(sandbox_id="a", command=command))]),
                timeout=120))
            assert answers[-1].exit.code == 0, answers
            found = use.bytes(kind) - before
            assert 16 * MIB <= found <= 20 * MIB, (kind, found)
        agent.delete("a", force=True)
        eventually(lambda: not agent.processes())
        use.close()


# ---- What there is room for ----

def admitted():
    """A node promises no more of its disk than it has."""
    with new_agent() as agent:
        room = agent.capacity().allocatable.disk_bytes
        third = room // 3 - LOG
        detail = refused(Code.RESOURCE_EXHAUSTED, agent.calls.sandboxes.Create,
                         api.sandboxes.CreateRequest(id="a", spec=agent.spec(
                             "true", scratch_place=DISK, scratch_bytes=room)))
        shortage, = detail.shortages
        assert shortage.resource == api.types.RESOURCE_DISK, detail
        assert (shortage.requested, shortage.available) == (room + LOG, room), detail
        assert not agent.scratch_devices() and reserved(agent) == 0 and third > 0


def full():
    """What others took of the disk meanwhile is not there, and the refusal says so."""
    agent = MountedAgent(size=64 * MIB, sandboxes__log_size="1MiB")
    with agent:
        assert agent.capacity().total.disk_bytes == 64 * MIB
        create(agent, "fits", "sh", "-c", FILL)
        agent.begin("fits")
        assert agent.wait("fits").outcome.exit_code == 0
        assert agent.output("fits") == b"one bound\n"
        # Its space is its own, before it is used.
        create(agent, "own", "sh", "-c", FILL)
        agent.fill()
        detail = refused(Code.RESOURCE_EXHAUSTED, agent.calls.sandboxes.Create,
                         api.sandboxes.CreateRequest(id="late", spec=agent.spec(
                             "true", scratch_place=DISK, scratch_bytes=8 * MIB)))
        assert detail.code == "exhausted" and "directories.scratch" in detail.hint, detail
        agent.make_room()
        agent.begin("own")
        assert agent.wait("own").outcome.exit_code == 0
        assert agent.output("own") == b"one bound\n"


def elsewhere():
    """The operator says where it is made."""
    agent = new_agent()
    agent.settings["directories__scratch"] = f"{agent.folder}/fast/place"
    with agent:
        create(agent, "a")
        device, = agent.scratch_devices()
        with open(f"/sys/block/{device}/loop/backing_file") as file:
            assert file.read().startswith(f"{agent.folder}/fast/place/"), device
        assert not os.path.exists(f"{agent.state}/scratch")
        space = os.statvfs(f"{agent.folder}/fast/place")
        assert agent.capacity().total.disk_bytes == space.f_blocks * space.f_frsize
        assert said(agent, "b", "sh", "-c", FILL, image=IMAGE) == "one bound\n"


if __name__ == "__main__":
    run_parts(bounded, gone, together, adopted, counted, admitted, full, elsewhere)
