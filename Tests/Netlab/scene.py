"""The lab: two compute nodes, two proxies, two tenants with the same addresses, and who is around.

    blue's server ── blue's segment ──┐            ┌── green's segment ── green's server
       10.1.0.10       10.1.0.0/16    │            │      10.1.0.0/16        10.1.0.10
                                   proxy 1      proxy 2
                                   .21 │            │ .22
     ──────────────────────────────────┴─ underlay ─┴─────────────── 192.0.2.0/24
         .11 │               .12 │                 .1 │
           node 1              node 2               world: 198.51.100.1, 169.254.169.254
             └── management ─────┴── 10.255.0.0/24, its server .1

Each is a network namespace; so is each segment, with a bridge in it. Both proxies have an uplink in
both segments: for blue a link that is moved in on one, and a macvlan on the other; for green one of
a pair in a bridge.
"""
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import grpc

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(HERE, "../AgentTests/Python"))
from agent import IMAGE, OPTIONS, PRODUCTS, Agent  # noqa: E402
from lab import Namespace  # noqa: E402
from support import PROJECT, api, eventually  # noqa: E402

net, types = api.networks, api.types
proxy_api, proxy_services = grpc.protos_and_services("alcove/v1/proxy.proto")
STANDING = os.path.join(PROJECT, "build/netlab/standing.json")
PREFIX, SERVER, PUBLIC, METADATA = "10.1.0.0/16", "10.1.0.10", "198.51.100.1", "169.254.169.254"
SHARED = "10.1.0.7"
UNDERLAY, MANAGEMENT, WORLD = "192.0.2.0/24", "10.255.0.0/24", "192.0.2.1"
PORT = 7007
TENANTS = ("blue", "green")
VNI = {"blue": 7, "green": 8}
# Only in the network of one tenant.
OWN_SERVER = {"blue": "10.1.7.7", "green": "10.1.8.8"}
KINDS = {
    "blue": {"vpcs": ["blue"]}, "green": {"vpcs": ["green"]},
    "both": {"vpcs": ["blue"], "public_egress": True}, "public": {"public_egress": True},
    "closed": {}, "none": None}


def compiled(folder):
    """The program that runs in sandboxes and beside servers."""
    path = f"{folder}/probe"
    subprocess.run(["cc", "-std=gnu17", "-O2", "-static", "-pthread", "-o", path,
                    f"{HERE}/probe.c"], check=True)
    return path


