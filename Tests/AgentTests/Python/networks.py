"""Networks of sandboxes, as the agent gives them: what they reach, what not, and over what."""
import os
import signal
import subprocess
import threading
import time

import grpc
from agent import IMAGE, STATE, Agent
from lab import Namespace, Pinned, closed, join
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
net = api.networks
types = api.types
ALLOW, DENY = types.RULE_ACTION_ALLOW, types.RULE_ACTION_DENY
TCP, UDP = types.TRANSPORT_PROTOCOL_TCP, types.TRANSPORT_PROTOCOL_UDP
PUBLIC, METADATA, NODE, WORLD = "198.51.100.1", "169.254.169.254", "192.0.2.1", "192.0.2.2"
OTHER = "198.51.100.2"


class Scene:
    """A node, and a world behind it: a public server, one of metadata, one that gives names."""

    def __init__(self, **settings):
        self.node = Namespace("node")
        self.world = Namespace("world")
        join(self.node, "card", self.world, "card")
        self.node.ip("address", "add", f"{NODE}/24", "dev", "card")
        self.world.ip("address", "add", f"{WORLD}/24", "dev", "card")
        for address in (PUBLIC, OTHER, METADATA):
            self.world.ip("address", "add", f"{address}/32", "dev", "lo")
        self.node.ip("route", "add", "default", "via", WORLD)
        self.world.serve(80)
        self.world.serve(443)
        self.world.serve_names(good_example_org=PUBLIC, other_example_org=OTHER,
                               evil_example_net=METADATA)
        self.node.serve(8000)
        self.agent = Agent(**{
            "network__enabled": True, "network__name_servers": [WORLD],
            "network__least_ready": 4, "network__underlay": NODE, **settings})
        self.router = Pinned(f"{self.agent.folder}-router")
        self.agent.settings["network__router"] = self.router.path
        self.agent.namespace = self.node

    def __enter__(self):
        self.agent.start()
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.agent.delete_all()
                self.agent.expect_nothing_left()
                eventually(lambda: self.status().slots_in_use == 0)
                eventually(lambda: len(self.router.slots()) == self.status().slots_ready)
                assert self.agent.terminate() == 0, self.agent.log()
                # Slots that nobody has go with the agent.
                eventually(lambda: not self.router.slots())
            else:
                print(self.agent.log()[-4000:], flush=True)
        finally:
            self.agent.close()
            subprocess.run(["umount", self.router.path], check=False, capture_output=True)
            os.remove(self.router.path)
            closed(self.node, self.world)

    def status(self):
        return self.agent.calls.networks.Status(net.NetworkStatusRequest(), timeout=60)

    def network(self, sandbox_id):
        return self.agent.calls.networks.Get(
            net.GetNetworkRequest(sandbox_id=sandbox_id), timeout=60)

    def update(self, sandbox_id, **fields):
        return self.agent.calls.networks.Update(net.UpdateNetworkRequest(
            sandbox_id=sandbox_id, network=types.NetworkSpec(**fields)), timeout=60)

    def inside(self, sandbox_id, script):
        """The exit code of a shell's script in a sandbox, and what it wrote."""
        start = api.sandboxes.ExecRequest.Start(
            sandbox_id=sandbox_id, command=["sh", "-c", script])
        answers = self.agent.calls.sandboxes.Exec(
            iter([api.sandboxes.ExecRequest(start=start)]), timeout=120)
        text, code = b"", None
        for answer in answers:
            text += answer.stdout
            if answer.WhichOneof("message") == "exit":
                code = answer.exit.code
        return code, text.decode()

    def asks(self, sandbox_id, address, port=80):
        """Who the server says that the sandbox is; nothing when it is not reached. By a name, if
        the sandbox may ask for it."""
        if not address[0].isdigit():
            code, text = self.inside(sandbox_id, f"nslookup {address} | grep Address | tail -n 1")
            if code != 0 or ":53" in text:
                return None
            address = text.split("Address: ")[-1].split()[0]
        _, text = self.inside(
            sandbox_id, f"(echo hello; sleep 0.5) | timeout 2 nc {address} {port} 2>&1")
        lines = text.split("\n")
        if len(lines) < 2 or lines[1] != "hello":
            return None
        return lines[0].split(" ")[0]

    def drops(self, reason):
        return next(drop.packets for drop in self.status().drops if drop.reason == reason)


