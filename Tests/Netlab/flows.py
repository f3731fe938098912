"""What flows: from which addresses, how large, how much, how long, and over whose death."""
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from scene import PORT, PUBLIC, SERVER, TENANTS, eventually, net, proxy_api
from support import refused

MIB = 1 << 20
# Answers a datagram with one of so many bytes, not to be cut, and says what became of it: how large
# it may be by what the path said.
LARGE_ANSWERS = r"""
import socket, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
_, peer = asked.recvfrom(100)
asked.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
asked.connect(peer)
asked.settimeout(10)
asked.send(b"x" * (int(sys.argv[3]) - 28))
try:
    asked.recv(100)
    print("answered", flush=True)
except OSError as error:
    print(error.strerror, asked.getsockopt(socket.IPPROTO_IP, 14), flush=True)  # IP_MTU
"""


def reached(lab, tenant, address):
    """Who answers a tenant's server at an address of its network, by TCP and by UDP."""
    tries = [f"{kind}/{address}/{PORT}" for kind in ("tcp", "udp") for _ in range(8)]
    words = lab.tenants[tenant].within(f"{lab.folder}/probe", "try", "2000", *tries)
    text = subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
    answers = [line.split(" ")[2] for line in text.splitlines() if " answered " in line]
    return {name: answers.count(name) for name in set(answers)}


def inbound(lab):
    """Sandboxes that ask for it are reached from their VPC, by an address of it; nobody else is."""
    places = {"blue": ("10.1.9.1", "100.96.9.1"), "green": ("10.1.9.1", "100.96.9.2")}
    node = lab.nodes[0]
    # Flows of blue's are spread over proxies with addresses of their own: an answer could leave by
    # another proxy than what it answers came by. Green's go with the fixed address.
    proxies = {"blue": lab.proxies[:1], "green": lab.proxies}
    refused(grpc.StatusCode.FAILED_PRECONDITION, node.calls.AttachVPC, net.AttachVPCRequest(
        sandbox_id="blue1", vpc_id="blue", inbound_address=places["blue"][1]))
    one = node.vpc("blue")
    del one.proxies[1:]
    node.calls.JoinVPC(net.JoinVPCRequest(vpc=one), timeout=60)
    for tenant, (address, tunnel) in places.items():
        assert not reached(lab, tenant, address)
        node.calls.AttachVPC(net.AttachVPCRequest(
            sandbox_id=f"{tenant}1", vpc_id=tenant, inbound_address=tunnel), timeout=60)
        for proxy in proxies[tenant]:
            proxy.calls.AddInbound(proxy_api.AddInboundRequest(
                vpc_id=tenant, inbound=proxy_api.InboundAddress(
                    address=address, tunnel_address=tunnel, node_id=node.name)), timeout=60)
    found = {}
    for tenant, (address, _) in places.items():
        found[tenant] = reached(lab, tenant, address)
        assert found[tenant] == {f"{tenant}1": 16}, found
    node.agent.kill()
    node.agent.start()
    assert reached(lab, "green", places["green"][0]) == {"green1": 16}
    for tenant in TENANTS:
        node.calls.AttachVPC(net.AttachVPCRequest(
            sandbox_id=f"{tenant}1", vpc_id=tenant), timeout=60)
        assert not reached(lab, tenant, places[tenant][0])
        for proxy in proxies[tenant]:
            proxy.calls.RemoveInbound(proxy_api.RemoveInboundRequest(
                vpc_id=tenant, address=places[tenant][0]), timeout=60)
    node.calls.JoinVPC(net.JoinVPCRequest(vpc=node.vpc("blue")), timeout=60)
    return found


def seen(text):
    """From which addresses a server saw the tries of a text."""
    return sorted({line.split(" ")[3] for line in text.splitlines() if " answered " in line})


def egress(lab):
    """The address that servers see: of each node its own of each proxy's; or the network's one."""
    found = {}
    flows = [f"{kind}/{SERVER}/{PORT}" for kind in ("tcp", "udp") for _ in range(24)]
    open_flows = [f"tcp/{PUBLIC}/{PORT}"] * 8
    for node in lab.nodes:
        for kind, tenant in (("blue", "blue"), ("both", "blue"), ("green", "green")):
            name = f"{kind}{node.number}"
            text = node.said(name, "try", 10_000, *flows)
            assert text.count(" answered ") == len(flows), text
            found[name] = seen(text)
            for proxy in lab.proxies:
                own = [each for each in found[name] if each in proxy.egress[tenant]]
                assert len(own) == 1, f"{name} is seen as {own} by way of {proxy.name}"
            assert len(found[name]) == (len(lab.proxies) if tenant == "blue" else 1), found
        assert found[f"blue{node.number}"] == found[f"both{node.number}"], found
        for kind in ("both", "public"):
            address = seen(node.said(f"{kind}{node.number}", "try", 10_000, *open_flows))
            assert address == [node.underlay], address
            found[f"{kind}{node.number}, world"] = address
    assert not set(found["blue1"]) & set(found["blue2"]), found
    assert found["green1"] == found["green2"], found
    for name, addresses in found.items():
        print(f"  {name:15} seen as {', '.join(addresses)}")
    return found


def process_of(node, name):
    """The words of a command in a sandbox's network as one who broke out of its jail has it."""
    return ["nsenter", f"--net=/proc/{node.agent.get(name).pid}/ns/net"]