def started_at(pid):
    """When a process began, which tells it from a later one with its number. One that has ended is
    none, whether or not it was waited for."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        state, *words = file.read().rsplit(")", 1)[1].split()
        return words[18] if state not in "ZX" else None
    return None


class Space(Namespace):
    """A namespace whose commands are run together, once all of the lab is planned: a busy machine
    takes long to start each."""

    def __init__(self, name):
        self.name = f"alcove-{os.getpid()}-{name}"
        self.processes = []
        self.planned = [("link", "set", "lo", "up")]

    def ip(self, *words):
        if self.planned is None:
            return super().ip(*words)
        self.planned.append(words)
        return ""

    def make(self):
        batch(self.planned, "-n", self.name)
        self.planned = None
        # Echo requests without privileges, as sandboxes send them.
        self.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647", check=True)


def batch(lines, *options):
    text = "".join(" ".join(line) + "\n" for line in lines)
    subprocess.run(["ip", *options, "-batch", "-"], input=text, text=True, check=True,
                   capture_output=True)


class Node:
    """A compute node with its agent."""

    def __init__(self, lab, number):
        self.lab, self.number, self.name = lab, number, f"node{number}"
        self.space = lab.space(self.name)
        self.underlay, self.management = f"192.0.2.{10 + number}", f"10.255.0.{10 + number}"
        self.tunnel = f"100.96.0.{10 + number}"
        lab.cable(self.space, "card", lab.underlay, f"{self.underlay}/24")
        lab.cable(self.space, "admin", lab.management, f"{self.management}/24")
        self.space.ip("route", "add", "default", "via", WORLD)
        self.agent = Agent(
            network__enabled=True, network__name_servers=[WORLD], network__least_ready=8,
            network__most_ready=8,
            network__underlay=self.underlay, network__management=[UNDERLAY, MANAGEMENT],
            capacity__default_pids=64, capacity__default_memory="16MiB",
            capacity__overcommit_memory_permille=10_000, capacity__kept_memory="0B",
            starts__in_flight=8)
        self.router = f"{self.agent.folder}-router"
        self.agent.settings["network__router"] = self.router
        self.agent.namespace = self.space

    @property
    def calls(self):
        return self.agent.calls.networks

    def start(self):
        self.agent.start()
        for tenant in TENANTS:
            self.calls.JoinVPC(net.JoinVPCRequest(vpc=self.vpc(tenant)), timeout=60)

    def vpc(self, tenant, **fields):
        return net.NodeVPC(**{
            "id": tenant, "vni": VNI[tenant], "prefixes": [PREFIX], "tunnel_address": self.tunnel,
            "proxies": [net.NodeVPCProxy(underlay_address=each.underlay,
                                         tunnel_address=each.tunnel,
                                         rank=each.number if tenant == "green" else 0)
                        for each in self.lab.proxies], **fields})

    def health(self, tenant):
        """What the node knows of the proxies of a tenant."""
        vpcs = self.calls.ListVPCs(net.ListNodeVPCsRequest(), timeout=60).vpcs
        return next(each.proxies for each in vpcs if each.vpc.id == tenant)

    def sandbox(self, sandbox_id, kind, *command):
        fields = {} if KINDS[kind] is None else {"network": types.NetworkSpec(**KINDS[kind])}
        command = command or ("/bin/probe", "serve", sandbox_id, str(PORT))
        self.agent.run(sandbox_id, *command, image=self.lab.image, **fields)

    def status(self):
        return self.calls.Status(net.NetworkStatusRequest(), timeout=60)

    def drops(self, reason):
        return next(drop.packets for drop in self.status().drops if drop.reason == reason)

    def slot_address(self, sandbox_id):
        return self.calls.Get(net.GetNetworkRequest(sandbox_id=sandbox_id), timeout=60).slot_address

    def update(self, sandbox_id, **fields):
        self.calls.Update(net.UpdateNetworkRequest(
            sandbox_id=sandbox_id, network=types.NetworkSpec(**fields)), timeout=60)

    def probe(self, sandbox_id, *words):
        return Running(self, sandbox_id, words)

    def said(self, sandbox_id, *words):
        return self.probe(sandbox_id, *words).end()


class Running:
    """The probe in a sandbox, as a command over the agent's interface."""

    def __init__(self, node, sandbox_id, words):
        request = api.sandboxes.ExecRequest
        self.requests = queue.SimpleQueue()
        self.requests.put(request(start=request.Start(
            sandbox_id=sandbox_id, command=["/bin/probe", *map(str, words)])))
        self.answers = node.agent.calls.sandboxes.Exec(
            iter(self.requests.get, None), timeout=600)
        self.text = b""
        self.code = None

    def take(self, until=None):
        """Reads on, to the end or until it said something."""
        for answer in self.answers:
            self.text += answer.stdout + answer.stderr
            if answer.WhichOneof("message") == "exit":
                self.code = answer.exit.code
            if until and until in self.text:
                break
        return self

    def ask_to_end(self):
        self.requests.put(api.sandboxes.ExecRequest(signal=signal.SIGTERM))

    def end(self):
        try:
            self.take()
        finally:
            self.requests.put(None)
        assert self.code == 0, (self.code, self.text)
        return self.text.decode()


