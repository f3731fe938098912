"""What an agent counts and times, read by Prometheus's own library."""
import fcntl
import http.client
import itertools
import os
import re
import shutil
import signal
import socket

import grpc
from agent import IMAGE, Agent, Calls, controllers
from oci import Layout, base_layer, tar
from prometheus_client.parser import text_string_to_metric_families
from session import Plane
from support import PROJECT, api, eventually, fails, refused, run_parts

Code = grpc.StatusCode
CREATED = ("alcove_sandbox_creates_total", "created")
CONNECTED = ("alcove_control_plane_connected",)
# What was not zero at some time in some part.
moved = set()
# All that is exported, by its name in the documentation.
exported = {}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def scrape(agent):
    """Every series by name and the values of its labels: `("alcove_sandboxes", "running")`."""
    connection = UnixConnection(f"{agent.folder}/run/metrics.sock")
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    found = {}
    for family in text_string_to_metric_families(answer.read().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        exported[name] = (family.type, family.documentation)
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                continue
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found[(sample.name, *labels)] = sample.value
            if sample.value != 0:
                moved.update((name, (name, *labels)))
    connection.close()
    return found


def shows(agent, expected):
    """Gauges follow a moment later."""
    def holds():
        found = scrape(agent)
        return all(found.get(series) == value for series, value in expected.items())
    try:
        eventually(holds)
    except AssertionError as error:
        found = scrape(agent)
        raise AssertionError({key: (found.get(key), value) for key, value in expected.items()
                              if found.get(key) != value}) from error


def a_node_that_does_nothing():
    with Agent(capacity__max_sandboxes=3) as agent:
        capacity = agent.capacity()
        found = scrape(agent)
        total, allocatable = capacity.total, capacity.allocatable
        assert found["alcove_node_cpus", "total"] == total.milli_cpus / 1000
        assert found["alcove_node_memory_bytes", "allocatable"] == allocatable.memory_bytes
        assert found["alcove_node_sandbox_slots", "total"] == 3
        for name in ("memory_bytes", "pids", "disk_bytes"):
            used = found[f"alcove_node_{name}", "used"]
            assert 0 < used <= found[f"alcove_node_{name}", "total"], (name, used)
        assert found[CONNECTED] == 0
        assert found[("alcove_node_draining",)] == 0
        size = sum(os.path.getsize(f"{agent.state}/{name}") for name in os.listdir(agent.state)
                   if name.startswith("alcove.db"))
        assert 0 < found[("alcove_store_bytes",)] <= size
        assert found[("alcove_log_lines_total",)] >= 1
        assert found[("alcove_events_kept",)] == found[("alcove_events_total",)] > 0


def sandboxes_that_come_and_go():
    with Agent(capacity__max_sandboxes=3) as agent:
        agent.run("a", "sleep", "1000000")
        agent.create("a", "sleep", "1000000")
        agent.run("b", "sh", "-c", "exit 3")
        agent.wait("b")
        agent.create("c")
        refused(Code.ALREADY_EXISTS, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="a", spec=agent.spec("other")))
        agent.run("d", "sleep", "1000000")
        refused(Code.RESOURCE_EXHAUSTED, agent.calls.sandboxes.Create,
                api.sandboxes.CreateRequest(id="e", spec=agent.spec()))
        refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Create,
                api.sandboxes.CreateRequest(id="", spec=agent.spec()))
        shows(agent, {
            ("alcove_sandboxes", "running"): 2, ("alcove_sandboxes", "created"): 1,
            ("alcove_sandboxes", "stopped"): 1, CREATED: 4,
            ("alcove_sandbox_creates_total", "existed"): 1,
            ("alcove_sandbox_creates_total", "conflict"): 1,
            ("alcove_sandbox_creates_total", "exhausted"): 1,
            ("alcove_sandbox_creates_total", "invalid"): 1,
            ("alcove_sandbox_starts_total", "running"): 3,
            ("alcove_sandbox_ends_total", "exited"): 1,
            ("alcove_node_sandbox_slots", "reserved"): 3,
            ("alcove_node_sandbox_slots", "used"): 3, ("alcove_node_addresses", "used"): 3,
            ("alcove_starts_in_flight",): 0})
        found = scrape(agent)
        for stage in ("queued", "recorded", "prepared", "spawned", "isolated", "executed"):
            assert found["alcove_sandbox_start_seconds_count", stage] == 3, stage
        parts = sum(value for series, value in found.items()
                    if series[0] == "alcove_sandbox_start_seconds_sum" and series[1] != "total")
        whole = found["alcove_sandbox_start_seconds_sum", "total"]
        assert abs(parts - whole) <= whole / 1000, (parts, whole)
        assert found[("alcove_events_total",)] == agent.last_event()
        assert found[("alcove_store_commit_seconds_count",)] > 4
        agent.calls.sandboxes.Pause(api.sandboxes.PauseRequest(id="d"), timeout=60)
        agent.stop("a")
        shows(agent, {("alcove_sandbox_ends_total", "signaled"): 1,
                      ("alcove_sandboxes", "running"): 0, ("alcove_sandboxes", "paused"): 1})
        agent.calls.sandboxes.Resume(api.sandboxes.ResumeRequest(id="d"), timeout=60)


