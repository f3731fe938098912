"""The parts of `scripts/bench-network` that go from a sandbox through a tunnel and a proxy to a
server: how fast, and what is lost when a proxy dies."""
import ctypes
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_PRIVATE, MS_REC = 1 << 18, 1 << 14
LIBC = ctypes.CDLL(None, use_errno=True)
NODE, NODE_INSIDE, PREFIX, SERVER = "192.0.2.2", "100.96.0.2", "10.1.0.0/24", "10.1.0.1"
SHARED = "10.1.0.6"


def checked(result, what):
    if result:
        raise OSError(ctypes.get_errno(), what)


def run(words):
    done = subprocess.run(words, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


def quantile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def enter(path):
    """Takes the calling thread into a network namespace."""
    with open(path) as namespace:
        checked(LIBC.setns(namespace.fileno(), CLONE_NEWNET), "setns")


def hardware(address):
    return "02:ac:" + ":".join(f"{int(part):02x}" for part in address.split("."))


class Scene:
    """Namespaces with names that nobody else sees, and programs in them."""

    def __init__(self, work, programs):
        self.work, self.programs = work, programs
        self.running = []
        checked(LIBC.unshare(CLONE_NEWNS), "unshare")
        checked(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
        os.makedirs("/run/netns", exist_ok=True)
        checked(LIBC.mount(b"tmpfs", b"/run/netns", b"tmpfs", 0, None), "mount")

    def place(self, name):
        run(["ip", "netns", "add", name])
        self.ip(name, "link set lo up")

    def ip(self, place, text):
        run(["ip", "-n", place, *text.split()])

    def cable(self, one, first, other, second):
        self.ip(one, f"link add {first} type veth peer name {second} netns {other}")
        self.ip(one, f"link set {first} up")
        self.ip(other, f"link set {second} up")

    def start(self, place, words, **options):
        process = subprocess.Popen(["nsenter", f"--net=/run/netns/{place}", *words], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.running.append(process)
        return process

    def proxy(self, number, shared=False):
        """The program on a proxy node, and a VPC whose uplink is the link `card` there."""
        name = f"p{number}"
        folder = os.path.join(self.work, name)
        os.makedirs(folder)
        process = self.start(name, [
            self.programs["alcove-proxy"], "--socket", f"{folder}/socket", "--state",
            f"{folder}/state", "--namespaces", f"{folder}/netns", "--underlay",
            f"192.0.2.{number}", "--log-format", "json"], stderr=subprocess.PIPE)
        for line in process.stderr:
            if '"serving"' in line:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        words = ["vpc", "create", "blue", "--vni", "7", "--prefix", PREFIX, "--uplink",
                 "link:card", "--address", f"10.1.0.{number}/24", "--tunnel",
                 f"100.96.0.{number}/16", "--egress", SHARED if shared else f"10.1.0.{number}"]
        if shared:
            other = 21 - number
            words += ["--rank", str(number - 10), "--peer",
                      f"{other - 10}:100.96.0.{other},192.0.2.{other}"]
        for more in (words, ["node", "attach", "blue", "node-2", "--underlay", NODE, "--tunnel",
                             NODE_INSIDE]):
            run([self.programs["alcove"], "proxy", *more, "--proxy", f"{folder}/socket"])

    def sandbox(self, proxies):
        """A node with a sandbox. Gives the sandbox's namespace."""
        process = self.start("node", [
            self.programs["NetworkProbe"], "tunnel", os.path.join(self.work, "router"), NODE,
            NODE_INSIDE, "7", PREFIX, *proxies])
        line = process.stdout.readline().strip()
        if not line.isdigit():
            raise RuntimeError(line or "the node ended")
        self.node = process
        return f"/proc/{process.pid}/fd/{line}"

    def end(self):
        for process in reversed(self.running):
            process.stdin.close()
            if process is not self.node:
                process.terminate()
            process.wait()
        for folder, _, names in os.walk(self.work):
            for name in names if folder.endswith("/netns") else []:
                run(["umount", os.path.join(folder, name)])


# ---- How fast ----

SERVE = """
import socket, sys, threading
def sink(connection):
    room = bytearray(1 << 20)
    with connection:
        while connection.recv_into(room):
            pass
def echo(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while byte := connection.recv(1):
            connection.send(byte)
def serve(port, action):
    listener = socket.create_server(('', port))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=action, args=(connection,), daemon=True).start()
threading.Thread(target=serve, args=(7001, sink), daemon=True).start()
threading.Thread(target=serve, args=(7002, echo), daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
"""

ASK = """
import json, socket, sys, time
address, what, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
end = time.monotonic() + seconds
if what == 'stream':
    piece = bytes(1 << 18)
    with socket.create_connection((address, 7001)) as connection:
        begun, count = time.monotonic(), 0
        while time.monotonic() < end:
            count += connection.send(piece)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        print(json.dumps([count * 8 / (time.monotonic() - begun)]))
else:
    with socket.create_connection((address, 7002)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        while time.monotonic() < end:
            begun = time.monotonic_ns()
            connection.send(b'x')
            connection.recv(1)
            times.append((time.monotonic_ns() - begun) / 1000)
        print(json.dumps(times))
"""


class Throughput:
    """A stream and round trips through a cable, a tunnel on a cable, and all that is between a
    sandbox and its tenant's server; in turn."""

    NAMES = {"veth": "a cable (veth)", "vxlan": "a tunnel (VXLAN) on a cable",
             "alcove": "sandbox, router, tunnel, proxy, server"}

    def __init__(self, work, programs, rounds, picture):
        self.scene, self.rounds, self.picture = Scene(work, programs), rounds, picture
        self.streams = {way: [] for way in self.NAMES}
        self.trips = {way: [] for way in self.NAMES}

    def prepare(self):
        scene = self.scene
        for name in ("a1", "a2", "b1", "b2", "node", "p10", "tenant"):
            scene.place(name)
        scene.cable("a1", "eth0", "a2", "eth0")
        scene.ip("a1", "address add 10.2.0.1/24 dev eth0")
        scene.ip("a2", "address add 10.2.0.2/24 dev eth0")
        scene.cable("b1", "eth0", "b2", "eth0")
        for own, other in (("1", "2"), ("2", "1")):
            place = "b" + own
            scene.ip(place, f"address add 192.0.2.{own}/24 dev eth0")
            scene.ip(place, f"link add tunnel mtu 1450 address {hardware('10.3.0.' + own)} type "
                            f"vxlan id 7 local 192.0.2.{own} dstport 4789 nolearning noudpcsum")
            scene.ip(place, "link set tunnel up")
            scene.ip(place, f"address add 10.3.0.{own}/24 dev tunnel")
            there = hardware("10.3.0." + other)
            scene.ip(place, f"neighbour add 10.3.0.{other} lladdr {there} dev tunnel nud permanent")
            run(["bridge", "-n", place, "fdb", "add", there, "dev", "tunnel", "dst",
                 f"192.0.2.{other}", "self", "permanent"])
        scene.cable("node", "under", "p10", "under")
        scene.ip("node", f"address add {NODE}/24 dev under")
        scene.ip("p10", "address add 192.0.2.10/24 dev under")
        scene.cable("p10", "card", "tenant", "eth0")
        scene.ip("tenant", f"address add {SERVER}/24 dev eth0")
        scene.proxy(10)
        sandbox = scene.sandbox(["192.0.2.10,100.96.0.10,0"])
        for place in ("a2", "b2", "tenant"):
            scene.start(place, [sys.executable, "-c", SERVE]).stdout.readline()
        self.ways = {"veth": ("/run/netns/a1", "10.2.0.2"),
                     "vxlan": ("/run/netns/b1", "10.3.0.2"), "alcove": (sandbox, SERVER)}

    def ask(self, way, what, seconds):
        namespace, address = self.ways[way]
        done = subprocess.run(
            ["nsenter", f"--net={namespace}", sys.executable, "-c", ASK, address, what,
             str(seconds)], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def measure(self):
        self.prepare()
        order = list(self.NAMES)
        try:
            for number in range(self.rounds + 1):
                for way in order[number % 3:] + order[:number % 3]:
                    stream = self.ask(way, "stream", 1)
                    trips = self.ask(way, "trips", 0.5)
                    # The first is for caches.
                    if number:
                        self.streams[way] += stream
                        self.trips[way] += trips
        finally:
            self.load = os.getloadavg()[0]
            self.scene.end()

    def rows(self):
        for way, name in self.NAMES.items():
            streams, trips = self.streams[way], self.trips[way]
            yield {"way": name, "gbit": quantile(streams, 0.5) / 1e9,
                   "gbit_least": min(streams) / 1e9, "gbit_most": max(streams) / 1e9,
                   "trip_us": quantile(trips, 0.5), "trip_p99_us": quantile(trips, 0.99)}

    def report(self, as_json):
        rows = list(self.rows())
        if self.picture:
            with open(self.picture, "w") as file:
                file.write(picture(rows))
        if as_json:
            print(json.dumps({"rounds": self.rounds, "load": self.load, "rows": rows}, indent=2))
            return
        print("| one connection | Gbit/s, median (least to most) | round trip in µs, median (p99) |")
        print("|---|---|---|")
        for row in rows:
            print(f"| {row['way']} | {row['gbit']:.1f} ({row['gbit_least']:.1f} to "
                  f"{row['gbit_most']:.1f}) | {row['trip_us']:.1f} ({row['trip_p99_us']:.0f}) |")
        print(f"\n{self.rounds} rounds, in turn; load {self.load:.1f}")


def picture(rows):
    """Two groups of bars in SVG."""
    ink, faint, colors = "#1f2328", "#57606a", ("#8c959f", "#6e7fa8", "#2f6f4f")
    titles, names, bars, top = [], [], [], 34
    for title, key, unit in (("one stream", "gbit", "Gbit/s"),
                             ("round trip of a byte", "trip_us", "µs")):
        most = max(row[key] for row in rows)
        titles.append(f'<text x="16" y="{top}">{title}, {unit}</text>')
        for row, color in zip(rows, colors):
            top += 26
            width = 300 * row[key] / most
            names.append(f'<text x="290" y="{top}">{row["way"]}</text>')
            bars.append(f'<rect x="300" y="{top - 12}" width="{width:.1f}" height="16" '
                        f'fill="{color}"/>')
            bars.append(f'<text x="{306 + width:.1f}" y="{top}">{row[key]:.1f}</text>')
        top += 44
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 {top - 20}"',
        '    font-family="sans-serif">', '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<g font-size="14" font-weight="600" fill="{ink}">', *titles, "</g>",
        f'<g font-size="12" text-anchor="end" fill="{faint}">', *names, "</g>",
        f'<g font-size="12" fill="{ink}">', *bars, "</g>", "</svg>", ""])


# ---- What is lost ----

class Flows(threading.Thread):
    """Begins a flow each 5 ms, of one datagram that is to be answered."""

    INTERVAL, PATIENCE = 0.005, 2

    def __init__(self, namespace):
        super().__init__(daemon=True)
        self.namespace = namespace
        self.sent, self.answered = [], set()
        self.ending = False

    def run(self):
        enter(self.namespace)
        waiting, selector = [], selectors.DefaultSelector()
        due = time.monotonic()
        while not self.ending:
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            number, now = len(self.sent), time.monotonic()
            self.sent.append(now)
            selector.register(end, selectors.EVENT_READ, number)
            waiting.append((now, end))
            try:
                end.sendto(b"x", (SERVER, 7003))
            except OSError:
                pass
            due += self.INTERVAL
            while (rest := due - time.monotonic()) > 0:
                for key, _ in selector.select(rest):
                    try:
                        key.fileobj.recv(8)
                        self.answered.add(key.data)
                    except OSError:
                        pass
            while waiting and waiting[0][0] < now - self.PATIENCE:
                end = waiting.pop(0)[1]
                selector.unregister(end)
                end.close()

    def unanswered(self, begin, end):
        """When those began that nobody answered."""
        return [at for number, at in enumerate(self.sent)
                if begin <= at < end and number not in self.answered]


ANSWER = """
import socket
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.bind(('', 7003))
print('ready', flush=True)
while True:
    end.sendto(*end.recvfrom(8))
"""


class Failover:
    """Two proxies, of which the cable of one is pulled and put back while flows begin."""

    def __init__(self, work, programs, rounds, shared):
        self.scene, self.rounds, self.shared = Scene(work, programs), rounds, shared
        self.times = {"dies": [], "comes back": []}
        self.lost = {"dies": [], "comes back": []}
        self.noticed = {"dies": [], "comes back": []}

    def prepare(self):
        scene = self.scene
        for name in ("wire", "node", "p10", "p11", "tenant"):
            scene.place(name)
        for bridge in ("under", "blue"):
            scene.ip("wire", f"link add {bridge} type bridge")
            scene.ip("wire", f"link set {bridge} up")
        for place, bridge, name, address in (
                ("node", "under", "under", f"{NODE}/24"), ("p10", "under", "under", "192.0.2.10/24"),
                ("p11", "under", "under", "192.0.2.11/24"), ("p10", "blue", "card", None),
                ("p11", "blue", "card", None), ("tenant", "blue", "eth0", f"{SERVER}/24")):
            end = f"{bridge}-{place}"
            scene.cable("wire", end, place, name)
            scene.ip("wire", f"link set {end} master {bridge}")
            if address:
                scene.ip(place, f"address add {address} dev {name}")
        scene.start("tenant", [sys.executable, "-c", ANSWER]).stdout.readline()
        for number in (10, 11):
            scene.proxy(number, self.shared)
        ranks = (0, 1) if self.shared else (0, 0)
        return scene.sandbox([f"192.0.2.{number},100.96.0.{number},{rank}"
                              for number, rank in zip((10, 11), ranks)])

    def measure(self):
        namespace = self.prepare()
        try:
            flows = Flows(namespace)
            flows.start()
            # Both are known to be alive, and the first has what is shared.
            time.sleep(3)
            for number in range(self.rounds):
                # With addresses of their own, flows stay with the one that was left.
                victim = 10 if self.shared else 10 + number % 2
                for what, state in (("dies", "down"), ("comes back", "up")):
                    # Not always at the same moment between two requests.
                    time.sleep(0.037 * (number % 6))
                    begin = time.monotonic()
                    self.scene.ip("wire", f"link set under-p{victim} {state}")
                    # One that dies often is believed later each time that it is back.
                    self.scene.node.stdout.readline()
                    noticed = time.monotonic()
                    time.sleep(3)
                    lost = flows.unanswered(begin, noticed + 1)
                    self.noticed[what].append((noticed - begin) * 1000)
                    self.times[what].append((max(lost) - begin if lost else 0) * 1000)
                    self.lost[what].append(len(lost))
            flows.ending = True
            flows.join()
        finally:
            self.load = os.getloadavg()[0]
            self.scene.end()

    def report(self, as_json):
        if as_json:
            print(json.dumps({"rounds": self.rounds, "shared": self.shared, "load": self.load,
                              "noticed_ms": self.noticed, "last_lost_ms": self.times,
                              "lost": self.lost}, indent=2))
            return
        kind = "one shared address" if self.shared else "addresses of their own"
        print(f"| {kind}: median (most) | noticed after, ms | last flow lost, ms | flows lost |")
        print("|---|---|---|---|")
        for what in self.times:
            cells = [f"{quantile(values[what], 0.5):.0f} ({max(values[what]):.0f})"
                     for values in (self.noticed, self.times, self.lost)]
            print(f"| a proxy {what} | " + " | ".join(cells) + " |")
        print(f"\n{self.rounds} rounds; load {self.load:.1f}")