class Proxy:
    """A proxy node with its program. Blue's fixed addresses are each proxy's own, two, of which
    each node has one; green's is one for both proxies, which the first has while it is alive."""

    def __init__(self, lab, number):
        self.lab, self.number, self.name = lab, number, f"proxy{number}"
        self.space = lab.space(self.name)
        self.underlay, self.tunnel = f"192.0.2.{20 + number}", f"100.96.0.{number}"
        self.address = f"10.1.0.{4 + number}"
        self.egress = {"blue": [f"10.1.{number}.1", f"10.1.{number}.2"], "green": [SHARED]}
        lab.cable(self.space, "card", lab.underlay, f"{self.underlay}/24")
        lab.cable(self.space, "admin", lab.management, f"10.255.0.{20 + number}/24")
        lab.cable(self.space, "blue0", lab.segments["blue"])
        lab.cable(self.space, "green0", lab.segments["green"])
        self.space.ip("link", "add", "br-green", "type", "bridge")
        self.space.ip("link", "set", "br-green", "up")
        self.space.ip("link", "set", "green0", "master", "br-green")
        self.folder = tempfile.mkdtemp(prefix="alcove-test-")
        self.process = self.calls = None

    def start(self):
        log = open(f"{self.folder}/log", "ab")
        self.process = subprocess.Popen(
            self.space.within(
                f"{PRODUCTS}/alcove-proxy", "--socket", f"{self.folder}/sock",
                "--state", f"{self.folder}/state", "--namespaces", f"{self.folder}/netns",
                "--underlay", self.underlay, "--log-format", "json"),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "SWIFT_BACKTRACE": "enable=no"})
        log.close()
        channel = grpc.insecure_channel(f"unix:{self.folder}/sock", options=OPTIONS)
        grpc.channel_ready_future(channel).result(60)
        self.calls = proxy_services.ProxyStub(channel)
        # A channel is ready before who it leads to has taken over what is there.
        self.listed()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def listed(self):
        return self.calls.List(proxy_api.ListVPCsRequest(), timeout=60).vpcs

    def create(self, tenant):
        uplink = proxy_api.Uplink(address=f"{self.address}/16")
        if tenant == "blue" and self.number == 1:
            uplink.link.name = "blue0"
        elif tenant == "blue":
            uplink.macvlan.parent = "blue0"
        else:
            uplink.veth.peer, uplink.veth.bridge = "up-green", "br-green"
        spec = proxy_api.VPCSpec(
            vni=VNI[tenant], prefixes=[PREFIX], uplink=uplink, tunnel_address=f"{self.tunnel}/16",
            egress_addresses=self.egress[tenant])
        if tenant == "green":
            spec.rank = self.number
            spec.peers.extend(proxy_api.ProxyPeer(
                tunnel_address=each.tunnel, underlay_address=each.underlay, rank=each.number)
                for each in self.lab.proxies if each is not self)
        self.calls.CreateVPC(proxy_api.CreateVPCRequest(id=tenant, spec=spec), timeout=60)

    def attach(self, tenant, node):
        self.calls.AttachNode(proxy_api.AttachNodeRequest(
            vpc_id=tenant, node=proxy_api.VPCNode(
                id=node.name, underlay_address=node.underlay, tunnel_address=node.tunnel)),
            timeout=60)

    def statistics(self, tenant):
        return next(iter(self.calls.Stats(proxy_api.VPCStatsRequest(id=tenant), timeout=60)))

    def space_of(self, tenant):
        """The words of a command in the namespace of a VPC."""
        return ["nsenter", f"--net={self.folder}/netns/{tenant}"]