def ends_of_all_kinds():
    with Agent() as agent:
        agent.run("denied", "mount", "-t", "tmpfs", "none", "/mnt")
        agent.run("late", timeout_nanoseconds=50_000_000)
        image = f"{agent.folder}/image"
        shutil.copytree(IMAGE, image, symlinks=True)
        with open(f"{image}/broken", "w", opener=lambda *names: os.open(*names, 0o755)) as file:
            file.write("#!/no/such/interpreter\n")
        agent.create("broken", "/broken", image=image)
        fails(Code.FAILED_PRECONDITION, agent.begin, "broken")
        expected = {("alcove_sandbox_ends_total", "denied_call"): 1,
                    ("alcove_sandbox_ends_total", "timed_out"): 1,
                    ("alcove_sandbox_ends_total", "set_up_failed"): 1,
                    ("alcove_sandbox_starts_total", "failed"): 1,
                    ("alcove_sandboxes", "failed"): 1}
        if "memory" in controllers():
            agent.run("greedy", "sh", "-c", "tail /dev/zero",
                      limits=api.types.Limits(memory_bytes=16 << 20))
            expected["alcove_sandbox_ends_total", "out_of_memory"] = 1
        shows(agent, expected)
        agent.run("e")
        stream = agent.calls.sandboxes.Exec(iter([api.sandboxes.ExecRequest(
            start=api.sandboxes.ExecRequest.Start(sandbox_id="e", command=["true"]))]), timeout=60)
        assert list(stream)
        shows(agent, {("alcove_sandbox_execs_total",): 1})


def a_drain():
    with Agent() as agent:
        agent.calls.node.Drain(api.node.DrainRequest(begin={}), timeout=60)
        refused(Code.UNAVAILABLE, agent.calls.sandboxes.Create,
                api.sandboxes.CreateRequest(id="a", spec=agent.spec()))
        shows(agent, {("alcove_node_draining",): 1,
                      ("alcove_sandbox_creates_total", "unavailable"): 1})


def calls_and_connections():
    with Agent() as agent:
        before = scrape(agent)
        fails(Code.NOT_FOUND, agent.get, "none")
        stream = agent.calls.sandboxes.Watch(api.sandboxes.WatchRequest(), timeout=60)
        shows(agent, {("alcove_event_watchers",): 1, ("alcove_calls_in_flight",): 1})
        stream.cancel()
        shows(agent, {
            ("alcove_event_watchers",): 0, ("alcove_calls_in_flight",): 0,
            # Labels are sorted by their names: the code comes first.
            ("alcove_calls_total", "NOT_FOUND", "alcove.v1.Sandboxes/Get"): 1,
            ("alcove_calls_total", "CANCELLED", "alcove.v1.Sandboxes/Watch"): 1})
        accepted = ("alcove_connections_total", "accepted")
        with socket.socket(socket.AF_UNIX) as broken:
            broken.connect(agent.socket)
            broken.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while broken.recv(4096):
                pass
        shows(agent, {accepted: before[accepted] + 1,
                      ("alcove_connections",): before[("alcove_connections",)],
                      ("alcove_connections_total", "failed"): 1})
        # More than a server takes at once.
        several = []
        while scrape(agent)["alcove_connections_total", "excess"] == 0:
            for _ in range(100):
                several.append(socket.socket(socket.AF_UNIX))
                several[-1].connect(agent.socket)
            assert len(several) < 5000, "there is no limit"
        for each in several:
            each.close()
        shows(agent, {("alcove_connections",): before[("alcove_connections",)]})


