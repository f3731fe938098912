"""The service `alcove.v1.ControlPlane`: agents dial it, register, and hold a session."""
import dataclasses
import os
import queue
import random
import threading
import time
from concurrent import futures

import grpc

from alcove_api import control_plane as messages
from alcove_api import control_plane_services, node
from record import SANDBOXES_IN_A_PART, Record, Violation

AgentMessage = messages.AgentMessage
ControlMessage = messages.ControlMessage


@dataclasses.dataclass
class Faults:
    """What this control plane does wrong on purpose, to see what agents make of it."""
    # Sessions end after a random time up to this many seconds.
    drop_after: float = 0
    # Each acknowledgement comes this many seconds late.
    delay_acknowledgements: float = 0
    # The chance that a session which is dropped takes all knowledge with it.
    forget: float = 0
    # So many calls of Register fail with UNAVAILABLE.
    refuse_registers: int = 0
    # Nodes which are not wanted: Register fails with PERMISSION_DENIED.
    unwanted: set = dataclasses.field(default_factory=set)


class Session:
    """One session of one agent: what came, what is to be sent."""

    def __init__(self, plane, record, heartbeat):
        self.plane = plane
        self.record = record
        self.heartbeat = heartbeat
        self.first_capacity = True
        self.first_resync = True
        self.events_seen = None
        # Parts of a resync that is not whole yet, and their event number.
        self.parts = []
        self.parts_event = None
        # Resyncs that are due: the one after `hello`, and one for each order.
        self.due = 1
        self.drains_due = 0
        self.outgoing = queue.SimpleQueue()
        self.acknowledged = 0
        self.changed = threading.Event()
        self.ended = threading.Event()

    # ---- To the agent ----

    def send(self, **message):
        self.outgoing.put(ControlMessage(**message))

    def order_drain(self, request):
        self.drains_due += 1
        self.send(drain=request)

    def order_resync(self):
        self.due += 1
        self.send(resync=ControlMessage.ResyncOrder())

    def end(self, error=None):
        self.ended.set()
        self.changed.set()
        self.outgoing.put(error)

    def acknowledge(self):
        """Runs beside the session: keeps what came, then says so. Many events as one."""
        while self.changed.wait() and not self.ended.is_set():
            self.changed.clear()
            self.ended.wait(self.plane.faults.delay_acknowledgements)
            with self.plane.record.lock:
                known = self.plane.record.nodes.get(self.record.node_id) is self.record
                number = self.record.last_event
            if known and number > self.acknowledged and not self.ended.is_set():
                self.plane.record.save()
                self.acknowledged = number
                self.send(acknowledgement=ControlMessage.Acknowledgement(event_number=number))

    # ---- From the agent ----

    def receive(self, message):
        kind = message.WhichOneof("message")
        record = self.record
        record.heard_at = time.monotonic()
        if kind == "hello":
            raise Violation("a second hello")
        elif kind == "resync":
            self._resync(message.resync)
        elif kind == "event":
            self._event(message.event)
        elif kind == "capacity":
            record.set_capacity(message.capacity, self.first_capacity)
            self.first_capacity = False
        elif kind == "heartbeat":
            if message.heartbeat.last_event_number < record.last_event:
                raise Violation("a heartbeat names an event before those that came")
        elif kind == "drain":
            if self.drains_due == 0:
                raise Violation("an answer to a drain that was not ordered")
            self.drains_due -= 1
            record.drain = message.drain

    def _event(self, event):
        if self.first_resync:
            raise Violation("an event came before the resync")
        # Within a session, numbers rise by one, also where they repeat an earlier session's.
        if self.events_seen is not None and event.number != self.events_seen + 1:
            raise Violation(f"event {event.number} came after {self.events_seen}")
        self.events_seen = event.number
        if self.record.add_event(event):
            self.plane.on_event(self.record, event)
        self.changed.set()

    def _resync(self, part):
        if self.due == 0:
            raise Violation("a resync that was not ordered")
        if len(part.sandboxes) > SANDBOXES_IN_A_PART:
            raise Violation(f"{len(part.sandboxes)} sandboxes in one part of a resync")
        if self.parts_event not in (None, part.event_number):
            raise Violation("parts of a resync have different event numbers")
        self.parts_event = part.event_number
        self.parts += part.sandboxes
        if not part.complete:
            return
        if len({each.id for each in self.parts}) != len(self.parts):
            raise Violation("a sandbox came twice in a resync")
        self.record.resync(self.parts, self.parts_event)
        self.parts, self.parts_event = [], None
        self.first_resync = False
        self.due -= 1


