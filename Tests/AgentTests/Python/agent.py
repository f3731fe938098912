"""An agent of a script's own: its process, its calls, and what of it is on the host."""
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support import PROJECT, api, eventually

PRODUCTS = os.path.join(PROJECT, os.environ.get("ALCOVE_PRODUCTS") or "build/bin")
IMAGE = os.path.join(PROJECT, "build/rootfs/base")
OPTIONS = [("grpc.max_receive_message_length", 64 << 20),
           ("grpc.max_send_message_length", 64 << 20),
           ("grpc.use_local_subchannel_pool", 1),
           ("grpc.initial_reconnect_backoff_ms", 20),
           # How long an attempt to connect may take: a busy host is slow.
           ("grpc.min_reconnect_backoff_ms", 20_000),
           ("grpc.max_reconnect_backoff_ms", 100)]
STATE = api.types.SandboxState
SERVING = health_pb2.HealthCheckResponse.SERVING
_numbers = itertools.count(1)


def cgroup_root():
    """Where the cgroup v2 tree is mounted."""
    with open("/proc/mounts") as file:
        return next(line.split()[1] for line in file if line.split()[2] == "cgroup2")


def controllers():
    with open(f"{cgroup_root()}/cgroup.controllers") as file:
        return set(file.read().split())


class Calls:
    """A connection and the stubs of all services."""

    def __init__(self, path, options=()):
        self.channel = grpc.insecure_channel(f"unix:{path}", options=[*OPTIONS, *options])
        self.sandboxes = api.sandbox_services.SandboxesStub(self.channel)
        self.images = api.image_services.ImagesStub(self.channel)
        self.networks = api.network_services.NetworksStub(self.channel)
        self.node = api.node_services.NodeStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Agent:
    """`alcoved` with a folder, a socket and a cgroup of its own. Settings are `table__key`."""

    def __init__(self, **settings):
        self.folder = tempfile.mkdtemp(prefix="alcove-test-")
        self.socket = f"{self.folder}/run/agent.sock"
        self.state = f"{self.folder}/state"
        self.cgroup = f"alcove-test-{os.getpid()}-{next(_numbers)}"
        self.settings = settings
        self.process = None
        self.calls = None
        self.starts = 0
        self.environment = {}
        # The network namespace that it is in; none for that of the script.
        self.namespace = None
        # Where its log goes in the place of a file.
        self.log_pipe = None

    # ---- The process ----

    def configuration(self):
        """The text of the configuration file."""
        tables = {
            "socket": {"path": self.socket},
            "directories": {"state": self.state},
            "sandboxes": {"init": f"{PRODUCTS}/alcove-init", "cgroup": self.cgroup},
            "metrics": {"path": f"{self.folder}/run/metrics.sock"},
            # Most tests are of other things than this, and hosts are small.
            "capacity": {"default_cpus": "0.01", "default_memory": "1MiB", "default_disk": "1MiB",
                         "default_pids": 8, "overcommit_cpu_permille": 100_000}}
        for name, value in self.settings.items():
            table, key = name.split("__")
            tables.setdefault(table, {})[key] = value
        lines = []
        for table, values in tables.items():
            lines.append(f"[{table}]")
            # JSON's texts, numbers and booleans are TOML's.
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        return "\n".join(lines) + "\n"

    def command(self):
        path = f"{self.folder}/alcoved.toml"
        with open(path, "w") as file:
            file.write(self.configuration())
        words = [f"{PRODUCTS}/alcoved", "--config", path]
        return self.namespace.within(*words) if self.namespace else words

    def start(self, *arguments, serving=True):
        self.starts += 1
        os.makedirs(f"{self.folder}/run", exist_ok=True)
        log = os.fdopen(os.dup(self.log_pipe), "ab") if self.log_pipe else \
            open(f"{self.folder}/log", "ab")
        self.process = subprocess.Popen(
            [*self.command(), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "SWIFT_BACKTRACE": "enable=no", **self.environment},
            start_new_session=True)
        log.close()
        if serving:
            self.wait_serving()
        return self

    def wait_serving(self, seconds=60):
        if self.calls:
            self.calls.close()
        end = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"the agent ended: {self.log()}"
            calls = Calls(self.socket)
            try:
                answer = calls.health.Check(health_pb2.HealthCheckRequest(), timeout=10)
                if answer.status == SERVING:
                    self.calls = calls
                    return
            except grpc.RpcError as error:
                assert time.monotonic() < end, f"it does not serve: {error}\n{self.log()}"
            calls.close()
            time.sleep(0.01)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, seconds=60):
        """Asks it to end. Sandboxes live on."""
        self.process.terminate()
        return self.process.wait(seconds)

    def restart(self, *arguments):
        assert self.terminate() == 0, self.log()
        return self.start(*arguments)

    def log(self):
        with open(f"{self.folder}/log", errors="replace") as file:
            return file.read()

    def close(self):
        """Removes all that is there because of it, whatever state it is in."""
        if self.process and self.process.poll() is None:
            self.kill()
        if self.calls:
            self.calls.close()
        for path in self.cgroups():
            with contextlib.suppress(OSError), open(f"{path}/cgroup.kill", "w") as file:
                file.write("1")
        eventually(lambda: not self.processes())
        for path in sorted([*self.cgroups(), self.cgroup_path], reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        for path in self.mounts():
            subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.delete_all()
                self.expect_nothing_left()
                assert self.terminate() == 0, self.log()
            elif os.path.exists(f"{self.folder}/log"):
                print(f"the agent ended with {self.process.poll()} and said:\n"
                      f"{self.log()[-4000:]}", flush=True)
        finally:
            self.close()

    # ---- What is there because of it ----

    @property
    def cgroup_path(self):
        return f"{cgroup_root()}/{self.cgroup}"

    def cgroups(self):
        """Folders below its cgroup, deep ones too, parents first."""
        return sorted(folder for folder, _, _ in os.walk(self.cgroup_path)
                      if folder != self.cgroup_path)

    def sandbox_cgroups(self):
        """Those in which processes are, or that are left: one for each sandbox at most."""
        return [path for path in self.cgroups() if os.path.dirname(path) == self.cgroup_path]

    def processes(self):
        """All processes in its cgroups."""
        found = []
        for path in [*self.cgroups(), self.cgroup_path]:
            with contextlib.suppress(OSError), open(f"{path}/cgroup.procs") as file:
                found += [int(line) for line in file.read().split()]
        return sorted(found)

    def mounts(self):
        """Mounts below its folder, in the host's mount namespace."""
        with open("/proc/self/mounts") as file:
            return [line.split()[1] for line in file if f"{self.folder}/" in line]

    def scratch_devices(self):
        """Loop devices whose files are below its folder: scratch space on the disk."""
        found = []
        for name in os.listdir("/sys/block"):
            with contextlib.suppress(OSError), open(f"/sys/block/{name}/loop/backing_file") as file:
                if file.read().startswith(f"{self.folder}/"):
                    found.append(name)
        return found

    def expect_nothing_left(self):
        """No sandbox is there, and nothing of one."""
        eventually(lambda: not self.processes())
        eventually(lambda: not self.sandbox_cgroups())
        eventually(lambda: not self.scratch_devices())
        assert not self.mounts(), self.mounts()

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # ---- Calls that many scripts make ----

    def spec(self, *command, **fields):
        return api.types.SandboxSpec(
            **{"image": IMAGE, "command": command or ["sleep", "1000000"],
               "isolation": api.types.ISOLATION_KIND_PROCESS, **fields})

    def create(self, sandbox_id, *command, **fields):
        return self.calls.sandboxes.Create(api.sandboxes.CreateRequest(
            id=sandbox_id, spec=self.spec(*command, **fields)), timeout=60).sandbox

    def begin(self, sandbox_id):
        return self.calls.sandboxes.Start(
            api.sandboxes.StartRequest(id=sandbox_id), timeout=60).sandbox

    def run(self, sandbox_id, *command, **fields):
        self.create(sandbox_id, *command, **fields)
        return self.begin(sandbox_id)

    def get(self, sandbox_id):
        return self.calls.sandboxes.Get(
            api.sandboxes.GetRequest(id=sandbox_id), timeout=60).sandbox

    def wait(self, sandbox_id):
        return self.calls.sandboxes.Wait(
            api.sandboxes.WaitRequest(id=sandbox_id), timeout=60).sandbox

    def stop(self, sandbox_id, grace=0.0, **fields):
        return self.calls.sandboxes.Stop(api.sandboxes.StopRequest(
            id=sandbox_id, grace_nanoseconds=int(grace * 1e9), **fields), timeout=60).sandbox

    def delete(self, sandbox_id, force=False):
        self.calls.sandboxes.Delete(
            api.sandboxes.DeleteRequest(id=sandbox_id, force=force), timeout=60)

    def list(self, **fields):
        """All sandboxes, by pages."""
        found, after = [], ""
        while True:
            page = self.calls.sandboxes.List(
                api.sandboxes.ListRequest(after_id=after, **fields), timeout=60)
            found += page.sandboxes
            if not page.more:
                return found
            after = found[-1].id

    def delete_all(self):
        for sandbox in self.list():
            self.delete(sandbox.id, force=True)

    def capacity(self):
        return self.calls.node.Capacity(api.node.CapacityRequest(), timeout=60).capacity

    def last_event(self):
        return self.calls.sandboxes.List(
            api.sandboxes.ListRequest(page_size=1), timeout=60).event_number

    def events(self, first=1, last=None, **fields):
        """Events from one number to another, both included, each the one after the other."""
        last = self.last_event() if last is None else last
        if last < first:
            return []
        stream = self.calls.sandboxes.Watch(
            api.sandboxes.WatchRequest(from_number=first, **fields), timeout=120)
        found = []
        for event in stream:
            if event.WhichOneof("kind") != "heartbeat":
                found.append(event)
            if event.number >= last:
                break
        stream.cancel()
        return found

    def logs(self, sandbox_id, **fields):
        """Lines of a sandbox, as entries."""
        return list(self.calls.sandboxes.Logs(
            api.sandboxes.LogsRequest(id=sandbox_id, **fields), timeout=60))

    def output(self, sandbox_id):
        return b"".join(entry.data for entry in self.logs(sandbox_id))