def whom_the_kernel_names():
    agent = Agent(socket__allowed_users=[os.getuid() + 1])
    try:
        agent.start(serving=False)
        eventually(lambda: os.path.exists(f"{agent.folder}/run/metrics.sock"))

        def is_denied():
            with Calls(agent.socket) as calls:
                fails(Code.UNAVAILABLE, calls.node.Info, api.node.InfoRequest(), timeout=60)
            return scrape(agent)["alcove_connections_total", "denied"] >= 1

        # Before the agent listens, a client is not denied but alone.
        eventually(is_denied)
        assert agent.terminate() == 0
    finally:
        agent.close()


def what_an_earlier_agent_left():
    with Agent() as agent:
        for name in ("a", "b", "lost", "late"):
            agent.run(name, "sleep", "1000000")
        paths = {name: f"{agent.cgroup_path}/s{number}" for name, number in numbers(agent).items()}
        agent.kill()
        # One ends by itself, of another nothing at all is left, and a third is nobody's.
        kill_cgroup(paths["late"])
        kill_cgroup(paths["lost"])
        os.rmdir(paths["lost"])
        os.mkdir(f"{agent.cgroup_path}/s1")
        agent.start()
        shows(agent, {("alcove_recovered_total", "adopted"): 2,
                      ("alcove_recovered_total", "ended"): 2,
                      ("alcove_recovered_total", "removed"): 1,
                      ("alcove_sandbox_ends_total", "lost"): 1,
                      ("alcove_sandbox_ends_total", "set_up_failed"): 0,
                      ("alcove_sandboxes", "running"): 2})
        # Half stopped, and half started.
        agent.restart("--die-at", "stop.written")
        fails(Code.UNAVAILABLE, agent.stop, "a")
        agent.process.wait()
        agent.start()
        shows(agent, {("alcove_recovered_total", "finished"): 1})
        agent.create("half")
        agent.restart("--die-at", "start.written")
        fails(Code.UNAVAILABLE, agent.begin, "half")
        agent.process.wait()
        agent.start()
        shows(agent, {("alcove_recovered_total", "undone"): 1})


def numbers(agent):
    """The numbers that cgroups are named by, by the processes in them."""
    found = {}
    for sandbox in agent.list():
        for path in agent.cgroups():
            with open(f"{path}/cgroup.procs") as file:
                if str(sandbox.pid) in file.read().split():
                    relative = os.path.relpath(path, agent.cgroup_path).split("/")
                    found[sandbox.id] = int(relative[0][1:])
    return found


def kill_cgroup(path):
    with open(f"{path}/cgroup.kill", "w") as file:
        file.write("1")

    def is_empty():
        with open(f"{path}/cgroup.events") as file:
            return "populated 0" in file.read()
    eventually(is_empty)


def a_log_that_nobody_reads():
    agent = Agent()
    reader, agent.log_pipe = os.pipe()
    try:
        fcntl.fcntl(agent.log_pipe, fcntl.F_SETPIPE_SZ, 4096)
        agent.start()
        begun = scrape(agent)[("alcove_log_lines_total",)]
        for _ in range(10_000):
            # Each time it says that it has read its configuration.
            agent.process.send_signal(signal.SIGHUP)
            found = scrape(agent)
            if found[("alcove_log_dropped_total",)] > 0:
                break
        assert found[("alcove_log_dropped_total",)] > 0, "there is room for everything"
        assert found[("alcove_log_lines_total",)] > begun
        assert agent.terminate() == 0
    finally:
        agent.close()
        os.close(reader)
        os.close(agent.log_pipe)


