"""`Images`, `Node`, and the standard services."""
import os
import platform
import shutil
import threading
import time

import grpc
from agent import IMAGE, Agent
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
images, node = api.images, api.node


def image_calls(agent):
    calls = agent.calls.images
    begun = time.time_ns()

    def imported(name, directory=IMAGE):
        answer, = calls.Import(images.ImportRequest(name=name, directory=directory), timeout=60)
        return answer.result

    def names():
        return [each.name for each in calls.List(images.ListImagesRequest(), timeout=60).images]

    assert names() == []
    first = imported("base")
    assert not first.existed and first.image.name == "base" and first.image.directory == IMAGE
    assert begun <= first.image.imported_at_nanoseconds <= time.time_ns()
    count = sum(len(folders) + len(files) for _, folders, files in os.walk(IMAGE))
    size = sum(os.lstat(f"{folder}/{name}").st_size for folder, _, files in os.walk(IMAGE)
               for name in files if not os.path.islink(f"{folder}/{name}"))
    assert abs(first.image.files - count) <= 300 and first.image.files > 0, (first, count)
    assert first.image.bytes >= size // 2, (first, size)
    again = imported("base")
    assert again.existed and again.image == first.image
    copy = f"{agent.folder}/copy"
    shutil.copytree(IMAGE, copy, symlinks=True)
    refused(Code.ALREADY_EXISTS, calls.Import, images.ImportRequest(name="base", directory=copy))
    imported("registry.example/team/app:1.2", copy)
    imported("0")
    assert names() == ["0", "base", "registry.example/team/app:1.2"]
    assert list(agent.capacity().images) == names()
    for name in ("", "-a", "A", "a" * 129, "a b", "ä", "/a"):
        refused(Code.INVALID_ARGUMENT, calls.Import,
                images.ImportRequest(name=name, directory=IMAGE))
    for directory in ("", "relative", "a\0b"):
        refused(Code.INVALID_ARGUMENT, calls.Import,
                images.ImportRequest(name="x", directory=directory))
    refused(Code.INVALID_ARGUMENT, calls.Import, images.ImportRequest(name="x"))
    for directory in ("/no/such", "/etc/passwd"):
        refused(Code.FAILED_PRECONDITION, calls.Import,
                images.ImportRequest(name="x", directory=directory), "image_missing")
    agent.create("i", "true", image="base")
    held = calls.List(images.ListImagesRequest(), timeout=60).images
    assert [each.sandboxes for each in held] == [0, 1, 0]
    refused(Code.FAILED_PRECONDITION, calls.Remove, images.RemoveRequest(name="base"))
    assert not calls.Prune(images.PruneRequest(), timeout=60).removed and len(names()) == 3
    dry = calls.Prune(images.PruneRequest(dry_run=True, named=True), timeout=60)
    assert list(dry.removed) == ["0", "registry.example/team/app:1.2"] and len(names()) == 3
    calls.Remove(images.RemoveRequest(name="0"), timeout=60)
    refused(Code.NOT_FOUND, calls.Remove, images.RemoveRequest(name="0"))
    agent.restart()
    calls = agent.calls.images
    assert names() == ["base", "registry.example/team/app:1.2"]
    assert agent.get("i").spec.image == "base"
    agent.begin("i")
    assert agent.wait("i").outcome.exit_code == 0
    # A stopped one still counts.
    refused(Code.FAILED_PRECONDITION, calls.Remove, images.RemoveRequest(name="base"))
    pruned = calls.Prune(images.PruneRequest(named=True), timeout=60)
    assert list(pruned.removed) == ["registry.example/team/app:1.2"] and names() == ["base"]
    agent.delete("i")
    calls.Remove(images.RemoveRequest(name="base"), timeout=60)
    assert names() == [] and os.path.isdir(copy)
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
        id="i", spec=agent.spec(image="base")), "image_missing")