def forced(lab, node, name, address, *words):
    """What becomes of packets that are larger than a sandbox's link lets out."""
    within = process_of(node, name)
    subprocess.run([*within, "ip", "link", "set", "eth0", "mtu", "1500"], check=True)
    try:
        return subprocess.run([*within, lab.probe, "sizes", f"udp/{address}/{PORT}", *words],
                              check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run([*within, "ip", "link", "set", "eth0", "mtu", "1450"], check=True)


def mtu(lab):
    """Packets of 1450 bytes pass whole, one byte more is refused with a word on how many may."""
    node = lab.nodes[0]
    sizes = [30, 576, 1400, 1450, 1451]
    for name, address in (("blue1", SERVER), ("green1", SERVER), ("public1", PUBLIC)):
        for target in (f"udp/{address}/{PORT}", f"icmp/{address}"):
            lines = node.said(name, "sizes", target, *sizes).splitlines()
            assert lines == [*(f"{size} same 1450" for size in sizes[:-1]),
                             "1451 Message too long 1450"], (name, target, lines)
        # On the way the same is said by who cannot pass it on. The way to the world carries 1500.
        if address != PUBLIC:
            lines = forced(lab, node, name, address, "1450", "1451").splitlines()
            assert lines[1] == "1451 Message too long 1450", (name, lines)
        # Backwards too: the servers' links carry 1500.
        space = lab.world if name == "public1" else lab.tenants[name[:-1]]
        server = space.start(sys.executable, "-c", LARGE_ANSWERS, address, str(PORT + 1), "1451")
        node.said(name, "try", 500, f"udp/{address}/{PORT + 1}")
        said = server.stdout.readline().strip()
        assert said == "Message too long 1450", (name, said)
        print(f"  {name:8} 1450 bytes pass both ways, 1451 neither, with 1450 as the advice")


def datagrams(lab):
    """Datagrams of all sizes come back the same, those that are sent in pieces too."""
    for node in lab.nodes:
        for kind, address in (("blue", SERVER), ("both", PUBLIC)):
            sizes = [30, 100, 1000, 1449, 1450, -1451, -3000, -9000, -40_000]
            lines = node.said(f"{kind}{node.number}", "sizes", f"udp/{address}/{PORT}",
                              *sizes).splitlines()
            assert [line.split(" ")[1] for line in lines] == ["same"] * len(sizes), lines


def copied(node, name, address, size):
    text = node.said(name, "copy", address, PORT, size)
    assert f"whole sent {size} heard {size} " in text, (name, text)
    return size * 2 / MIB / (int(text.split(" us ")[1].split(" ")[0]) / 1e6)


def transfers(lab, size=64 * MIB):
    """Much at once there and back, by the tunnels and by the nodes, each byte compared."""
    work = [(node, f"{kind}{node.number}", address) for node in lab.nodes
            for kind, address in (("blue", SERVER), ("green", SERVER), ("public", PUBLIC))]
    with ThreadPoolExecutor(len(work)) as pool:
        rates = list(pool.map(lambda each: copied(*each, size), work))
    found = {name: round(rate) for (_, name, _), rate in zip(work, rates)}
    print(f"  {len(work)} times {size // MIB} MiB there and back at once, MiB/s: {found}")
    return found


# ---- Over restarts ----

class Held:
    """A connection that the workload of a sandbox holds, whatever becomes of agents."""

    def __init__(self, node, name, kind, address):
        self.node, self.name = node, name
        node.sandbox(name, kind, "/bin/probe", "hold", address, str(PORT))
        eventually(self.heard)

    def text(self):
        return self.node.agent.output(self.name).decode()

    def heard(self):
        lines = [line for line in self.text().splitlines() if line.startswith("at ")]
        return int(lines[-1].split(" ")[1]) if lines else 0

    def seen_as(self):
        return self.text().split(" ")[2]

    def goes_on(self):
        before = self.heard()
        eventually(lambda: self.heard() > before + 2000)

    def end(self):
        """The longest silence of it in milliseconds. Not a byte may be lost."""
        self.node.agent.stop(self.name, grace=30)
        outcome = self.node.agent.wait(self.name).outcome
        last = self.text().splitlines()[-1]
        sent, heard = last.split(" ")[2::2][:2]
        assert outcome.exit_code == 0 and last.startswith("whole ") and sent == heard, last
        self.node.agent.delete(self.name)
        return int(last.split(" ")[-1]) / 1000


def restarts(lab):
    """Connections go on over the death of every agent and every proxy, and lose nothing."""
    flows = [Held(node, f"hold-{kind}{number}", kind, address) for node in lab.nodes
             for kind, address, count in (("blue", SERVER, 3), ("green", SERVER, 2),
                                          ("public", PUBLIC, 1))
             for number in range(count)]
    by = sorted({flow.seen_as() for flow in flows})
    deaths = 0
    for each in (*lab.nodes_agents(), *lab.proxies):
        for end in (each.kill, lambda each=each: ended(each)):
            end()
            each.start()
            deaths += 1
            for flow in flows:
                flow.goes_on()
    silences = [flow.end() for flow in flows]
    print(f"  {len(flows)} connections, seen as {', '.join(by)}, over {deaths} ends of agents and "
          f"proxies; the longest silence {max(silences):.0f} ms")
    return {"connections": len(flows), "ends": deaths, "longest_silence_ms": max(silences)}


def ended(program):
    program.process.terminate()
    code = program.process.wait(60)
    assert code == 0, f"{program.process.args} ended with {code}"