def a_control_plane():
    with Plane() as plane, Agent(control_plane__socket=plane.path) as agent:
        shows(agent, {CONNECTED: 1, ("alcove_control_plane_sessions_total",): 1})
        agent.create("a")
        shows(agent, {("alcove_control_plane_unacknowledged_events",): 0})
        plane.stop()
        agent.create("b")
        shows(agent, {CONNECTED: 0, ("alcove_control_plane_unacknowledged_events",): 1})
        plane.start()
        shows(agent, {CONNECTED: 1, ("alcove_control_plane_sessions_total",): 2,
                      ("alcove_control_plane_unacknowledged_events",): 0})


def images_and_scratch_space():
    """The store of images, what comes into it and goes, and scratch space on the disk."""
    base = base_layer()
    numbers = itertools.count()
    with Agent(images__capacity="20MiB") as agent:
        def layout(name, *layers):
            source = Layout(f"{agent.folder}/{name}-{next(numbers)}")
            source.add(layers)
            return source.folder

        def add(name, *layers, code=None):
            request = api.images.ImportRequest(name=name, archive=layout(name, *layers))
            if code is None:
                return list(agent.calls.images.Import(request, timeout=300))[-1].result.image
            return fails(code, agent.calls.images.Import, request, timeout=300)

        def shared(number):
            return tar([(f"data-{number}", os.urandom(5 << 20))])

        image = add("one", base, shared(1))
        add("one", base, shared(1))
        again = api.images.ImportRequest(name="again", archive=layout("again", base))
        for _ in range(2):
            list(agent.calls.images.Import(again, timeout=300))
        shows(agent, {("alcove_images", "all"): 3, ("alcove_images", "used"): 0,
                      ("alcove_image_layers", "all"): 3, ("alcove_image_layers", "mounted"): 0,
                      ("alcove_image_bytes", "capacity"): 20 << 20,
                      ("alcove_image_imports_total", "imported"): 3,
                      ("alcove_image_imports_total", "existed"): 1,
                      ("alcove_image_import_seconds_count",): 3})
        store = agent.calls.images.List(api.images.ListImagesRequest(), timeout=60).store
        shows(agent, {("alcove_image_bytes", "used"): store.bytes})
        # Its name went over to another one.
        agent.calls.images.Prune(api.images.PruneRequest(), timeout=60)
        agent.calls.images.Remove(api.images.RemoveRequest(name="again"), timeout=60)
        agent.calls.images.Pin(api.images.PinRequest(name="one", pinned=True), timeout=60)
        shows(agent, {("alcove_image_removals_total", "pruned"): 1,
                      ("alcove_image_removals_total", "removed"): 1,
                      ("alcove_images", "all"): 1, ("alcove_images", "pinned"): 1})
        assert image.digest
        agent.create("user", "true", image="one", scratch_place=api.types.SCRATCH_PLACE_DISK,
                     scratch_bytes=4 << 20)
        shows(agent, {("alcove_images", "used"): 1, ("alcove_image_layers", "mounted"): 2,
                      ("alcove_scratch_make_seconds_count",): 1})
        agent.delete("user")
        add("two", base, shared(2))
        add("three", base, shared(3))
        add("four", base, shared(4))
        shows(agent, {("alcove_image_removals_total", "evicted"): 1})
        add("broken", b"no layer at all", code=Code.INVALID_ARGUMENT)
        add("large", tar([("large", os.urandom(25 << 20))]), code=Code.RESOURCE_EXHAUSTED)
        shows(agent, {("alcove_image_imports_total", "invalid"): 1,
                      ("alcove_image_imports_total", "no_space"): 1})
        layer, = [each for each in agent.calls.images.List(
            api.images.ListImagesRequest(name="one"), timeout=60).images[0].layers
            if each.bytes > 4 << 20]
        with open(f"{agent.state}/images/layers/{layer.digest[7:]}/layer.erofs", "r+b") as file:
            file.seek(1 << 20)
            file.write(b"something else")
        assert not list(agent.calls.images.Check(
            api.images.CheckRequest(), timeout=300))[-1].result.sound
        shows(agent, {("alcove_images", "damaged"): 1, ("alcove_image_layers", "damaged"): 1})
    with Agent() as agent:
        source = Layout(f"{agent.folder}/slow")
        source.add([tar([(f"data-{number}", os.urandom(32 << 20))]) for number in range(2)],
                   packed=False)
        while scrape(agent)["alcove_image_imports_total", "cancelled"] == 0:
            call = agent.calls.images.Import(api.images.ImportRequest(
                name="slow", archive=source.folder), timeout=300)
            next(call)
            call.cancel()
            # It may have come to its end.
            eventually(lambda: not os.listdir(f"{agent.state}/images/leases"))
            for image in agent.calls.images.List(api.images.ListImagesRequest(), timeout=60).images:
                agent.calls.images.Remove(api.images.RemoveRequest(name=image.digest), timeout=60)