def info(agent):
    answer = agent.calls.node.Info(node.InfoRequest(), timeout=60)
    assert answer.node_name and answer.node_id and answer.version
    assert answer.kernel == platform.release() and answer.architecture == platform.machine()
    assert answer.booted_at_nanoseconds < answer.agent_started_at_nanoseconds <= time.time_ns()
    assert answer.cpu.name and answer.cpu.count == len(os.sched_getaffinity(0))
    assert list(answer.cpu.flags) == sorted(answer.cpu.flags) and answer.cpu.flags
    kinds = {each.kind: each for each in answer.isolations}
    assert api.types.ISOLATION_KIND_AUTO not in kinds
    assert kinds[api.types.ISOLATION_KIND_PROCESS].offered
    assert all(bool(each.reason) != each.offered for each in answer.isolations)
    assert [each.preferred for each in answer.isolations].count(True) == 1
    agent.restart()
    again = agent.calls.node.Info(node.InfoRequest(), timeout=60)
    assert again.node_id == answer.node_id
    assert again.agent_started_at_nanoseconds > answer.agent_started_at_nanoseconds
    with Agent() as other:
        assert other.calls.node.Info(node.InfoRequest(), timeout=60).node_id != answer.node_id


def asked_for(known):
    """What is reserved beside overheads."""
    overhead, = known.overheads
    return {field.name: getattr(known.reserved, field.name)
            - known.reserved.sandboxes * getattr(overhead.fixed, field.name)
            for field in node.Resources.DESCRIPTOR.fields}


def overhead(agent):
    """What a sandbox costs is measured of the first ones that run, and known from then on."""
    def told():
        each, = agent.capacity().overheads
        return each

    built_in = told()
    assert not built_in.measured_at_nanoseconds and not built_in.HasField("measured")
    assert not built_in.source
    stream = agent.calls.node.WatchCapacity(node.WatchCapacityRequest(), timeout=60)
    agent.run("a")
    first = next(each.capacity.overheads[0] for each in stream
                 if each.capacity.overheads[0].measured_at_nanoseconds)
    stream.cancel()
    assert 4096 <= first.measured.memory_bytes < 64 << 20 and first.measured.pids == 1, first
    assert first.fixed.memory_bytes == max(
        built_in.fixed.memory_bytes, first.measured.memory_bytes)
    assert first.fixed.pids == 1 and "PSS of alcove-init" in first.source
    # The one that was measured: what it shares is its own, as long as it is alone.
    with open(f"/proc/{agent.get('a').pid}/smaps_rollup") as file:
        pss = next(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    assert pss // 2 <= first.measured.memory_bytes, (pss, first)
    agent.restart()
    again = told()
    assert again.measured_at_nanoseconds >= first.measured_at_nanoseconds and again.source
    assert again.fixed.memory_bytes >= again.measured.memory_bytes
    agent.delete("a", force=True)


def capacity(agent):
    """What is reserved is the sum of what sandboxes ask for and cost."""
    empty = agent.capacity()
    assert empty.reserved == node.Resources() and empty.version >= 1 and empty.at_nanoseconds
    names = [field.name for field in node.Resources.DESCRIPTOR.fields]
    for name in names:
        assert 0 < getattr(empty.allocatable, name), name
        if name not in ("milli_cpus", "memory_bytes"):
            assert getattr(empty.allocatable, name) <= getattr(empty.total, name), name
    assert empty.total.milli_cpus == 1000 * os.cpu_count()
    overhead, = [o for o in empty.overheads if o.isolation == api.types.ISOLATION_KIND_PROCESS]
    assert overhead.fixed.memory_bytes > 0 and overhead.fixed.pids > 0
    assert empty.starts_limit > 0 and empty.over_commit.memory_permille == 1000
    limits = api.types.Limits(memory_bytes=64 << 20, milli_cpus=100, pids=50)
    agent.create("a", limits=limits, limit_policy=api.types.LIMIT_POLICY_BEST_EFFORT)
    one = agent.capacity()
    assert one.version > empty.version
    assert one.reserved.memory_bytes >= (64 << 20) + overhead.fixed.memory_bytes, one
    assert one.reserved.milli_cpus >= 100 and one.reserved.pids >= 50
    assert one.reserved.sandboxes == 1
    agent.create("b", limits=limits, limit_policy=api.types.LIMIT_POLICY_BEST_EFFORT)
    two = agent.capacity()
    for name in names:
        assert getattr(two.reserved, name) == 2 * getattr(one.reserved, name), name
    agent.begin("a")
    assert agent.capacity().reserved == two.reserved
    agent.restart()
    # What sandboxes cost may be known better by now.
    assert asked_for(agent.capacity()) == asked_for(two)
    agent.stop("a")
    assert asked_for(agent.capacity()) == asked_for(one)
    agent.delete("b")
    assert agent.capacity().reserved == node.Resources()
    agent.delete("a")
    # One without limits reserves the default.
    agent.create("c")
    usual = agent.capacity()
    assert usual.reserved.memory_bytes >= usual.default_request.memory_bytes
    assert usual.reserved.milli_cpus >= usual.default_request.milli_cpus
    agent.delete("c")
    # A start that fails gives everything back.
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
        id="d", spec=agent.spec("/no/such")))
    assert agent.capacity().reserved == node.Resources()


