"""The services of gRPC itself, by the clients of Python's own packages. Starts its server itself."""
import os
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)
from grpc_tools import protoc
from support import SOCKET, channel, fails, unary

PROGRAM = sys.argv[3]
Code = grpc.StatusCode
PROTO = os.path.join(os.path.dirname(__file__), "../../../proto")
SERVICES = ["alcove.v1.Images", "alcove.v1.Networks", "alcove.v1.Node", "alcove.v1.Sandboxes",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection"]
TYPES, SANDBOXES = "alcove/v1/types.proto", "alcove/v1/sandboxes.proto"


def descriptors():
    """What protoc makes of the files that the server gives away, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        assert protoc.main(["", f"-I{PROTO}", "--include_imports", f"-o{folder}/set",
                            f"{PROTO}/{SANDBOXES}"]) == 0
        with open(f"{folder}/set", "rb") as file:
            files = FileDescriptorSet.FromString(file.read()).file
    return {file.name: file.SerializeToString() for file in files}


def health(one):
    stub = health_pb2_grpc.HealthStub(one)
    Response = health_pb2.HealthCheckResponse

    def request(name):
        return health_pb2.HealthCheckRequest(service=name)

    def put(text):
        unary(one, "SetHealth")(text, timeout=20)

    assert stub.Check(request(""), timeout=20).status == Response.SERVING
    assert stub.Check(request("test.Test"), timeout=20).status == Response.SERVING
    assert stub.Check(request("alcove.v1.Sandboxes"), timeout=20).status == Response.SERVING
    fails(Code.NOT_FOUND, stub.Check, request("other"), timeout=20)
    fails(Code.INVALID_ARGUMENT, one.unary_unary("/grpc.health.v1.Health/Check"), b"\xff",
          timeout=20)
    watch = stub.Watch(request("test.Test"), timeout=60)
    late = stub.Watch(request("late"), timeout=60)
    assert next(watch).status == Response.SERVING
    assert next(late).status == Response.SERVICE_UNKNOWN
    put(b"-test.Test")
    assert next(watch).status == Response.NOT_SERVING
    put(b"-test.Test")
    put(b"+late")
    assert next(late).status == Response.SERVING
    put(b"+test.Test")
    assert next(watch).status == Response.SERVING
    listed = stub.List(health_pb2.HealthListRequest(), timeout=20).statuses
    assert {name: value.status for name, value in listed.items()} == dict.fromkeys(
        ["", "late", "test.Test", *SERVICES], 1), listed
    # Changes that a watcher does not read do not pile up.
    for _ in range(200):
        put(b"-late")
        put(b"+late")
    watch.cancel()
    late.cancel()


def reflection(one, version, files):
    # The messages of both versions are the same.
    module = reflection_pb2
    converse = one.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=module.ServerReflectionRequest.SerializeToString,
        response_deserializer=module.ServerReflectionResponse.FromString)

    def ask(**keywords):
        request = module.ServerReflectionRequest(host="h", **keywords)
        answer, = converse(iter([request]), timeout=20)
        assert answer.valid_host == "h" and answer.original_request == request
        return answer

    services = [s.name for s in ask(list_services="").list_services_response.service]
    assert services == SERVICES, services
    types, sandboxes = files[TYPES], files[SANDBOXES]
    for name in ("alcove.v1.Sandboxes", "alcove.v1.Sandboxes.Create", "alcove.v1.CreateRequest",
                 "alcove.v1.ExecRequest.Start", ".alcove.v1.LogStream"):
        found = list(ask(file_containing_symbol=name)
                     .file_descriptor_response.file_descriptor_proto)
        assert found == [sandboxes, types], name
    assert list(ask(file_by_filename=TYPES)
                .file_descriptor_response.file_descriptor_proto) == [types]
    numbers = ask(all_extension_numbers_of_type="alcove.v1.Sandbox").all_extension_numbers_response
    assert numbers.base_type_name == "alcove.v1.Sandbox" and not numbers.extension_number
    for keywords in ({"file_by_filename": "none.proto"}, {"file_containing_symbol": "test.None"},
                     {"all_extension_numbers_of_type": "test.None"},
                     {"file_containing_extension": module.ExtensionRequest(
                         containing_type="alcove.v1.Sandbox", extension_number=118)}):
        assert ask(**keywords).error_response.error_code == Code.NOT_FOUND.value[0]
    assert ask().error_response.error_code == Code.INVALID_ARGUMENT.value[0]
    # Many questions in one stream, whose answers come in order.
    names = ["alcove.v1.Image", "test.None"] * 2000
    requests = (module.ServerReflectionRequest(file_containing_symbol=name) for name in names)
    answers = [answer.original_request.file_containing_symbol
               for answer in converse(requests, timeout=60)]
    assert answers == names


def generic(one):
    """A client that knows nothing learns everything."""
    database = ProtoReflectionDescriptorDatabase(one)
    pool = descriptor_pool.DescriptorPool(database)
    service = pool.FindServiceByName("alcove.v1.Sandboxes")
    assert service.methods_by_name["Get"].input_type.full_name == "alcove.v1.GetRequest"
    for name in database.get_services():
        assert pool.FindServiceByName(name).full_name == name


files = descriptors()
process = subprocess.Popen([PROGRAM, SOCKET, "grace=60000"], stdout=subprocess.PIPE, text=True)
try:
    assert process.stdout.readline() == "ready\n"
    with channel() as shared:
        health(shared)
        print("ok health", flush=True)
        reflection(shared, "v1", files)
        reflection(shared, "v1alpha", files)
        print("ok reflection", flush=True)
        generic(shared)
        print("ok generic", flush=True)
        # A watcher does not hold up a shutdown.
        watch = health_pb2_grpc.HealthStub(shared).Watch(
            health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        process.terminate()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        fails(Code.UNAVAILABLE, next, watch)
        assert process.wait(20) == 0
        print("ok shutdown", flush=True)
finally:
    process.kill()
    process.wait()
    process.stdout.close()
