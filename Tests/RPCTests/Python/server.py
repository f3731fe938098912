"""A server by grpcio with the methods of RPCTestServer that clients are tried with."""
import signal
import sys
import threading
import time
from concurrent import futures

# Before there are threads that it could end.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
import grpc

SOCKET = sys.argv[1]
cancelled = 0
lock = threading.Lock()


def number(request):
    return int(request or b"0")


def watch_end(context):
    def ended():
        global cancelled
        with lock:
            cancelled += 1
    context.add_callback(ended)


def big(request, context):
    return b"x" * number(request)


def metadata(request, context):
    kept = [(name, value) for name, value in context.invocation_metadata()
            if name.startswith("x-")]
    context.send_initial_metadata(kept)
    context.set_trailing_metadata([("t-" + name, value) for name, value in kept])
    return request


def abort(context, code, message, details):
    context.set_trailing_metadata((("grpc-status-details-bin", details), ("x-why", "asked for")))
    context.abort(code, message)


def fail(request, context):
    value = number(request)
    code = next(code for code in grpc.StatusCode if code.value[0] == value)
    abort(context, code, "fails: 100 % as asked\nünlücky 🙈", bytes((8, value)))


def fail_late(request, context):
    yield b"1"
    yield b"2"
    abort(context, grpc.StatusCode.DATA_LOSS, "no more", bytes((8, 15)))


def slow(request, context):
    time.sleep(number(request) / 1000)
    return request


def ignore(requests, context):
    watch_end(context)
    for _ in requests:
        pass
    while context.is_active():
        time.sleep(0.01)
    return iter(())


def sum_all(requests, context):
    return b"%d" % sum(number(request) for request in requests)


def collect(requests, context):
    count = size = 0
    for request in requests:
        count += 1
        size += len(request)
    return b"%d %d" % (count, size)


def count_up(request, context):
    for value in range(1, number(request) + 1):
        yield b"%d" % value


def flood(request, context):
    watch_end(context)
    while context.is_active():
        yield b"y" * 1024


def chat(requests, context):
    context.send_initial_metadata(())
    for request in requests:
        yield b"re: " + request
    yield b"bye"


def statistics(request, context):
    with lock:
        return b"byClient %d" % cancelled


unary = grpc.unary_unary_rpc_method_handler
METHODS = {
    "Echo": unary(lambda request, context: request),
    "Big": unary(big),
    "Metadata": unary(metadata),
    "Fail": unary(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Slow": unary(slow),
    "Ignore": grpc.stream_stream_rpc_method_handler(ignore),
    "Sum": grpc.stream_unary_rpc_method_handler(sum_all),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Count": grpc.unary_stream_rpc_method_handler(count_up),
    "Flood": grpc.unary_stream_rpc_method_handler(flood),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Statistics": unary(statistics),
}
server = grpc.server(futures.ThreadPoolExecutor(64), options=[
    ("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", METHODS),))
server.add_insecure_port(f"unix:{SOCKET}")
server.start()
print("ready", flush=True)
signal.sigwait({signal.SIGTERM})
server.stop(30).wait()
print("stopped", flush=True)
