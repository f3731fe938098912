"""Runs the lab: `up`, `down`, `test`."""
import argparse
import json
import os
import sys
import time

import cycles
import failover
import flows
import hostile
import scene
from matrix import table
from scene import KINDS, STANDING, Lab, left_of, remove


def matrix(lab):
    """Who reaches whom, and nobody else."""
    return table(lab)


def transfer(lab):
    """A little at once, where `transfers` is too much."""
    return flows.transfers(lab, 8 * flows.MIB)


PARTS = {each.__name__: each for each in (
    matrix, flows.egress, flows.inbound, flows.mtu, flows.datagrams, transfer, flows.restarts,
    hostile.spoofing, hostile.policy, hostile.flood, failover.failover, flows.transfers,
    cycles.cycles, cycles.lives)}
QUICK = ("matrix", "egress", "inbound", "mtu", "datagrams", "transfer", "restarts", "spoofing",
         "policy")


def up():
    if os.path.exists(STANDING):
        sys.exit("netlab: it stands already: `scripts/netlab down` takes it away")
    lab = Lab()
    try:
        lab.fill()
        scene.stand(lab)
    except BaseException:
        lab.remove()
        raise
    print("It stands. Look into it by `ip netns`, and:")
    for node in lab.nodes:
        print(f"  build/bin/alcove --socket {node.agent.socket} ls")
        print(f"  nsenter --net={node.router} ip -brief address       # {node.name}'s router")
    for proxy in lab.proxies:
        print(f"  nsenter --net={proxy.folder}/netns/blue ip -brief address    # on {proxy.name}")
    node = lab.nodes[0]
    print(f"  build/bin/alcove --socket {node.agent.socket} exec blue1 "
          f"/bin/probe try 1000 tcp/{scene.SERVER}/{scene.PORT}")
    print(f"  ip netns exec {lab.world.name} ip -brief address")
    print(f"Sandboxes: {', '.join(f'{kind}1' for kind in KINDS)}, and with a 2 on the other node.")
    print("`scripts/netlab down` takes it away.")


def down():
    try:
        with open(STANDING) as file:
            record = json.load(file)
    except FileNotFoundError:
        sys.exit("netlab: none stands")
    remove(record)
    left = left_of(record)
    if left:
        sys.exit(f"netlab: still there: {left}")
    os.remove(STANDING)


def test(names):
    """Runs parts, each of which says so; in the end nothing may be left of the lab."""
    results, begun = {}, time.monotonic()
    lab = Lab()
    try:
        lab.fill()
        print(f"ok up ({time.monotonic() - begun:.1f} s)", flush=True)
        for name in names:
            begun = time.monotonic()
            results[name] = PARTS[name](lab)
            print(f"ok {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        begun = time.monotonic()
        lab.end()
    except BaseException:
        for node in lab.nodes:
            if os.path.exists(f"{node.agent.folder}/log"):
                print(f"{node.name} said:\n{node.agent.log()[-3000:]}", flush=True)
        for proxy in lab.proxies:
            with open(f"{proxy.folder}/log") as file:
                print(f"{proxy.name} said:\n{file.read()[-3000:]}", flush=True)
        raise
    finally:
        record = lab.remove()
    left = left_of(record)
    assert not left, left
    print(f"ok nothing-left ({time.monotonic() - begun:.1f} s)", flush=True)
    return results


def main():
    words = argparse.ArgumentParser(prog="scripts/netlab", description=scene.__doc__, epilog=(
        f"Parts: {', '.join(PARTS)}; `quick`, the default, is {', '.join(QUICK)}; `all` is all."),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("what", choices=("up", "down", "test"))
    words.add_argument("parts", nargs="*", metavar="PART")
    words.add_argument("--json", metavar="FILE", help="write what parts found there")
    asked = words.parse_args()
    if asked.what != "test":
        return up() if asked.what == "up" else down()
    names = asked.parts or ["quick"]
    groups = {"quick": QUICK, "all": tuple(PARTS)}
    names = [each for name in names for each in groups.get(name, (name,))]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        words.error(f"no part {unknown[0]}")
    results = test(names)
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
