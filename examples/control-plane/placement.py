"""Which node takes a sandbox. The agent decides whether it fits; this only chooses whom to ask."""
import grpc

from alcove_api import node, node_services, sandbox_services, sandboxes, types

RESOURCES = ("milli_cpus", "memory_bytes", "pids", "disk_bytes", "addresses", "sandboxes")


def room(capacity):
    """What sandboxes can still reserve, by resource."""
    return {name: getattr(capacity.allocatable, name) - getattr(capacity.reserved, name)
            for name in RESOURCES}


def need(capacity, spec):
    """What a sandbox of this specification reserves on that node, by resource."""
    request = {name: getattr(capacity.default_request, name) for name in RESOURCES}
    request["sandboxes"] = 1
    for name in ("milli_cpus", "memory_bytes", "pids"):
        if spec.limits.HasField(name):
            request[name] = getattr(spec.limits, name)
    for overhead in capacity.overheads:
        if overhead.isolation == spec.isolation or spec.isolation == types.ISOLATION_KIND_AUTO:
            for name in RESOURCES:
                if name != "sandboxes":
                    request[name] += getattr(overhead.fixed, name)
            request["milli_cpus"] += (
                overhead.milli_cpus_per_cpu * request["milli_cpus"] // 1000)
            break
    return request


def candidates(nodes, spec):
    """The nodes that seem to have room, the one with the most memory left first."""
    fitting = []
    for each in nodes:
        left, wanted = room(each.capacity), need(each.capacity, spec)
        if each.condition() == "ready" and all(left[n] >= wanted[n] for n in RESOURCES):
            fitting.append((left["memory_bytes"] - wanted["memory_bytes"], each))
    return [each for _, each in sorted(fitting, key=lambda pair: -pair[0])]


class Placement:
    """Creates and starts sandboxes by the agents' own sockets."""

    def __init__(self, plane, sockets):
        self.plane = plane
        # By the node's name.
        self.sockets = sockets
        self.channels = {}

    def _channel(self, name):
        if name not in self.channels:
            self.channels[name] = grpc.insecure_channel(f"unix:{self.sockets[name]}")
        return self.channels[name]

    def place(self, sandbox_id, spec, timeout=30):
        """Gives the node that took it. What is known here may be old: a node that has no room
        any more says so, and the next one is asked. A call whose answer was lost is made again
        with the same id, which makes no second sandbox."""
        nodes = [n for n in self.plane.record.nodes.values() if n.name in self.sockets]
        for each in candidates(nodes, spec):
            stub = sandbox_services.SandboxesStub(self._channel(each.name))
            try:
                self._again(stub.Create, sandboxes.CreateRequest(id=sandbox_id, spec=spec),
                            timeout)
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED,
                                    grpc.StatusCode.UNAVAILABLE):
                    continue
                raise
            self._again(stub.Start, sandboxes.StartRequest(id=sandbox_id), timeout)
            return each
        if not nodes:
            raise LookupError("no node that has a socket by --agent is known yet")
        raise LookupError("no node has room, or all are out of service")

    @staticmethod
    def _again(call, request, timeout):
        try:
            return call(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE,
                                    grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            return call(request, timeout=timeout)

    def capacity(self, name):
        """A node's own word, for those who cannot wait for the next message of its session."""
        stub = node_services.NodeStub(self._channel(name))
        return stub.Capacity(node.CapacityRequest(), timeout=10).capacity