def watched_capacity(agent):
    stream = agent.calls.node.WatchCapacity(node.WatchCapacityRequest(
        heartbeat_nanoseconds=100_000_000, coalesce_nanoseconds=1_000_000), timeout=60)
    first = next(stream).capacity
    beat = next(stream).capacity
    assert beat.version >= first.version and beat.at_nanoseconds > first.at_nanoseconds
    agent.create("w")
    while next(stream).capacity.reserved.sandboxes != 1:
        pass
    agent.delete("w")
    while next(stream).capacity.reserved.sandboxes != 0:
        pass
    # Many changes come as few messages.
    quiet = agent.calls.node.WatchCapacity(node.WatchCapacityRequest(
        heartbeat_nanoseconds=60 * 10 ** 9, coalesce_nanoseconds=10 ** 9), timeout=60)
    next(quiet)
    before = agent.capacity().version
    for number in range(100):
        agent.create(f"c{number}")
    versions = []
    while not versions or versions[-1].reserved.sandboxes < 100:
        versions.append(next(quiet).capacity)
    numbers = [each.version for each in versions]
    assert numbers == sorted(set(numbers)), numbers
    assert len(numbers) <= 60 and agent.capacity().version > before, numbers
    quiet.cancel()
    refused(Code.INVALID_ARGUMENT, agent.calls.node.WatchCapacity,
            node.WatchCapacityRequest(heartbeat_nanoseconds=1))


def conditions(agent):
    return {each.kind for each in agent.capacity().conditions}


def draining(agent):
    Drain = agent.calls.node.Drain
    begin = node.DrainRequest(begin=node.DrainRequest.Begin())
    end = node.DrainRequest(end=node.DrainRequest.End())
    refused(Code.INVALID_ARGUMENT, Drain, node.DrainRequest())
    number = agent.last_event()
    request = api.sandboxes.CreateRequest(id="a", spec=agent.spec())
    agent.calls.sandboxes.Create(request, timeout=60)
    agent.create("waits")
    agent.begin("a")
    answer = Drain(begin, timeout=60)
    assert answer.draining and answer.remaining == 2 and answer.deadline_at_nanoseconds == 0
    assert conditions(agent) >= {node.Condition.KIND_DRAINING}
    assert node.Condition.KIND_DRAINED not in conditions(agent)
    new = api.sandboxes.CreateRequest(id="b", spec=agent.spec())
    assert refused(Code.UNAVAILABLE, agent.calls.sandboxes.Create, new).hint
    # What is there is still answered for.
    assert agent.calls.sandboxes.Create(request, timeout=60).existed
    agent.begin("waits")
    agent.restart()
    Drain = agent.calls.node.Drain
    refused(Code.UNAVAILABLE, agent.calls.sandboxes.Create, new)
    agent.stop("a")
    agent.delete("waits", force=True)
    eventually(lambda: node.Condition.KIND_DRAINED in conditions(agent))
    answer = Drain(end, timeout=60)
    assert not answer.draining and answer.remaining == 0
    assert not conditions(agent) & {node.Condition.KIND_DRAINING, node.Condition.KIND_DRAINED}
    agent.calls.sandboxes.Create(new, timeout=60)
    agent.begin("b")
    # With a deadline they are stopped, each with its grace.
    agent.run("c", "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done",
              stop_grace_nanoseconds=60 * 10 ** 9)
    eventually(lambda: agent.output("c") == b"up\n")
    answer = Drain(node.DrainRequest(begin=node.DrainRequest.Begin(
        deadline_nanoseconds=200_000_000)), timeout=60)
    assert answer.deadline_at_nanoseconds > time.time_ns() - 60 * 10 ** 9
    assert agent.wait("c").outcome.exit_code == 5
    assert agent.wait("b").outcome.exit_code == 143
    eventually(lambda: node.Condition.KIND_DRAINED in conditions(agent))
    assert Drain(end, timeout=60).draining is False
    Drain(end, timeout=60)
    kinds = [event.WhichOneof("kind") for event in agent.events(number + 1)]
    assert kinds.count("drain_started") == 2 and kinds.count("drain_ended") == 2, kinds