def rule(action, prefix="", protocol=types.TRANSPORT_PROTOCOL_ANY, *ports):
    first, last = (*ports, 0, 0)[:2]
    return types.EgressRule(action=action, prefix=prefix, protocol=protocol, first_port=first,
                            last_port=last)


def names(**actions):
    return [types.NameRule(action=action, name=name) for name, action in actions.items()]


# ---- What is reached ----

def reach():
    """The world where it is open, by way of the node; never the node, metadata, or each other."""
    with Scene() as scene:
        agent = scene.agent
        agent.run("open", network=types.NetworkSpec(public_egress=True))
        agent.run("closed", network=types.NetworkSpec())
        agent.run("alone")
        for sandbox_id in ("open", "closed"):
            _, text = scene.inside(sandbox_id, "cat /etc/resolv.conf; ip -o address; ip route")
            assert "nameserver 172.31.255.1\n" in text and "172.31.255.2/30" in text, text
            assert "default via 172.31.255.1 dev eth0" in text, text
        assert scene.asks("open", PUBLIC) == NODE
        assert PUBLIC in scene.inside("open", "nslookup good.example.org")[1]
        assert scene.network("open").slot_address.startswith("100.64.0.")
        assert scene.network("open").slot_address != scene.network("closed").slot_address
        for sandbox_id in ("closed", "alone"):
            assert scene.asks(sandbox_id, PUBLIC) is None
        _, text = scene.inside("alone", "ip -o link")
        assert "eth0" not in text and scene.network("alone").slot_address == "", text
        # One that listens in vain: nobody comes to it.
        scene.inside("closed", "nc -l -p 80 < /dev/null > /dev/null 2>&1 &")
        before = scene.drops("refused-prefix"), scene.drops("node")
        for address, port in ((METADATA, 80), (NODE, 8000), ("100.127.255.253", 8000),
                              (scene.network("closed").slot_address, 80)):
            assert scene.asks("open", address, port) is None, address
        assert scene.drops("refused-prefix") > before[0] and scene.drops("node") > before[1]
        assert scene.asks("open", WORLD) == NODE
        # A root that cannot be written, with the file and without.
        agent.run("fixed", network=types.NetworkSpec(public_egress=True), read_only_root=True)
        assert scene.asks("fixed", PUBLIC) == NODE
        bare = f"{agent.folder}/bare"
        subprocess.run(["cp", "-a", IMAGE, bare], check=True)
        os.remove(f"{bare}/etc/resolv.conf")
        refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="bare", spec=agent.spec(image=bare, read_only_root=True,
                                       network=types.NetworkSpec())), "image_missing")
        agent.run("bare", image=bare, network=types.NetworkSpec(public_egress=True))
        assert "172.31.255.1" in scene.inside("bare", "cat /etc/resolv.conf")[1]
        # A link in the image's place of it is covered, and leads nowhere.
        os.symlink("/tmp/elsewhere", f"{bare}/etc/resolv.conf")
        agent.run("link", image=bare, network=types.NetworkSpec(public_egress=True))
        assert "172.31.255.1" in scene.inside("link", "cat /etc/resolv.conf")[1]
        assert scene.inside("link", "ls /tmp/elsewhere")[0] != 0
        refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="maps", spec=agent.spec(network=types.NetworkSpec(), identity_maps=[
                types.IdentityMap(inside=0, outside=200_000, count=65_536)])), "network_with_maps")


