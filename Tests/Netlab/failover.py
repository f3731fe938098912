"""A proxy dies under traffic, and comes back."""
import threading
import time

from flows import Held
from scene import PORT, SERVER, SHARED, eventually, proxy_api

# A new connection so often in milliseconds, from each of the sandboxes.
EVERY = 20


class Renewing:
    """New connections, one after the other, each of which works or does not."""

    def __init__(self, node, name):
        self.name = name
        self.running = node.probe(name, "renew", SERVER, PORT, EVERY)
        self.thread = threading.Thread(target=self.running.take)
        self.thread.start()

    def attempts(self):
        """When each began, in seconds, and as whom the server saw it; nobody if it did not."""
        found = []
        for line in self.running.text.decode().split("\n")[:-1]:
            at, _, result, *words = line.split(" ")
            found.append((int(at) / 1e6, words[1] if result == "ok" else None))
        return found

    def since(self, begin, end=float("inf")):
        return [seen for at, seen in self.attempts() if begin <= at < end]

    def works_for(self, count, begin):
        """Waits for so many attempts in a row, all of which worked."""
        eventually(lambda: len(self.since(begin)) >= count
                   and all(self.since(begin)[-count:]))

    def end(self):
        self.running.ask_to_end()
        self.thread.join()
        self.running.end()


def moves(proxy, first):
    """How often a proxy took the shared address, or gave it away, from an event on."""
    last = proxy.calls.List(proxy_api.ListVPCsRequest(), timeout=60).event_number
    if last < first:
        return 0
    count = 0
    stream = proxy.calls.Watch(proxy_api.WatchVPCsRequest(from_number=first), timeout=60)
    for event in stream:
        count += event.WhichOneof("kind") == "egress_moved"
        if event.number >= last:
            break
    stream.cancel()
    return count


def lost(flows, begin, end=float("inf")):
    """Attempts that came to nothing, of all, and until how long after the begin."""
    failed = [at for flow in flows for at, seen in flow.attempts()
              if seen is None and begin <= at < end]
    count = sum(len(flow.since(begin, end)) for flow in flows)
    return len(failed), count, round(1000 * (max(failed) - begin)) if failed else 0


def failover(lab):
    """One of two proxies is cut off and comes back: new flows go to who is alive."""
    if not lab.nodes[0].health("blue"):
        print("  skipped: this agent does not ask proxies whether they are alive")
        return None
    first, second = lab.proxies
    events = {proxy: proxy.calls.List(proxy_api.ListVPCsRequest(), timeout=60).event_number + 1
              for proxy in lab.proxies}
    held = [Held(node, f"held{number}", "blue", SERVER)
            for node in lab.nodes for number in range(3)]
    flows = [Renewing(node, f"{kind}{node.number}") for node in lab.nodes
             for kind in ("blue", "green")]
    begun = time.monotonic()
    for flow in flows:
        flow.works_for(30, begun)
    before = lost(flows, begun)
    assert before[0] == 0, before
    cut = time.monotonic()
    first.space.ip("link", "set", "card", "down")

    def is_known(alive):
        return all(node.health(tenant)[0].alive == alive for node in lab.nodes
                   for tenant in ("blue", "green"))
    eventually(lambda: is_known(False))
    noticed = round(1000 * (time.monotonic() - cut))
    for flow in flows:
        flow.works_for(30, time.monotonic())
    back = time.monotonic()
    for flow in flows:
        survivor = {SHARED} if "green" in flow.name else set(second.egress["blue"])
        assert set(flow.since(back - 0.3)) <= survivor, (flow.name, flow.since(back - 0.3))
    died = lost(flows, cut, back)
    first.space.ip("link", "set", "card", "up")
    eventually(lambda: is_known(True))
    returned = round(1000 * (time.monotonic() - back))
    eventually(lambda: all(node.health("green")[0].used for node in lab.nodes))
    for flow in flows:
        flow.works_for(50, time.monotonic())
    came = {tenant: lost([flow for flow in flows if tenant in flow.name], back)
            for tenant in ("blue", "green")}
    for flow in flows:
        flow.end()
        if "green" in flow.name:
            assert {seen for _, seen in flow.attempts() if seen} == {SHARED}
    # What ran by way of the one that lived lost nothing, neither when the other went nor after.
    survivors = [each for each in held if each.seen_as() in second.egress["blue"]]
    for each in held:
        if each in survivors:
            each.end()
        else:
            each.node.agent.delete(each.name, force=True)
    moved = {proxy.name: moves(proxy, events[proxy]) for proxy in lab.proxies}
    # Away and back, once each.
    assert all(count <= 2 for count in moved.values()), moved
    assert came["blue"][0] == 0, came
    found = {"noticed_ms": noticed, "lost": died[0], "of": died[1], "last_lost_ms": died[2],
             "back_ms": returned, "lost_at_return": came["green"][0],
             "last_lost_at_return_ms": came["green"][2], "moved": moved,
             "held_on_the_survivor": len(survivors)}
    print(f"  dead: noticed after {noticed} ms, {died[0]} of {died[1]} attempts lost, the last one "
          f"begun {died[2]} ms after it\n  back: believed after {returned} ms, "
          f"{came['blue'][0]} of {came['blue'][1]} attempts lost with addresses of their own, "
          f"{came['green'][0]} of {came['green'][1]} with one together, the last one begun "
          f"{came['green'][2]} ms after it\n  {len(survivors)} connections by way of the other one "
          f"lost nothing; the shared address moved {moved}")
    return found