class Plane(control_plane_services.ControlPlaneServicer):
    """The control plane: a record, the sessions of the agents, and faults."""

    def __init__(self, record=None, heartbeat=5.0, faults=None, seed=None):
        self.record = record or Record()
        self.heartbeat = heartbeat
        self.faults = faults or Faults()
        self.random = random.Random(seed)
        self.violations = []
        self.registrations = 0
        self.sessions = 0
        self.tokens = {}
        self.listeners = []

    def on_event(self, record, event):
        for listener in self.listeners:
            listener(record, event)

    # ---- The service ----

    def Register(self, request, context):
        self.registrations += 1
        if not request.node.node_id:
            self._violated("a node without an id", context)
        if self.faults.refuse_registers > 0:
            self.faults.refuse_registers -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "comes back later")
        if request.node.node_name in self.faults.unwanted:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "the node is not wanted")
        token = os.urandom(16)
        with self.record.lock:
            record = self.record.node(request.node.node_id)
            record.info = request.node
            record.capacity = request.capacity
            self.tokens[request.node.node_id] = token
        return messages.RegisterResponse(
            session_token=token, heartbeat_nanoseconds=int(self.heartbeat * 1e9))

    def Session(self, requests, context):
        try:
            session = self._begin(requests, context)
        except Violation as problem:
            self._violated(str(problem), context)
        timers = self._drop_later(session)
        for work in ((self._read, (session, requests)), (session.acknowledge, ())):
            threading.Thread(target=work[0], args=work[1], daemon=True).start()
        context.add_callback(session.end)
        try:
            while True:
                message = session.outgoing.get()
                if isinstance(message, ControlMessage):
                    yield message
                    continue
                if isinstance(message, Violation):
                    self._violated(str(message), context)
                if message is not None:
                    context.abort(grpc.StatusCode.UNAVAILABLE, str(message))
                return
        finally:
            session.ended.set()
            session.changed.set()
            for timer in timers:
                timer.cancel()
            with self.record.lock:
                if session.record.session is session:
                    session.record.session = None

    def _begin(self, requests, context):
        first = next(requests, None)
        if first is None or first.WhichOneof("message") != "hello":
            raise Violation("the first message is no hello")
        hello = first.hello
        if self.tokens.get(hello.node_id) != hello.session_token:
            # It registered with one who forgot: it registers again.
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not known: register")
        with self.record.lock:
            record = self.record.node(hello.node_id)
            session = Session(self, record, self.heartbeat)
            last = record.begin(hello)
            session.send(welcome=ControlMessage.Welcome(last_event_number=last))
            # The last session may have ended before it could acknowledge all that came.
            session.changed.set()
            # A node has one session: one that is still there is a dead one.
            if record.session is not None:
                record.session.end("another session of the node began")
            record.session = session
            record.heard_at = time.monotonic()
            self.sessions += 1
        return session

    def _read(self, session, requests):
        error = None
        try:
            for message in requests:
                with self.record.lock:
                    if session.record.session is not session:
                        return
                    session.receive(message)
        except Violation as problem:
            error = problem
        except grpc.RpcError:
            # The agent went away, which it may at any time.
            pass
        session.end(error)

    def _violated(self, text, context):
        self.violations.append(text)
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"breaks the contract: {text}")

    # ---- Orders and faults ----

    def _drop_later(self, session):
        if self.faults.drop_after <= 0:
            return []
        timer = threading.Timer(self.random.uniform(0, self.faults.drop_after), self._drop,
                                (session,))
        timer.daemon = True
        timer.start()
        return [timer]

    def _drop(self, session):
        session.end("dropped on purpose")
        if self.random.random() < self.faults.forget:
            self.forget()

    def drop_all(self):
        for each in list(self.record.nodes.values()):
            if each.session:
                each.session.end("dropped on purpose")

    def forget(self):
        """Loses everything: sessions, tokens, events, sandboxes. Agents come back and tell all."""
        with self.record.lock:
            sessions = [each.session for each in self.record.nodes.values() if each.session]
            for session in sessions:
                session.record.session = None
            self.tokens.clear()
            self.record.nodes.clear()
        self.record.save()
        for session in sessions:
            session.end("forgot everything")

    def _session(self, node_id):
        record = self.record.nodes.get(node_id)
        if record is None or record.session is None:
            raise LookupError(f"no session of node {node_id}")
        return record.session

    def drain(self, node_id, seconds=None):
        """Takes a node out of service; what still runs after `seconds` is stopped."""
        begin = node.DrainRequest.Begin()
        if seconds is not None:
            begin.deadline_nanoseconds = int(seconds * 1e9)
        self._session(node_id).order_drain(node.DrainRequest(begin=begin))

    def end_drain(self, node_id):
        self._session(node_id).order_drain(node.DrainRequest(end=node.DrainRequest.End()))

    def resync(self, node_id):
        self._session(node_id).order_resync()


def serve(plane, path, threads=64):
    """A server on a Unix socket. Each session holds a thread."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=threads))
    control_plane_services.add_ControlPlaneServicer_to_server(plane, server)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    return server