def policy():
    """Rules by prefix, protocol and port, and by name, change under a sandbox and count."""
    with Scene() as scene:
        agent = scene.agent
        agent.run("web", network=types.NetworkSpec(rules=[rule(ALLOW, PUBLIC, TCP, 80)]))
        assert scene.asks("web", PUBLIC, 80) == NODE
        assert scene.asks("web", PUBLIC, 443) is None and scene.asks("web", OTHER, 80) is None
        counts = scene.network("web").counts
        assert len(counts) == 1 and counts[0].packets >= 4 and counts[0].bytes > 200, counts
        number = agent.last_event()
        answer = scene.update("web", public_egress=True, rules=[
            rule(DENY, "198.51.100.2/31", TCP, 1, 100), rule(ALLOW)])
        assert answer.sandbox.spec.network.public_egress
        assert agent.get("web").spec.network == answer.sandbox.spec.network
        event = agent.events(number + 1)[0]
        assert event.network_updated.network == answer.sandbox.spec.network, event
        assert scene.asks("web", OTHER, 80) is None and scene.asks("web", OTHER, 443) == NODE
        assert scene.asks("web", PUBLIC, 80) == NODE
        assert scene.network("web").counts[0].packets > 0
        # The same specification is the same sandbox, whatever its network has become.
        spec = agent.spec(network=types.NetworkSpec(rules=[rule(ALLOW, PUBLIC, TCP, 80)]))
        again = agent.calls.sandboxes.Create(
            api.sandboxes.CreateRequest(id="web", spec=spec), timeout=60)
        assert again.existed and again.sandbox.spec.network.public_egress
        # By name: what it leads to is open, and nothing else.
        scene.update("web", names=names(**{"*.example.org": ALLOW, "evil.example.net": ALLOW}))
        assert scene.asks("web", PUBLIC, 80) is None
        assert scene.asks("web", "good.example.org", 80) == NODE
        assert scene.network("web").resolved_addresses == [PUBLIC]
        assert scene.asks("web", PUBLIC, 443) == NODE and scene.asks("web", OTHER, 80) is None
        assert scene.asks("web", "evil.example.net", 80) is None
        code, _ = scene.inside("web", "nslookup other.example.com")
        assert code != 0
        scene.update("web", public_egress=True, names=names(**{"other.example.org": DENY}))
        assert scene.asks("web", "good.example.org", 80) == NODE
        assert scene.asks("web", "other.example.org", 80) is None
        assert scene.status().names.denied > 0
        # Limits hold, and are told.
        scene.update("web", public_egress=True, limits=types.NetworkLimits(
            new_flows=types.TokenBucket(per_second=1, burst=1)))
        begun = scene.inside("web", f"for i in 1 2 3 4 5 6; do echo x | timeout 1 nc {PUBLIC} 80; "
                                    "done | grep -c ' '")[1]
        assert 1 <= int(begun) <= 6, begun
        # A sandbox that is not running yet has the policy that it was given last.
        agent.create("later", network=types.NetworkSpec())
        scene.update("later", public_egress=True)
        agent.begin("later")
        assert scene.asks("later", PUBLIC) == NODE


def wrong():
    """What makes no sense is refused before anything is done."""
    with Scene() as scene:
        agent, create = scene.agent, scene.agent.calls.sandboxes.Create
        for fields in (
                {"rules": [types.EgressRule(action=7)]}, {"rules": [rule(ALLOW, "10.0.0.1/8")]},
                {"rules": [rule(ALLOW, "fd00::/8")]}, {"rules": [rule(ALLOW, "", TCP, 70000)]},
                {"rules": [rule(ALLOW, "", TCP, 9, 8)]}, {"rules": [rule(ALLOW, "", TCP, 0, 8)]},
                {"rules": [rule(ALLOW, "", types.TRANSPORT_PROTOCOL_ANY, 80)]},
                {"rules": [rule(ALLOW)] * 257}, {"names": names(**{"a b": ALLOW})},
                {"names": names(**{"": ALLOW})}, {"ports": [types.PublishedPort()]},
                {"ports": [types.PublishedPort(node_port=80, port=70000)]},
                {"ports": [types.PublishedPort(node_port=80, protocol=3)]},
                {"ports": [types.PublishedPort(node_port=9, port=p) for p in (1, 2)]},
                {"limits": types.NetworkLimits(sent_bytes=types.TokenBucket())},
                {"limits": types.NetworkLimits(
                    sent_bytes=types.TokenBucket(per_second=9, burst=9))},
                {"vpcs": ["blue", "blue"]}):
            network = types.NetworkSpec(**fields)
            code = Code.FAILED_PRECONDITION if fields.get("vpcs") else Code.INVALID_ARGUMENT
            refused(code, create, api.sandboxes.CreateRequest(
                id="web", spec=agent.spec(network=network)))
        agent.run("plain")
        agent.run("web", network=types.NetworkSpec())
        calls = agent.calls.networks
        refused(Code.FAILED_PRECONDITION, calls.Update, net.UpdateNetworkRequest(
            sandbox_id="plain", network=types.NetworkSpec()), "no_network")
        refused(Code.INVALID_ARGUMENT, calls.Update, net.UpdateNetworkRequest(sandbox_id="web"))
        refused(Code.INVALID_ARGUMENT, calls.Update, net.UpdateNetworkRequest(
            sandbox_id="web", network=types.NetworkSpec(rules=[types.EgressRule(action=7)])))
        refused(Code.NOT_FOUND, calls.Update, net.UpdateNetworkRequest(
            sandbox_id="none", network=types.NetworkSpec()))
        refused(Code.NOT_FOUND, calls.AttachVPC, net.AttachVPCRequest(
            sandbox_id="web", vpc_id="blue"), "vpc_not_found")
        agent.stop("web")
        refused(Code.FAILED_PRECONDITION, calls.Update, net.UpdateNetworkRequest(
            sandbox_id="web", network=types.NetworkSpec()), "wrong_state")
    with Agent() as agent:
        refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="web", spec=agent.spec(network=types.NetworkSpec())), "networks_not_offered")
        assert not agent.calls.networks.Status(net.NetworkStatusRequest(), timeout=60).enabled