# Each is shown to move by NodeAgentMetricsTests, where a test can hold up what takes no time.
ELSEWHERE = {
    ("alcove_sandbox_creates_total", "failed"), ("alcove_sandbox_starts_total", "refused"),
    ("alcove_sandbox_starts_total", "expired"), ("alcove_sandbox_starts_total", "abandoned"),
    ("alcove_sandbox_ends_total", "out_of_memory"), ("alcove_sandboxes", "starting"),
    ("alcove_sandboxes", "stopping"), ("alcove_sandboxes", "removing"),
    ("alcove_image_imports_total", "failed"), ("alcove_starts_in_flight",), ("alcove_starts_queued",), ("alcove_store_failures_total",),
    # The load may be none.
    ("alcove_node_cpus", "used"),
    # The lab of networks has all of these.
    ("alcove_network_proxies", "alive"),
    *(("alcove_network_dropped_packets_total", reason) for reason in (
        "false_source", "false_neighbour", "other_sandbox", "tunnel", "router", "strangers"))}


def networks():
    """Places, drops and proxies are counted."""
    from networks import METADATA, NODE, PUBLIC, Scene, types, vpc
    from networks import net as messages
    with Scene(network__least_ready=0) as scene:
        agent = scene.agent
        agent.run("open", network=types.NetworkSpec(public_egress=True))
        agent.run("closed", network=types.NetworkSpec())
        assert scene.asks("open", METADATA) is None and scene.asks("open", NODE, 8000) is None
        assert scene.asks("closed", PUBLIC) is None
        found = scrape(agent)
        assert found[("alcove_network_slots", "used")] == 2, found
        assert found[("alcove_network_slots_missed_total",)] >= 1
        for reason in ("refused_prefix", "node", "not_allowed"):
            assert found[("alcove_network_dropped_packets_total", reason)] > 0, reason
        agent.calls.networks.JoinVPC(messages.JoinVPCRequest(vpc=vpc()), timeout=60)
        shows(agent, {("alcove_network_proxies", "silent"): 1,
                      ("alcove_network_proxies", "alive"): 0})
        agent.calls.networks.LeaveVPC(messages.LeaveVPCRequest(id="blue"), timeout=60)


def all_that_is_exported():
    """Every series moved in some part, and the documentation has every metric."""
    with Agent() as agent:
        series = {(re.sub("_(sum|count)$", "", name[0]), *name[1:]) for name in scrape(agent)}
    still = {each for each in series if each not in moved} - ELSEWHERE
    assert not still, f"never moved: {sorted(still)}"
    with open(os.path.join(PROJECT, "docs/operations.md")) as file:
        table = file.read().split("<!-- table: metrics -->")[1].split("<!-- end -->")[0]
    documented = {}
    for line in table.strip().splitlines()[2:]:
        name, kind, _, text = re.fullmatch(r"\| `(\w+)` \| (\w+) \| (.*) \| (.*) \|", line).groups()
        documented[name] = (kind, text)
    assert documented == exported, set(documented.items()) ^ set(exported.items())


if __name__ == "__main__":
    run_parts(a_node_that_does_nothing, sandboxes_that_come_and_go, ends_of_all_kinds, a_drain,
              calls_and_connections, whom_the_kernel_names, what_an_earlier_agent_left,
              a_log_that_nobody_reads, a_control_plane, images_and_scratch_space,
              networks, all_that_is_exported)
