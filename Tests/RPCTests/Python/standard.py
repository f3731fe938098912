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
BASE = """
syntax = "proto2";
package base;
message Extended { optional string a = 1; extensions 100 to 200; }
"""
MAIN = """
syntax = "proto2";
package test;
import "base.proto";
message Question {
  message Inner { enum Kind { FIRST = 0; } optional Kind kind = 1; }
  optional Inner inner = 1;
  oneof either { string left = 2; string right = 3; }
}
enum Colour { RED = 0; GREEN = 1; }
extend base.Extended { optional string more = 117; }
service Test { rpc Echo(Question) returns (base.Extended); }
"""


def descriptors():
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("base.proto", BASE), ("main.proto", MAIN)):
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        assert protoc.main(["", f"-I{folder}", "--include_imports", f"-o{folder}/set",
                            f"{folder}/main.proto"]) == 0
        with open(f"{folder}/set", "rb") as file:
            return [file.SerializeToString() for file in FileDescriptorSet.FromString(
                file.read()).file]


def health(one):
    stub = health_pb2_grpc.HealthStub(one)
    Response = health_pb2.HealthCheckResponse

    def request(name):
        return health_pb2.HealthCheckRequest(service=name)

    def put(text):
        unary(one, "SetHealth")(text, timeout=20)

    assert stub.Check(request(""), timeout=20).status == Response.SERVING
    assert stub.Check(request("test.Test"), timeout=20).status == Response.SERVING
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
    assert {name: value.status for name, value in listed.items()} == {
        "": 1, "late": 1, "test.Test": 1}
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
    assert services == ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                        "grpc.reflection.v1alpha.ServerReflection", "test.Test"], services
    base, main = files
    for name in ("test.Test", "test.Test.Echo", "test.Question", "test.Question.Inner",
                 "test.Question.Inner.Kind", "test.Question.Inner.FIRST", "test.Question.inner",
                 "test.Question.either", "test.Question.left", "test.Colour", "test.GREEN",
                 "test.more"):
        found = list(ask(file_containing_symbol=name)
                     .file_descriptor_response.file_descriptor_proto)
        assert found == [main, base], name
    assert list(ask(file_by_filename="base.proto")
                .file_descriptor_response.file_descriptor_proto) == [base]
    found = ask(file_containing_extension=module.ExtensionRequest(
        containing_type="base.Extended", extension_number=117))
    assert list(found.file_descriptor_response.file_descriptor_proto) == [main, base]
    numbers = ask(all_extension_numbers_of_type="base.Extended").all_extension_numbers_response
    assert list(numbers.extension_number) == [117]
    for keywords in ({"file_by_filename": "none.proto"}, {"file_containing_symbol": "test.None"},
                     {"all_extension_numbers_of_type": "test.None"},
                     {"file_containing_extension": module.ExtensionRequest(
                         containing_type="base.Extended", extension_number=118)}):
        assert ask(**keywords).error_response.error_code == Code.NOT_FOUND.value[0]
    assert ask().error_response.error_code == Code.INVALID_ARGUMENT.value[0]
    # Many questions in one stream, whose answers come in order.
    names = ["test.Test", "test.None"] * 2000
    requests = (module.ServerReflectionRequest(file_containing_symbol=name) for name in names)
    answers = [answer.original_request.file_containing_symbol
               for answer in converse(requests, timeout=60)]
    assert answers == names


def generic(one):
    """A client that knows nothing learns everything."""
    database = ProtoReflectionDescriptorDatabase(one)
    pool = descriptor_pool.DescriptorPool(database)
    service = pool.FindServiceByName("test.Test")
    assert service.methods_by_name["Echo"].input_type.full_name == "test.Question"
    for name in database.get_services():
        assert pool.FindServiceByName(name).full_name == name


files = descriptors()
reader, writer = os.pipe()
process = subprocess.Popen([PROGRAM, SOCKET, f"descriptors={reader}", "grace=60000"], pass_fds=(reader,),
                           stdout=subprocess.PIPE, text=True)
os.close(reader)
with open(writer, "wb") as pipe:
    for file in files:
        pipe.write(len(file).to_bytes(4, "big") + file)
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
