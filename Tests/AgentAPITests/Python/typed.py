"""The typed endpoints of a test, called by grpcio with the messages of Google's implementation.

usage: typed.py SOCKET INCLUDE
"""
import os
import sys
import tempfile

import grpc
import grpc_tools.protoc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SOCKET, INCLUDE = sys.argv[1:3]
Code = grpc.StatusCode


def load():
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "set")
        assert grpc_tools.protoc.main(
            ["", f"-I{INCLUDE}", "--include_imports", f"-o{target}",
             f"{INCLUDE}/alcove/v1/sandboxes.proto", f"{INCLUDE}/google/rpc/status.proto"]) == 0
        with open(target, "rb") as file:
            files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


kind = load()
alcove = lambda name: kind(f"alcove.v1.{name}")
channel = grpc.insecure_channel(f"unix:{SOCKET}")


def method(make, path, response):
    return make(path, request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=alcove(response).FromString)


get = method(channel.unary_unary, "/alcove.v1.Sandboxes/Get", "GetResponse")
create = method(channel.unary_unary, "/alcove.v1.Sandboxes/Create", "CreateResponse")
watch = method(channel.unary_stream, "/alcove.v1.Sandboxes/Watch", "Event")
run = method(channel.stream_stream, "/alcove.v1.Sandboxes/Exec", "ExecResponse")
gather = method(channel.stream_unary, "/test.Test/Gather", "WaitResponse")
Request = alcove("ExecRequest")


def fails(call, *arguments):
    """The code, the message and the detail of a call that must fail."""
    try:
        result = call(*arguments, timeout=60)
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                status = kind("google.rpc.Status").FromString(value)
                assert status.code == error.code().value[0] and status.message == error.details()
                packed, = status.details
                assert packed.type_url == "type.googleapis.com/alcove.v1.ErrorDetail"
                return error.code(), error.details(), alcove("ErrorDetail").FromString(packed.value)
        return error.code(), error.details(), None
    raise AssertionError("it does not fail")


def unary():
    assert get(alcove("GetRequest")(id="a"), timeout=60).sandbox.pid == 7
    code, message, detail = fails(get, alcove("GetRequest")(id="missing"))
    assert (code, message) == (Code.NOT_FOUND, "there is no sandbox `missing`")
    assert (detail.code, detail.hint) == ("no_such_sandbox", "`alcove ps` lists them")
    spec = alcove("SandboxSpec")(image="base", command=["x"], user="3:4", environment=["A=b"])
    answer = create(alcove("CreateRequest")(id="a", spec=spec), timeout=60).sandbox.spec
    assert answer == spec, answer
    spec.limit_policy = 77
    code, message, detail = fails(create, alcove("CreateRequest")(id="a", spec=spec))
    assert code == Code.INVALID_ARGUMENT and "`spec.limit_policy`" in message, message
    assert detail.code == "invalid_request" and "STRICT" in detail.hint
    code, _, detail = fails(create, alcove("CreateRequest")(id="full"))
    shortage, = detail.shortages
    assert code == Code.RESOURCE_EXHAUSTED
    assert (shortage.resource, shortage.requested, shortage.available) == (2, 1 << 40, 5)


def undecodable():
    def raw(make, path):
        return make(path, request_serializer=lambda bytes: bytes, response_deserializer=None)
    code, message, detail = fails(raw(channel.unary_unary, "/alcove.v1.Sandboxes/Get"), b"\x0a\xff")
    assert code == Code.INVALID_ARGUMENT and detail.code == "invalid_request"
    assert message == "the request is no alcove.v1.GetRequest: the message ends within a value"
    start = Request(start=Request.Start(sandbox_id="a")).SerializeToString()
    code, message, _ = fails(raw(channel.stream_stream, "/alcove.v1.Sandboxes/Exec"),
                             iter([start, b"\x08\x01"]))
    assert code == Code.INVALID_ARGUMENT and "no alcove.v1.ExecRequest: " in message, message


def streams():
    request = alcove("WatchRequest")
    numbers = [event.number for event in watch(request(from_number=3, sandbox_ids=["5000"]))]
    assert numbers == list(range(3, 5001))
    events = watch(request(from_number=1))
    assert next(events).number == 1
    events.cancel()
    assert gather(iter([Request(signal=1)] * 500), timeout=60).sandbox.outcome.exit_code == 500
    requests = [Request(start=Request.Start(sandbox_id="a"))]
    requests += [Request(stdin=bytes((number,)) * 50_000) for number in range(100)]
    answers = list(run(iter(requests), timeout=60))
    assert answers[0].started.pid == 5 and answers[-1].exit.code == 4
    assert [answer.stdout for answer in answers[1:-1]] == [item.stdin for item in requests[1:]]
    answers = list(run(iter([requests[0], Request(signal=9)]), timeout=60))
    assert answers[-1].exit.signal.number == 9


unary()
undecodable()
streams()
