"""Who may connect, which socket file is replaced, and how a server shuts down. Starts the servers
itself: SOCKET is the path of each, and the third argument the program."""
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import grpc
from frames import GOAWAY, PING, ACK, Raw, frame, message
from support import SOCKET, channel, counters, eventually, fails, server_stream, unary

PROGRAM = sys.argv[3]
Code = grpc.StatusCode


@contextlib.contextmanager
def server(*options, **keywords):
    process = subprocess.Popen([PROGRAM, SOCKET, *options], stdout=subprocess.PIPE, text=True,
                               **keywords)
    process.first = process.stdout.readline().strip()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def echoes(path=SOCKET):
    with channel(path) as one:
        return unary(one, "Echo")(b"x", timeout=20) == b"x"


def mode_and_group():
    with server("mode=432", "group=7") as process:
        assert process.first == "ready"
        status = os.stat(SOCKET)
        assert stat.S_IMODE(status.st_mode) == 0o660 and status.st_gid == 7
        assert echoes()


def stale():
    with server() as first:
        assert first.first == "ready"
        with server() as second:
            assert second.first == f"failed: bind `{SOCKET}`: Address already in use", second.first
        assert echoes()
    # Killed: its file is left, and the next server replaces it.
    assert os.path.exists(SOCKET)
    with server() as third:
        assert third.first == "ready" and echoes()
        third.send_signal(signal.SIGTERM)
        assert third.wait(20) == 0
    assert not os.path.exists(SOCKET)
    with open(SOCKET, "w") as file:
        file.write("precious")
    with server() as fourth:
        assert fourth.first.startswith("failed: bind"), fourth.first
    with open(SOCKET) as file:
        assert file.read() == "precious"
    os.unlink(SOCKET)
    # One whose path another server has taken over leaves that one's alone.
    with server() as fifth:
        os.unlink(SOCKET)
        with server() as sixth:
            fifth.send_signal(signal.SIGTERM)
            assert fifth.wait(20) == 0 and sixth.first == "ready" and echoes()


def users():
    with server(f"uid={os.getuid() + 1}") as process:
        for _ in range(3):
            raw = Raw(SOCKET, hello=False)
            assert raw.closed()
        with channel() as one:
            fails(Code.UNAVAILABLE, unary(one, "Echo"), b"x", timeout=20)
        assert process.poll() is None
    with server(f"uid={os.getuid()}"):
        assert echoes() and counters()["denied"] == 0


def inherited():
    os.unlink(SOCKET)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(SOCKET)
    listening.listen(10)
    number = listening.fileno()
    with server(f"inherited={number}", pass_fds=(number,)) as process:
        assert process.first == "ready" and echoes()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    # The path is not the server's to remove, and the next one goes on with it.
    with server(f"inherited={number}", pass_fds=(number,)) as process:
        assert echoes()
    listening.close()
    os.unlink(SOCKET)
    with open("/dev/null") as file:
        number = file.fileno()
        with server(f"inherited={number}", pass_fds=(number,)) as process:
            assert process.first.startswith("failed: getsockopt"), process.first


def read_only():
    with server("readonly=1"):
        path = SOCKET + ".ro"
        assert echoes(path)
        with channel(path) as one:
            fails(Code.PERMISSION_DENIED, unary(one, "Big"), b"1", timeout=20)
            fails(Code.UNIMPLEMENTED, unary(one, "Missing"), b"1", timeout=20)
        with channel() as one:
            assert unary(one, "Big")(b"1", timeout=20) == b"x"


def graceful():
    """Calls that run finish; new ones are refused; the program ends when the last is done."""
    with server("grace=60000") as process:
        with channel() as one, channel() as idle:
            assert unary(idle, "Echo")(b"x", timeout=20) == b"x"
            call = unary(one, "Slow").future(b"1000", timeout=20)
            stream = server_stream(one, "Count")(b"5000", timeout=20)
            assert next(stream) == b"1"
            process.send_signal(signal.SIGTERM)
            eventually(lambda: not os.path.exists(SOCKET))
            with channel() as late:
                fails(Code.UNAVAILABLE, unary(late, "Echo"), b"x", timeout=20)
            assert sum(1 for _ in stream) == 4999
            assert call.result() == b"1000"
            assert process.wait(20) == 0


def goaway():
    """On the wire: an announcement, then the last stream; a call between both is answered."""
    with server("grace=60000") as process:
        raw = Raw(SOCKET)
        slow = raw.call(path=b"/test.Test/Slow", body=message(b"300"))
        assert raw.status(raw.call())["grpc-status"] == "0"
        process.send_signal(signal.SIGTERM)
        _, _, _, first = raw.until(GOAWAY)
        assert first[:4] == b"\x7f\xff\xff\xff" and first[4:8] == bytes(4)
        assert raw.status(raw.call())["grpc-status"] == "0"
        raw.send(frame(PING, ACK, 0, bytes(8)))
        last = raw.stream
        _, _, _, second = raw.until(GOAWAY)
        assert second[:8] == last.to_bytes(4, "big") + bytes(4), second
        raw.call()
        assert raw.status(slow)["grpc-status"] == "0"
        assert raw.closed() and process.wait(20) == 0


def grace_ends():
    with server("grace=200") as process:
        with channel() as one:
            call = unary(one, "Ignore").future(b"", timeout=60)
            stream = server_stream(one, "Flood")(b"", timeout=60)
            next(stream)
            raw = Raw(SOCKET, hello=False)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            error = fails(Code.UNAVAILABLE, call.result)
            assert error.details() == "the server shuts down", error.details()


def keepalive():
    with server("keepalive=100", "keepalive-timeout=100"):
        raw = Raw(SOCKET)
        kind, flags, _, payload = raw.until(PING)
        raw.send(frame(PING, ACK, 0, payload))
        assert raw.until(PING)
        assert raw.closed()
        assert counters()["broken"] == 1


for part in (mode_and_group, stale, users, inherited, read_only, graceful, goaway, grace_ends,
             keepalive):
    part()
    print("ok", part.__name__, flush=True)
