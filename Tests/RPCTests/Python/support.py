"""What the scripts of the tests share: a channel, the server's counters and its memory."""
import os
import sys
import time

import grpc

SOCKET, PID = sys.argv[1], int(sys.argv[2])
OPTIONS = [("grpc.max_receive_message_length", 64 << 20),
           ("grpc.max_send_message_length", 64 << 20),
           ("grpc.use_local_subchannel_pool", 1)]


def channel(path=SOCKET, options=()):
    return grpc.insecure_channel(f"unix:{path}", options=[*OPTIONS, *options])


def unary(channel, name):
    return channel.unary_unary(f"/test.Test/{name}")


def server_stream(channel, name):
    return channel.unary_stream(f"/test.Test/{name}")


def client_stream(channel, name):
    return channel.stream_unary(f"/test.Test/{name}")


def both_stream(channel, name):
    return channel.stream_stream(f"/test.Test/{name}")


def fails(code, call, *arguments, **keywords):
    """The error of a call that must fail with this code."""
    try:
        result = call(*arguments, **keywords)
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()}: {error.details()}"
        return error
    raise AssertionError(f"no error, expected {code}")


def counters(path=SOCKET):
    with channel(path) as other:
        text = unary(other, "Statistics")(b"", timeout=20).decode()
    return {name: int(value) for name, value in (line.split(" ") for line in text.splitlines())}


def eventually(what, seconds=20):
    """Waits until something is true that another process makes so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.02)


def resident_kib():
    with open(f"/proc/{PID}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))
