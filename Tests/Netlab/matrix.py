"""Who reaches whom: every pair is tried, over TCP, UDP and echo requests, and none is left out."""
import subprocess
from concurrent.futures import ThreadPoolExecutor

from scene import (KINDS, METADATA, OWN_SERVER, PORT, PUBLIC, SERVER, TENANTS, WORLD,
                   eventually)

INNER, GATEWAY = "172.31.255.2", "172.31.255.1"
# Of the cable between a node and its router: the node's end, the router's.
NODE_END, ROUTER_END = "100.127.255.253", "100.127.255.254"
# How long those have who do not answer. Who does is not waited for.
WAIT_MS = 3000
NOTHING = "."


class Row:
    """One who tries: a sandbox, or one who should not get to any."""

    def __init__(self, name, said, kind=None, node=None):
        self.name, self.said, self.kind, self.node = name, said, kind, node
        self.cells = {}


def columns(lab, row, slots):
    """Where to a row tries, and who is expected to answer there: none, but for what is said."""
    node = row.node
    found = {}
    network = KINDS.get(row.kind) or {}
    tenant = (network.get("vpcs") or [None])[0]
    is_public = network.get("public_egress", False)
    found[SERVER] = [(SERVER, tenant)]
    found["of blue"] = [(OWN_SERVER["blue"], tenant if tenant == "blue" else None)]
    found["of green"] = [(OWN_SERVER["green"], tenant if tenant == "green" else None)]
    found["public"] = [(PUBLIC, "world" if is_public else None)]
    found["metadata"] = [(METADATA, None)]
    found["own node"] = [(each, None) for each in (
        node.underlay, node.management, NODE_END, ROUTER_END, GATEWAY)]
    found["other node"] = [(each, None) for other in lab.nodes if other is not node
                           for each in (other.underlay, other.management)]
    # In the tenant's network each answers echo requests by its uplink, and by the tunnel to nobody
    # but nodes: which of them a sandbox hears follows from the one that its flow takes.
    found["proxies"] = [(each.underlay, None) for each in lab.proxies]
    found["proxies' uplinks"] = [(address, "icmp?" if tenant and address in (
        each.address, *each.egress[tenant]) else None) for each in lab.proxies
        for address in sorted({each.address, *each.egress["blue"], *each.egress["green"]})]
    found["tunnels"] = [(each.tunnel, None) for each in (*lab.nodes, *lab.proxies)]
    found["management"] = [("10.255.0.1", None)]
    found["underlay"] = [(WORLD, None)]
    own = slots.get(row.name)
    # The addresses of both nodes' slots are the same ones.
    found["other sandboxes"] = [(each, None) for each in sorted(set(slots.values()) - {own, ""})]
    found["itself"] = [(INNER, row.name if row.kind != "none" else None)]
    return found


def outside(lab, row, slots):
    """The same for those who are none of the sandboxes: what is not theirs is sandboxes and what
    is on the way to them."""
    tunnels = [(each.tunnel, None) for each in lab.nodes]
    found = {"other sandboxes": [(each, None) for each in sorted({*slots.values(), INNER} - {""})],
             "tunnels": tunnels, "own node": [(ROUTER_END, None), (GATEWAY, None)]}
    found[SERVER] = found["proxies' uplinks"] = []
    if row.name in TENANTS:
        found["proxies' uplinks"] = [(each.address, "icmp") for each in lab.proxies]
    else:
        found[SERVER] = [(SERVER, None)]
    return found


def targets(address):
    return [f"tcp/{address}/{PORT}", f"udp/{address}/{PORT}", f"icmp/{address}"]


def answers(text):
    """Who answered each target of a try."""
    found = {}
    for line in text.splitlines():
        target, result, *rest = line.split(" ")
        found[target] = rest[0] if result == "answered" else None
    return found


def judge(address, expected, found):
    """What is written of an address, and whether that is right. `icmp`: an echo alone."""
    heard = [found[target] for target in targets(address)]
    if expected == "icmp?":
        expected = heard[2] and "icmp"
    if expected == "icmp":
        wanted = [None, None, "echo"]
    else:
        wanted = [expected, expected, expected and "echo"]
    if heard == wanted:
        return expected or NOTHING, True
    return "+".join(f"{kind}:{who}" for kind, who in zip(("tcp", "udp", "icmp"), heard)
                    if who) or NOTHING, False


def rows_of(lab):
    rows = [Row(f"{kind}{node.number}",
                lambda *words, node=node, name=f"{kind}{node.number}": node.said(name, *words),
                kind, node) for node in lab.nodes for kind in KINDS]
    for name, space in (*lab.tenants.items(), ("world", lab.world), ("office", lab.office)):
        rows.append(Row(name, lambda *words, space=space: subprocess.run(
            space.within(lab.probe, *map(str, words)), check=True, capture_output=True,
            text=True).stdout))
    return rows


def lead(lab):
    """Has those outside send to sandboxes by way of who could lead there."""
    within = ("100.64.0.0/16", "100.96.0.0/16", "100.127.255.252/30", "172.31.255.0/30")
    for space, by in ((lab.tenants["blue"], lab.proxies[0].address),
                      (lab.tenants["green"], lab.proxies[1].address),
                      (lab.world, lab.nodes[0].underlay), (lab.office, lab.nodes[1].management)):
        for prefix in within:
            space.ip("route", "replace", prefix, "via", by)
    lab.world.ip("route", "replace", "10.1.0.0/16", "via", lab.proxies[0].underlay)


def measure(lab):
    """Tries all of it at once. The rows, the number of tries, and what is not as expected."""
    lead(lab)
    slots = {f"{kind}{node.number}": node.slot_address(f"{kind}{node.number}")
             for node in lab.nodes for kind in KINDS}
    rows, wrong, tries = rows_of(lab), [], 0
    plans = [(columns if row.kind else outside)(lab, row, slots) for row in rows]

    def attempt(row, plan):
        words = [target for places in plan.values() for address, _ in places
                 for target in targets(address)]
        return answers(row.said("try", WAIT_MS, *words))
    with ThreadPoolExecutor(len(rows)) as pool:
        results = list(pool.map(attempt, rows, plans))
    for row, plan, found in zip(rows, plans, results):
        tries += len(found)
        for column, places in plan.items():
            cells = set()
            for address, expected in places:
                text, is_right = judge(address, expected, found)
                cells.add(text)
                if not is_right:
                    wrong.append(f"{row.name} to {address} ({column}): {text}, expected "
                                 f"{expected or 'nobody'}")
            row.cells[column] = "/".join(sorted(cells))
    return rows, tries, wrong


def picture(rows):
    """A table for each node, and one for those outside."""
    tables = []
    for node in dict.fromkeys(row.node for row in rows):
        group = [row for row in rows if row.node is node]
        lines = [["to \\ from", *(row.name for row in group)]]
        for column in group[0].cells:
            cells = [row.cells.get(column, "") for row in group]
            lines.append([column, *("itself" if cell == row.name and row.kind else cell
                                    for row, cell in zip(group, cells))])
        widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
        tables.append("\n".join("  ".join(
            text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines))
    return "\n\n".join(tables)


def table(lab):
    """All of it, printed; whatever is not as expected fails."""
    # Whoever was just made listens a little later.
    for node in lab.nodes:
        for kind in KINDS:
            eventually(lambda node=node, name=f"{kind}{node.number}":
                       node.agent.output(name) == b"ready\n")
    rows, tries, wrong = measure(lab)
    print(picture(rows))
    print(f"{tries} tries, {len(wrong)} not as expected", flush=True)
    assert not wrong, wrong
    return {row.name: row.cells for row in rows}