# ---- Ports ----

def connection(scene, port=80):
    """What the world hears on a port of the node."""
    script = ("import socket, sys; s = socket.create_connection(('%s', %d), 5);"
              "s.shutdown(socket.SHUT_WR); print(s.makefile().read(), end='')" % (NODE, port))
    return scene.world.run("python3", "-c", script).stdout


def forwarded(calls, sandbox_id, port, data=b""):
    """What a connection by way of the agent hears."""
    def requests():
        yield net.ForwardRequest(start=net.ForwardRequest.Start(sandbox_id=sandbox_id, port=port))
        for place in range(0, len(data), 1 << 16):
            yield net.ForwardRequest(data=data[place:place + (1 << 16)])
    return b"".join(answer.data for answer in calls.Forward(requests(), timeout=60))


def ports():
    """Ports of the node lead to sandboxes, and connections by way of the agent."""
    with Scene() as scene:
        agent, calls = scene.agent, scene.agent.calls.networks
        port = types.PublishedPort(node_port=8080, port=80)
        server = "while true; do echo %s | nc -l -p 80; done"
        agent.run("one", "sh", "-c", server % "one", network=types.NetworkSpec(ports=[port]))
        agent.run("two", "sh", "-c", server % "two", network=types.NetworkSpec())
        eventually(lambda: connection(scene, 8080) == "one\n")
        # Another one cannot have the port, and is told so.
        agent.create("three", network=types.NetworkSpec(ports=[port]))
        refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Start,
                api.sandboxes.StartRequest(id="three"))
        detail = refused(Code.FAILED_PRECONDITION, calls.Update, net.UpdateNetworkRequest(
            sandbox_id="two", network=types.NetworkSpec(ports=[port])))
        assert detail.code == "unavailable", detail
        assert scene.network("two").network == types.NetworkSpec()
        scene.update("one")
        scene.update("two", ports=[port])
        eventually(lambda: connection(scene, 8080) == "two\n")
        # Large data whole, both ways, and what is not there.
        agent.run("echo", "sh", "-c", "while true; do nc -l -p 7 -e cat; done",
                  network=types.NetworkSpec())
        data = os.urandom(8 << 20)
        eventually(lambda: scene.inside("echo", "netstat -ltn | grep :7")[0] == 0)
        assert forwarded(calls, "echo", 7, data) == data
        for request, code in (
                ({"sandbox_id": "two", "port": 9}, Code.UNAVAILABLE),
                ({"sandbox_id": "two", "port": 0}, Code.INVALID_ARGUMENT),
                ({"sandbox_id": "none", "port": 9}, Code.NOT_FOUND)):
            start = net.ForwardRequest(start=net.ForwardRequest.Start(**request))
            refused(code, lambda each, **more: list(calls.Forward(iter([each]), **more)), start)
        refused(Code.INVALID_ARGUMENT, lambda each, **more: list(
            calls.Forward(iter([each]), **more)), net.ForwardRequest(data=b"x"))
        agent.run("alone")
        refused(Code.FAILED_PRECONDITION, lambda each, **more: list(
            calls.Forward(iter([each]), **more)), net.ForwardRequest(
                start=net.ForwardRequest.Start(sandbox_id="alone", port=7)), "no_network")