def health(agent):
    check = agent.calls.health.Check
    Request, Response = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    for name in ("", "alcove.v1.Sandboxes", "alcove.v1.Node", "alcove.v1.Images"):
        assert check(Request(service=name), timeout=60).status == Response.SERVING
    try:
        check(Request(service="alcove.v1.Other"), timeout=60)
        raise AssertionError("an unknown service has a health")
    except grpc.RpcError as error:
        assert error.code() == Code.NOT_FOUND
    watch = agent.calls.health.Watch(Request(), timeout=60)
    assert next(watch).status == Response.SERVING
    states = []

    def follow():
        try:
            for each in watch:
                states.append(each.status)
        except grpc.RpcError:
            pass

    thread = threading.Thread(target=follow)
    thread.start()
    assert agent.terminate() == 0
    thread.join()
    assert states == [Response.NOT_SERVING], states
    agent.start()


def reflection(agent):
    """A client that knows nothing learns every method from the agent."""
    database = ProtoReflectionDescriptorDatabase(agent.calls.channel)
    served = set(database.get_services())
    assert served >= {"alcove.v1.Sandboxes", "alcove.v1.Node", "alcove.v1.Images",
                      "grpc.health.v1.Health"}, served
    assert "alcove.v1.ControlPlane" not in served
    pool = descriptor_pool.DescriptorPool(database)
    for module, name in ((api.sandboxes, "Sandboxes"), (api.node, "Node"), (api.images, "Images")):
        ours = module.DESCRIPTOR.services_by_name[name]
        theirs = pool.FindServiceByName(f"alcove.v1.{name}")
        assert [(m.name, m.input_type.full_name, m.client_streaming, m.server_streaming)
                for m in ours.methods] == [
            (m.name, m.input_type.full_name, m.client_streaming, m.server_streaming)
            for m in theirs.methods]
        # Each method is there, whatever it says to an empty request.
        for method in ours.methods:
            if method.client_streaming:
                continue
            call = agent.calls.channel.unary_stream if method.server_streaming else \
                agent.calls.channel.unary_unary
            answer = call(f"/alcove.v1.{name}/{method.name}")
            try:
                result = answer(b"", timeout=60)
                if method.server_streaming:
                    result.cancel()
            except grpc.RpcError as error:
                assert error.code() != Code.UNIMPLEMENTED, method.name
    assert pool.FindMessageTypeByName("alcove.v1.ErrorDetail").fields_by_name["shortages"]


def with_agent(part):
    def run():
        with Agent() as agent:
            part(agent)
    run.__name__ = part.__name__
    return run


run_parts(*map(with_agent, (
    image_calls, info, overhead, capacity, watched_capacity, draining, health, reflection)))
