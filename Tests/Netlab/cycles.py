"""Whether many that came and went left something."""
import json
import subprocess
import threading
import time

import grpc
from scene import KINDS, PORT, SERVER, eventually, net, types

CYCLES, LIVES = 10_000, 300


def lines(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()


def elements(within):
    """How many elements and rules a packet filter has: one of either as JSON tells it."""
    rules = count = 0
    text = "\n".join(lines(*within, "nft", "--json", "list", "ruleset"))
    for each in json.loads(text)["nftables"]:
        rules += "rule" in each
        for kind in ("set", "map"):
            count += len(each.get(kind, {}).get("elem", []))
    return rules, count


def left(node):
    """All that a node has because of its sandboxes, counted."""
    router = ["nsenter", f"--net={node.router}"]
    found = {}
    for name, within in (("node", node.space.within()), ("router", router)):
        for what in ("link", "address", "rule"):
            found[f"{name} {what}"] = len(lines(*within, "ip", "-o", what))
        # Whom the node knows on its other links is its own business.
        link = ("dev", "alcove0") if name == "node" else ()
        found[f"{name} neighbour"] = len(lines(*within, "ip", "-o", "neighbour", "show", *link))
        found[f"{name} routes"] = len(lines(*within, "ip", "-o", "route", "show", "table", "all"))
        found[f"{name} rules of the filter"], found[f"{name} elements"] = elements(within)
    found["tunnels' entries"] = len(lines(*router, "bridge", "fdb"))
    found["next hops"] = len(lines(*router, "ip", "nexthop"))
    found["mounts"] = len(node.agent.mounts())
    found["cgroups"] = len(node.agent.sandbox_cgroups())
    found["descriptors"] = node.agent.descriptors()
    return found


def same(node, before):
    """Slots are taken away a little later, and made ahead again."""
    try:
        eventually(lambda: left(node) == before, 30)
    except AssertionError:
        now = left(node)
        changed = {name: (before[name], now[name]) for name in now if now[name] != before[name]}
        raise AssertionError(f"before and after: {changed}") from None


def cycles(lab):
    """Ten thousand times into a tenant's network and out, and nothing is left of it."""
    node, name = lab.nodes[0], "closed1"
    calls, times = node.calls, []
    attach = net.AttachVPCRequest(sandbox_id=name, vpc_id="blue")
    detach = net.DetachVPCRequest(sandbox_id=name, vpc_id="blue")

    def turn(count):
        for _ in range(count):
            begun = time.monotonic()
            calls.AttachVPC(attach, timeout=60)
            times.append(1000 * (time.monotonic() - begun))
            calls.DetachVPC(detach, timeout=60)
    # What an agent has once it has done everything.
    turn(CYCLES // 10)
    before, resident = left(node), node.agent.resident_kib()
    done = len(times)
    while done < CYCLES:
        turn(CYCLES // 10)
        calls.AttachVPC(attach, timeout=60)
        assert " answered blue" in node.said(name, "try", 10_000, f"tcp/{SERVER}/{PORT}")
        calls.DetachVPC(detach, timeout=60)
        assert " answered" not in node.said(name, "try", 300, f"tcp/{SERVER}/{PORT}")
        done += CYCLES // 10
    grown = node.agent.resident_kib() - resident
    same(node, before)
    times.sort()
    found = {"cycles": done, "attach_median_ms": round(times[len(times) // 2], 3),
             "attach_p99_ms": round(times[len(times) * 99 // 100], 3),
             "resident_kib": resident, "grown_kib": grown}
    print(f"  {done} times: attach median {found['attach_median_ms']} ms, p99 "
          f"{found['attach_p99_ms']} ms as a client waits for it; the agent has {resident} KiB, "
          f"{grown:+} after the last {done - CYCLES // 10}")
    assert grown < 4096, found
    return found


def life(node, sandbox_id, kind, failures):
    try:
        node.sandbox(sandbox_id, kind)
        if KINDS[kind]:
            node.update(sandbox_id, **KINDS[kind], rules=[types.EgressRule(prefix="10.1.2.0/24")])
        node.agent.delete(sandbox_id, force=True)
    except grpc.RpcError as error:
        failures.append(error)


def crowd(node, count):
    failures, kinds = [], list(KINDS)

    def lives(worker):
        for number in range(worker, count, 8):
            life(node, f"life-{number}", kinds[number % len(kinds)], failures)
    threads = [threading.Thread(target=lives, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def is_quiet(node, in_use):
    """Whether what was given back is gone, and what is made ahead is there."""
    status = node.status()
    return status.slots_in_use == in_use and status.slots_ready == status.slots_target


def lives(lab):
    """Some hundred sandboxes with networks come and go, eight at once, and nothing is left."""
    node = lab.nodes[1]
    crowd(node, LIVES // 3)
    in_use = sum(network is not None for network in KINDS.values())
    eventually(lambda: is_quiet(node, in_use))
    before, resident = left(node), node.agent.resident_kib()
    begun = time.monotonic()
    crowd(node, LIVES)
    seconds = time.monotonic() - begun
    eventually(lambda: is_quiet(node, in_use))
    same(node, before)
    grown = node.agent.resident_kib() - resident
    assert grown < 8192, grown
    print(f"  {LIVES} lives in {seconds:.1f} s; the agent has {resident} KiB, {grown:+}")
    return {"lives": LIVES, "seconds": round(seconds, 1), "grown_kib": grown}