# ---- VPCs ----

def vpc(vpc_id="blue", vni=7, **fields):
    return net.NodeVPC(**{
        "id": vpc_id, "vni": vni, "prefixes": ["10.1.0.0/16"], "tunnel_address": "100.96.0.2",
        "proxies": [net.NodeVPCProxy(underlay_address=WORLD, tunnel_address="100.96.0.1")],
        **fields})


def vpcs():
    """The node is in VPCs, sandboxes are in some of those, and who cannot be is told."""
    with Scene() as scene:
        agent, calls = scene.agent, scene.agent.calls.networks
        joined = calls.JoinVPC(net.JoinVPCRequest(vpc=vpc()), timeout=60).vpc
        assert joined.underlay_address == NODE
        assert joined.proxies[0].tunnel_hardware_address == "02:ac:64:60:00:01"
        assert calls.JoinVPC(net.JoinVPCRequest(vpc=vpc()), timeout=60).vpc == joined
        assert "v7" in scene.router.links()
        for wrong_vpc, code in (
                (vpc("green", 7), Code.ALREADY_EXISTS), (vpc(vni=8), Code.ALREADY_EXISTS),
                (vpc("G", 9), Code.INVALID_ARGUMENT), (vpc("g", 0), Code.INVALID_ARGUMENT),
                (vpc("g", 1 << 24), Code.INVALID_ARGUMENT),
                (vpc("g", 9, prefixes=[]), Code.INVALID_ARGUMENT),
                (vpc("g", 9, prefixes=["10.0.0.0/8", "10.1.0.0/16"]), Code.INVALID_ARGUMENT),
                (vpc("g", 9, prefixes=["172.16.0.0/12"]), Code.INVALID_ARGUMENT),
                (vpc("g", 9, proxies=[]), Code.INVALID_ARGUMENT),
                (vpc("g", 9, tunnel_address="x"), Code.INVALID_ARGUMENT)):
            refused(code, calls.JoinVPC, net.JoinVPCRequest(vpc=wrong_vpc))
        calls.JoinVPC(net.JoinVPCRequest(vpc=vpc("green", 8)), timeout=60)
        calls.JoinVPC(net.JoinVPCRequest(vpc=vpc("red", 9, prefixes=["10.2.0.0/16"])), timeout=60)
        agent.run("web", network=types.NetworkSpec(vpcs=["blue"]))
        calls.AttachVPC(net.AttachVPCRequest(sandbox_id="web", vpc_id="red"), timeout=60)
        detail = refused(Code.FAILED_PRECONDITION, calls.AttachVPC, net.AttachVPCRequest(
            sandbox_id="web", vpc_id="green"))
        assert detail.code == "unavailable", detail
        assert list(scene.network("web").network.vpcs) == ["blue", "red"]
        listed = {each.vpc.id: each.sandboxes
                  for each in calls.ListVPCs(net.ListNodeVPCsRequest(), timeout=60).vpcs}
        assert listed == {"blue": 1, "green": 0, "red": 1}, listed
        refused(Code.FAILED_PRECONDITION, calls.LeaveVPC, net.LeaveVPCRequest(id="red"),
                "vpc_in_use")
        calls.DetachVPC(net.DetachVPCRequest(sandbox_id="web", vpc_id="red"), timeout=60)
        calls.LeaveVPC(net.LeaveVPCRequest(id="red"), timeout=60)
        refused(Code.NOT_FOUND, calls.LeaveVPC, net.LeaveVPCRequest(id="red"))
        agent.kill()
        agent.start()
        calls = agent.calls.networks
        listed = [each.vpc for each in calls.ListVPCs(net.ListNodeVPCsRequest(), timeout=60).vpcs]
        assert [each.id for each in listed] == ["blue", "green"] and listed[0] == joined
        assert "v7" in scene.router.links() and "v9" not in scene.router.links()
        # Whoever is deleted is in none of them any more, and its ports are free.
        port = types.PublishedPort(node_port=8080, port=80)
        for turn in range(20):
            agent.run(f"turn{turn}", network=types.NetworkSpec(vpcs=["green"], ports=[port]))
            agent.delete(f"turn{turn}", force=True)
        agent.delete("web", force=True)
        for each in ("blue", "green"):
            calls.LeaveVPC(net.LeaveVPCRequest(id=each), timeout=60)
        assert not [name for name in scene.router.links() if name[0] == "v"]


