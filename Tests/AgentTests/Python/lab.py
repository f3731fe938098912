"""Networks of a script's own: namespaces, links between them, and small servers inside."""
import json
import os
import subprocess
import sys

from support import eventually

# Talks TCP and UDP on a port, and tells everybody who they are: `ADDRESS PORT` and what they said.
SERVER = r"""
import socket, socketserver, sys, threading

class Stream(socketserver.BaseRequestHandler):
    def handle(self):
        peer = "%s %d" % self.client_address
        self.request.sendall((peer + "\n").encode())
        while data := self.request.recv(65536):
            self.request.sendall(data)

class Datagrams(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(("%s %d\n" % self.client_address).encode() + data, self.client_address)

socketserver.TCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.daemon_threads = True
port = int(sys.argv[1])
stream = socketserver.ThreadingTCPServer(("0.0.0.0", port), Stream)
stream.request_queue_size = 128
threading.Thread(target=stream.serve_forever, daemon=True).start()
datagrams = socketserver.ThreadingUDPServer(("0.0.0.0", port), Datagrams)
print("ready", flush=True)
datagrams.serve_forever()
"""

# Answers questions for addresses from a table; what is not in it does not exist.
NAMES = r"""
import json, socket, struct, sys
table = json.loads(sys.argv[1])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 53))
print("ready", flush=True)
while True:
    data, peer = sock.recvfrom(4096)
    labels, place = [], 12
    while data[place]:
        labels.append(data[place + 1:place + 1 + data[place]].decode())
        place += 1 + data[place]
    question = data[12:place + 5]
    kind = struct.unpack(">H", data[place + 1:place + 3])[0]
    found = table.get(".".join(labels).lower())
    answers = [found] if found and kind == 1 else []
    head = data[:2] + struct.pack(">HHHHH", 0x8180 if found else 0x8183, 1, len(answers), 0, 0)
    body = b"".join(struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(each)
                    for each in answers)
    sock.sendto(head + question + body, peer)
"""


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Namespace:
    """A network namespace with a name of the script's own."""

    def __init__(self, name):
        self.name = f"alcove-{os.getpid()}-{name}"
        self.processes = []
        ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    @property
    def path(self):
        return f"/run/netns/{self.name}"

    def within(self, *words):
        """The words of a command, in this namespace."""
        return ["nsenter", f"--net={self.path}", *words]

    def ip(self, *words):
        return ip("-n", self.name, *words)

    def links(self):
        return [link["ifname"] for link in json.loads(ip("-n", self.name, "-j", "link"))]

    def run(self, *words, **keywords):
        return subprocess.run(self.within(*words), capture_output=True, text=True, **keywords)

    def start(self, *words):
        """A process that says when it is ready, until the namespace is closed."""
        process = subprocess.Popen(self.within(*words), stdout=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, text=True)
        self.processes.append(process)
        assert process.stdout.readline() == "ready\n", words
        return process

    def serve(self, port):
        return self.start(sys.executable, "-c", SERVER, str(port))

    def serve_names(self, **names):
        return self.start(sys.executable, "-c", NAMES,
                          json.dumps({name.replace("_", "."): to for name, to in names.items()}))

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


def join(one, one_name, other, other_name):
    """A cable between two namespaces, both ends up."""
    ip("link", "add", one_name, "netns", one.name, "type", "veth",
       "peer", "name", other_name, "netns", other.name)
    one.ip("link", "set", one_name, "up")
    other.ip("link", "set", other_name, "up")


class Pinned:
    """A namespace that somebody else pinned to a file."""

    def __init__(self, path):
        self.path = path

    def links(self):
        words = ["nsenter", f"--net={self.path}", "ip", "-j", "link"]
        found = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        return sorted(link["ifname"] for link in json.loads(found))

    def slots(self):
        return [name for name in self.links() if name[0] == "s" and name[1:].isdigit()]


def closed(*namespaces):
    for namespace in namespaces:
        namespace.close()
    eventually(lambda: not any(os.path.exists(each.path) for each in namespaces))