class Lab:
    def __init__(self):
        self.spaces, self.servers, self.cables = [], [], []
        self.folder = tempfile.mkdtemp(prefix="alcove-test-")
        self.nodes, self.proxies = [], []
        try:
            self.build()
        except BaseException:
            self.remove()
            raise

    # ---- Pieces ----

    def space(self, name):
        made = Space(name)
        self.spaces.append(made)
        return made

    def bridge(self, name):
        made = self.space(name)
        made.ip("link", "add", "bridge", "type", "bridge")
        made.ip("link", "set", "bridge", "up")
        return made

    def cable(self, space, name, bridge, address=None):
        port = f"port{len(self.cables)}"
        self.cables.append(("link", "add", name, "netns", space.name, "type", "veth",
                            "peer", "name", port, "netns", bridge.name))
        space.ip("link", "set", name, "up")
        bridge.ip("link", "set", port, "up", "master", "bridge")
        if address:
            space.ip("address", "add", address, "dev", name)

    def make(self):
        batch([("netns", "add", space.name) for space in self.spaces])
        batch(self.cables)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Space.make, self.spaces))

    def serve(self, name, within):
        """Servers outlive who started them: the lab may be left standing."""
        process = subprocess.Popen(
            [*within, f"{self.folder}/probe", "serve", name, str(PORT)], text=True,
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
        self.servers.append(process)
        assert process.stdout.readline() == "ready\n", name

    def build(self):
        self.probe = compiled(self.folder)
        self.image = f"{self.folder}/image"
        subprocess.run(["cp", "-a", IMAGE, self.image], check=True)
        shutil.copy(self.probe, f"{self.image}/bin/probe")
        self.underlay, self.management = self.bridge("underlay"), self.bridge("management")
        self.segments = {tenant: self.bridge(tenant) for tenant in TENANTS}
        self.world = self.space("world")
        self.cable(self.world, "card", self.underlay, f"{WORLD}/24")
        for address in (PUBLIC, METADATA):
            self.world.ip("address", "add", f"{address}/32", "dev", "lo")
        self.office = self.space("office")
        self.cable(self.office, "card", self.management, "10.255.0.1/24")
        self.tenants = {}
        for tenant in TENANTS:
            server = self.tenants[tenant] = self.space(f"{tenant}-server")
            self.cable(server, "card", self.segments[tenant], f"{SERVER}/16")
            server.ip("address", "add", f"{OWN_SERVER[tenant]}/16", "dev", "card")
        self.proxies = [Proxy(self, number) for number in (1, 2)]
        self.nodes = [Node(self, number) for number in (1, 2)]
        self.make()
        for name, space in (("world", self.world), ("office", self.office),
                            *self.tenants.items(),
                            *((each.name, each.space) for each in (*self.nodes, *self.proxies))):
            self.serve(name, space.within())
        self.world.serve_names(good_example_org=PUBLIC)
        for proxy in self.proxies:
            proxy.start()
            for tenant in TENANTS:
                proxy.create(tenant)
                for node in self.nodes:
                    proxy.attach(tenant, node)
                self.serve(f"{proxy.name}-{tenant}", proxy.space_of(tenant))
        for node in self.nodes:
            node.start()
            self.serve(f"{node.name}-router", ["nsenter", f"--net={node.router}"])

    def fill(self):
        """On each node one sandbox of each kind."""
        for node in self.nodes:
            for kind in KINDS:
                node.sandbox(f"{kind}{node.number}", kind)

    # ---- What is there because of it, and its end ----

    def record(self):
        """All that has to go, as `remove` takes it."""
        processes = [each.process for each in (*self.nodes_agents(), *self.proxies)
                     if each.process]
        processes += self.servers + [each for space in self.spaces for each in space.processes]
        return {
            "processes": [[each.pid, started_at(each.pid)] for each in processes
                          if each.poll() is None],
            "cgroups": [each.cgroup_path for each in self.nodes_agents()],
            "folders": [self.folder, *(each.folder for each in self.proxies),
                        *(each.folder for each in self.nodes_agents())],
            "files": [each.router for each in self.nodes],
            "namespaces": [each.name for each in self.spaces]}

    def nodes_agents(self):
        return [each.agent for each in self.nodes]

    def end(self):
        """The good way: everything is asked to go, and nothing may be left of it."""
        for node in self.nodes:
            node.agent.delete_all()
            node.agent.expect_nothing_left()
            eventually(lambda node=node: node.status().slots_in_use == 0)
            for tenant in TENANTS:
                node.calls.LeaveVPC(net.LeaveVPCRequest(id=tenant), timeout=60)
        for proxy in self.proxies:
            for tenant in TENANTS:
                proxy.calls.DeleteVPC(proxy_api.DeleteVPCRequest(id=tenant), timeout=60)
            # The link that was moved in is back, the other is gone.
            links = proxy.space.links()
            assert "blue0" in links and "up-green" not in links, links
            assert not os.listdir(f"{proxy.folder}/netns")
        for each in (*self.nodes_agents(), *self.proxies):
            each.process.terminate()
            assert each.process.wait(60) == 0, each.folder

    def remove(self):
        for agent in self.nodes_agents():
            if agent.calls:
                agent.calls.close()
        found = self.record()
        remove(found)
        for process in [*self.servers, *(each for space in self.spaces
                                         for each in space.processes)]:
            process.wait()
        for each in (*self.nodes_agents(), *self.proxies):
            if each.process:
                each.process.wait()
        return found


def remove(record):
    """Takes away all of a lab, whatever state it is in."""
    for pid, start in record["processes"]:
        if start and started_at(pid) == start:
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(start and started_at(pid) == start
                               for pid, start in record["processes"]))
    for path in record["cgroups"]:
        with contextlib.suppress(OSError), open(f"{path}/cgroup.kill", "w") as file:
            file.write("1")
        eventually(lambda path=path: not processes_of(path))
        eventually(lambda path=path: gone(path))
    for path in mounts_of(record):
        subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)
    for path in record["folders"]:
        shutil.rmtree(path, ignore_errors=True)
    for path in record["files"]:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    for name in record["namespaces"]:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def gone(cgroup):
    """Whether a cgroup is taken away with all below it: its last processes are on their way."""
    with contextlib.suppress(OSError):
        for folder, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(folder)
    return not os.path.exists(cgroup)


def processes_of(cgroup):
    found = []
    for folder, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError), open(f"{folder}/cgroup.procs") as file:
            found += file.read().split()
    return found


def mounts_of(record):
    places = [f"{folder}/" for folder in record["folders"]] + record["files"]
    with open("/proc/self/mounts") as file:
        return [path for line in file for path in [line.split()[1]]
                if path.startswith(tuple(places))]


def left_of(record):
    """What is still there of a lab that was removed, in words."""
    found = [f"mount {path}" for path in mounts_of(record)]
    found += [f"process {pid}" for pid, start in record["processes"]
              if start and started_at(pid) == start]
    found += [path for path in (*record["cgroups"], *record["folders"], *record["files"],
                                *(f"/run/netns/{name}" for name in record["namespaces"]))
              if os.path.exists(path)]
    return found


def stand(lab):
    os.makedirs(os.path.dirname(STANDING), exist_ok=True)
    with open(STANDING, "w") as file:
        json.dump(lab.record(), file)
