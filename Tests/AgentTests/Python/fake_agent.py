"""The agent's side of `ControlPlane` as its definition tells it, for tests of the example."""
import queue
import random
import threading
import time

import grpc
from support import api

Message = api.control_plane.AgentMessage


class FakeAgent:
    """Keeps events until they are acknowledged, and tells them in each session anew."""

    def __init__(self, path, node_id="n1", name="node-1", seed=1):
        self.path, self.node_id, self.name = path, node_id, name
        self.random = random.Random(seed)
        self.lock = threading.RLock()
        self.more = threading.Condition(self.lock)
        self.events = []
        self.last = 0
        self.acknowledged = 0
        self.sandboxes = {}
        self.capacity_version = 0
        self.draining = False
        self.failures = []
        self.welcomes = []
        self.stopped = threading.Event()
        self.call = None
        # Messages that break the contract: a function of the agent and the queue.
        self.misbehave = None

    # ---- What happens on the node ----

    def happen(self, sandbox_id="", **kind):
        with self.lock:
            self.last += 1
            event = api.types.Event(number=self.last, sandbox_id=sandbox_id,
                                    at_nanoseconds=time.time_ns(), **kind)
            self.events.append(event)
            self.more.notify_all()

    def create(self, sandbox_id):
        with self.lock:
            spec = api.types.SandboxSpec(image="base", command=["true"])
            self.sandboxes[sandbox_id] = api.types.Sandbox(
                id=sandbox_id, spec=spec, state=api.types.SANDBOX_STATE_CREATED)
            self.happen(sandbox_id, created=api.types.Event.Created(spec=spec))

    def change(self, sandbox_id, state):
        with self.lock:
            sandbox = self.sandboxes[sandbox_id]
            self.happen(sandbox_id, state_changed=api.types.Event.StateChanged(
                before=sandbox.state, after=state))
            sandbox.state = state

    def remove(self, sandbox_id):
        with self.lock:
            del self.sandboxes[sandbox_id]
            self.happen(sandbox_id, removed=api.types.Event.Removed())

    # ---- The session ----

    def capacity(self):
        self.capacity_version += 1
        total = api.node.Resources(milli_cpus=2000, memory_bytes=1 << 30, pids=1000,
                                   disk_bytes=1 << 30, addresses=100, sandboxes=100)
        used = api.node.Resources(sandboxes=len(self.sandboxes))
        return api.node.Capacity(version=self.capacity_version, total=total, allocatable=total,
                                 reserved=used)

    def run(self):
        """Registers and holds a session, again and again until `stop`."""
        while not self.stopped.is_set():
            try:
                with grpc.insecure_channel(f"unix:{self.path}", options=[
                        ("grpc.use_local_subchannel_pool", 1)]) as channel:
                    self._connect(channel)
            except grpc.RpcError as error:
                self.failures.append(error)
            self.stopped.wait(self.random.uniform(0, 0.02))

    def start(self):
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def stop(self):
        self.stopped.set()
        if self.call:
            self.call.cancel()

    def _connect(self, channel):
        stub = api.control_plane_services.ControlPlaneStub(channel)
        answer = stub.Register(api.control_plane.RegisterRequest(
            node=api.node.InfoResponse(node_name=self.name, node_id=self.node_id),
            capacity=self.capacity()), timeout=10)
        heartbeat = answer.heartbeat_nanoseconds / 1e9
        outgoing = queue.SimpleQueue()
        with self.lock:
            oldest = self.events[0].number if self.events else 0
            outgoing.put(Message(hello=Message.Hello(
                node_id=self.node_id, session_token=answer.session_token,
                oldest_event_number=oldest, last_event_number=self.last)))
            self._resync(outgoing)
        over = threading.Event()
        self.call = stub.Session(iter(outgoing.get, None))
        try:
            for message in self.call:
                self._receive(message, outgoing, over, heartbeat)
        finally:
            over.set()
            with self.lock:
                self.more.notify_all()
            outgoing.put(None)

    def _resync(self, outgoing):
        sandboxes = list(self.sandboxes.values())
        for start in range(0, max(1, len(sandboxes)), 100):
            outgoing.put(Message(resync=Message.Resync(
                sandboxes=sandboxes[start:start + 100], event_number=self.last,
                complete=start + 100 >= len(sandboxes))))

    def _receive(self, message, outgoing, over, heartbeat):
        match message.WhichOneof("message"):
            case "welcome":
                self.welcomes.append(message.welcome.last_event_number)
                if self.misbehave:
                    self.misbehave(self, outgoing)
                    return
                threading.Thread(target=self._tell, daemon=True, args=(
                    message.welcome.last_event_number, outgoing, over, heartbeat)).start()
            case "acknowledgement":
                with self.lock:
                    number = message.acknowledgement.event_number
                    assert self.misbehave or self.acknowledged <= number <= self.last
                    self.acknowledged = number
                    self.events = [e for e in self.events if e.number > number]
            case "resync":
                with self.lock:
                    self._resync(outgoing)
            case "drain":
                self.draining = message.drain.WhichOneof("order") == "begin"
                outgoing.put(Message(drain=api.node.DrainResponse(
                    draining=self.draining, remaining=len(self.sandboxes))))

    def _tell(self, last, outgoing, over, heartbeat):
        """Sends each event from the one after `last` on, and heartbeats between."""
        while not over.is_set():
            with self.lock:
                due = [event for event in self.events if event.number > last]
                for event in due:
                    outgoing.put(Message(event=event))
                    last = event.number
                if due:
                    outgoing.put(Message(capacity=self.capacity()))
                elif not self.more.wait(heartbeat):
                    outgoing.put(Message(heartbeat=Message.Heartbeat(
                        at_nanoseconds=time.time_ns(), last_event_number=self.last,
                        capacity_version=self.capacity_version)))