# ---- Restarts ----

def restarts():
    """Flows go on over an agent's death, policies stay, and what nobody has goes."""
    with Scene() as scene:
        agent = scene.agent
        agent.run("web", "sh", "-c",
                  "i=0; while true; do echo $i; i=$((i + 1)); sleep 0.05; done | nc "
                  f"{PUBLIC} 80 > /tmp/heard; sleep 1000000",
                  network=types.NetworkSpec(rules=[rule(ALLOW, PUBLIC, TCP, 80)]))

        def heard():
            return int(scene.inside("web", "tail -n 1 /tmp/heard")[1].split()[-1] or 0)
        eventually(lambda: scene.inside("web", "test $(wc -l < /tmp/heard) -gt 3")[0] == 0)
        for ending in (agent.kill, agent.terminate):
            ending()
            agent.start()
            before = heard()
            eventually(lambda: heard() > before + 3)
            assert scene.asks("web", PUBLIC, 443) is None
            assert len(scene.router.slots()) == 1 + scene.status().slots_ready
        # What ended while no agent ran leaves nothing.
        agent.run("short", "sleep", "1", network=types.NetworkSpec(public_egress=True))
        slot = agent.get("short").network_slot
        agent.kill()
        eventually(lambda: f"s{slot}" not in scene.router.slots())
        agent.start()
        assert agent.get("short").state == STATE.SANDBOX_STATE_STOPPED
        assert not agent.get("short").HasField("network_slot")


def dying():
    """An agent that dies at any step of a life leaves no link, and the next one goes on."""
    with Scene() as scene:
        agent = scene.agent
        steps = subprocess.run(
            [*agent.command(), "--list-steps"], capture_output=True, text=True, check=True)
        for step in [line.split()[0] for line in steps.stdout.splitlines() if line.strip()]:
            if not step.startswith(("start", "stop", "delete")):
                continue
            agent.terminate()
            agent.start("--die-at", step, serving=False)
            try:
                agent.wait_serving()
                agent.run("web", network=types.NetworkSpec(public_egress=True))
                agent.stop("web")
                agent.delete("web")
            except (grpc.RpcError, AssertionError):
                pass
            if agent.process.poll() is None:
                agent.kill()
            agent.process.wait()
            agent.start()
            live = [each for each in agent.list() if each.HasField("network_slot")]
            eventually(lambda: len(scene.router.slots())
                       == len(live) + scene.status().slots_ready)
            agent.delete_all()
            eventually(lambda: len(scene.router.slots()) == scene.status().slots_ready)


def crowd():
    """Many at once get slots, whether some were ready or not, and all are given back."""
    with Scene(starts__in_flight=8) as scene:
        agent = scene.agent
        failures = []

        def life(number):
            try:
                for turn in range(4):
                    sandbox_id = f"s{number}-{turn}"
                    agent.run(sandbox_id, network=types.NetworkSpec(public_egress=True))
                    agent.delete(sandbox_id, force=True)
            except grpc.RpcError as error:
                failures.append(error)
        threads = [threading.Thread(target=life, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        eventually(lambda: scene.status().slots_in_use == 0)
        status = scene.status()
        assert status.slots_target > 4, status
        assert not status.problem, status

        def held():
            """Descriptors but for those of slots that are ready, each of which is one."""
            for number in range(20):
                agent.run(f"d{number}", network=types.NetworkSpec(public_egress=True))
                agent.delete(f"d{number}", force=True)
            eventually(lambda: scene.status().slots_ready == scene.status().slots_target
                       == len(scene.router.slots()))
            return agent.descriptors() - scene.status().slots_ready
        before = held()
        assert held() <= before + 2


if __name__ == "__main__":
    run_parts(reach, policy, wrong, ports, vpcs, restarts, dying, crowd)
