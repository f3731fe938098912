"""What a control plane knows of its nodes, and the rules by which it learns. No network here.

A rule that an agent breaks raises `Violation`: its session ends, and `--assert` makes it fatal.
"""
import json
import os
import threading
import time

from google.protobuf import json_format

from alcove_api import node as node_messages
from alcove_api import types

SANDBOXES_IN_A_PART = 100
# Events that are shown and compared; older ones are counted in, and forgotten.
EVENTS_KEPT = 100_000
State = types.SandboxState


class Violation(Exception):
    """An agent did what the contract does not allow."""


class NodeRecord:
    """One node: its last capacity, its sandboxes, and how far its events are known."""

    def __init__(self, node_id):
        self.node_id = node_id
        self.info = node_messages.InfoResponse()
        self.capacity = node_messages.Capacity()
        self.sandboxes = {}
        # The last event that is known here, and the last one that `sandboxes` shows.
        self.last_event = 0
        self.shown_event = 0
        self.events = []
        self.duplicates = 0
        self.lost_events = 0
        self.resyncs = 0
        self.drain = None
        self.heard_at = 0.0
        self.session = None

    # ---- A session's messages ----

    def begin(self, hello):
        """Says which event is the last one known here: what `Welcome` carries."""
        if hello.oldest_event_number > hello.last_event_number:
            raise Violation("the oldest event has a higher number than the last one")
        if hello.last_event_number < self.last_event:
            # The node lost its record: its numbers began anew, and mean other events.
            self.last_event = self.shown_event = self.resyncs = 0
            self.events.clear()
        # What the agent does not have any more was acknowledged here, and lost here. The resync
        # shows what came of it.
        oldest = hello.oldest_event_number or hello.last_event_number + 1
        if oldest > self.last_event + 1:
            self.lost_events += oldest - 1 - self.last_event
            self.last_event = oldest - 1
        return self.last_event

    def add_event(self, event):
        """Takes the next event; false for one that is known already."""
        if event.WhichOneof("kind") == "heartbeat":
            raise Violation("a heartbeat came as an event")
        if event.number <= self.last_event:
            self.duplicates += 1
            return False
        if event.number != self.last_event + 1:
            raise Violation(f"event {event.number} came where {self.last_event + 1} was due")
        self.last_event = event.number
        self.events.append(event)
        del self.events[:-EVENTS_KEPT]
        if event.number > self.shown_event:
            self._show(event)
            self.shown_event = event.number
        return True

    def resync(self, sandboxes, event_number):
        """Replaces all that is known of the sandboxes."""
        known = {each.id: each.state for each in self.sandboxes.values()}
        told = {each.id: each.state for each in sandboxes}
        if self.resyncs and self.shown_event == event_number and known != told:
            raise Violation(f"events told of {known}, the resync at the same event of {told}")
        self.sandboxes = {each.id: each for each in sandboxes}
        self.resyncs += 1
        # Events may have come between the parts.
        for event in self.events:
            if event.number > event_number:
                self._show(event)
        self.shown_event = max(event_number, self.last_event)

    def set_capacity(self, capacity, first):
        if not first and capacity.version < self.capacity.version:
            raise Violation(f"capacity {capacity.version} came after {self.capacity.version}")
        self.capacity = capacity

    def _show(self, event):
        kind = event.WhichOneof("kind")
        if kind == "created":
            self.sandboxes[event.sandbox_id] = types.Sandbox(
                id=event.sandbox_id, spec=event.created.spec, state=State.SANDBOX_STATE_CREATED,
                isolation=event.created.isolation, created_at_nanoseconds=event.at_nanoseconds)
        elif kind == "removed":
            self.sandboxes.pop(event.sandbox_id, None)
        sandbox = self.sandboxes.get(event.sandbox_id)
        if sandbox is None:
            return
        if kind == "state_changed":
            sandbox.state = event.state_changed.after
            if event.state_changed.HasField("outcome"):
                sandbox.outcome.CopyFrom(event.state_changed.outcome)
        elif kind == "adopted":
            sandbox.state = event.adopted.state
        elif kind == "resources_updated":
            sandbox.spec.limits.CopyFrom(event.resources_updated.limits)
            del sandbox.limits[:]
            sandbox.limits.extend(event.resources_updated.statuses)

    # ---- For the table and for placement ----

    @property
    def name(self):
        return self.info.node_name or self.node_id

    def condition(self):
        if self.session is None:
            return "offline"
        if time.monotonic() - self.heard_at > 3 * self.session.heartbeat:
            return "silent"
        kinds = {each.kind for each in self.capacity.conditions}
        if node_messages.Condition.KIND_DRAINED in kinds:
            return "drained"
        if node_messages.Condition.KIND_DRAINING in kinds:
            return "draining"
        return "ready"

    def states(self):
        """How many sandboxes are in each state, by its name in lower case."""
        counts = {}
        for sandbox in self.sandboxes.values():
            name = state_name(sandbox.state)
            counts[name] = counts.get(name, 0) + 1
        return counts


def state_name(number):
    """An enumeration is open: a newer agent may send what has no name here."""
    if number in State.values():
        return State.Name(number).removeprefix("SANDBOX_STATE_").lower()
    return f"state {number}"


class Record:
    """All nodes, in memory and, with a path, in a JSON file.

    What is acknowledged must be kept: `save` returns when it is on the disk.
    """

    def __init__(self, path=None):
        self.path = path
        self.lock = threading.RLock()
        self.saving = threading.Lock()
        self.nodes = {}
        if path and os.path.exists(path):
            self._load()

    def node(self, node_id):
        with self.lock:
            return self.nodes.setdefault(node_id, NodeRecord(node_id))

    def save(self):
        if not self.path:
            return
        # One after the other, so that an older state never replaces a newer one.
        with self.saving:
            with self.lock:
                content = {"nodes": [self._line(each) for each in self.nodes.values()]}
            temporary = f"{self.path}.new"
            with open(temporary, "w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)

    @staticmethod
    def _line(node):
        return {"node_id": node.node_id, "last_event": node.last_event,
                "shown_event": node.shown_event, "info": json_format.MessageToDict(node.info),
                "sandboxes": [json_format.MessageToDict(s) for s in node.sandboxes.values()]}

    def _load(self):
        with open(self.path) as file:
            content = json.load(file)
        for each in content["nodes"]:
            node = self.node(each["node_id"])
            node.last_event = each["last_event"]
            node.shown_event = each["shown_event"]
            json_format.ParseDict(each["info"], node.info, ignore_unknown_fields=True)
            for text in each["sandboxes"]:
                sandbox = json_format.ParseDict(text, types.Sandbox(), ignore_unknown_fields=True)
                node.sandboxes[sandbox.id] = sandbox
