"""Many calls at once, slow and vanished clients: what is held is bounded, and given back."""
import os
import signal
import subprocess
import sys
import threading

import grpc
from support import (PID, SOCKET, both_stream, channel, client_stream, counters, descriptors,
                     eventually, resident_kib, server_stream, unary)

MIB = 1024
# What another client process begins with.
PRELUDE = (f"import sys; sys.argv[1:] = {[SOCKET, str(PID)]!r}; sys.path = {sys.path!r}\n"
           "from support import *\n")


def concurrent():
    with channel() as one:
        calls = [unary(one, "Slow").future(b"500") for _ in range(500)]
        eventually(lambda: counters()["open"] == 501)
        assert all(call.result(timeout=30) == b"500" for call in calls)
        echoes = [unary(one, "Echo").future(b"%d" % n) for n in range(2000)]
        assert all(call.result(timeout=30) == b"%d" % n for n, call in enumerate(echoes))
    channels = [channel() for _ in range(50)]
    for n, one in enumerate(channels):
        assert unary(one, "Echo")(b"%d" % n, timeout=20) == b"%d" % n
    assert counters()["connections"] >= 50
    for one in channels:
        one.close()


def small_messages():
    with channel() as one:
        call = server_stream(one, "Count")(b"50000", timeout=60)
        assert sum(1 for _ in call) == 50000
        # The same with a client that takes one and then nothing for a while.
        before = resident_kib()
        call = server_stream(one, "Count")(b"5000000", timeout=60)
        assert next(call) == b"1"
        for _ in range(50):
            assert counters()["held"] < 1 << 20
        assert resident_kib() - before < 4 * MIB, (before, resident_kib())
        assert next(call) == b"2"
        call.cancel()


def slow_readers():
    """Clients that are stopped: each leaves the server with a bounded rest."""
    before = resident_kib()
    script = (PRELUDE +
              "with channel() as one:\n"
              "    calls = [server_stream(one, 'Flood')(b'') for _ in range(4)]\n"
              "    [next(call) for call in calls]\n"
              "    print('streaming', flush=True)\n"
              "    [None for _ in calls[0]]\n")
    clients = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
               for _ in range(3)]
    try:
        for client in clients:
            assert client.stdout.readline() == b"streaming\n"
            os.kill(client.pid, signal.SIGSTOP)
        for _ in range(50):
            assert counters()["held"] < 12 * (80 << 10)
        assert resident_kib() - before < 8 * MIB, (before, resident_kib())
        assert counters()["open"] == 13
    finally:
        for client in clients:
            client.kill()
            client.wait()
            client.stdout.close()
    eventually(lambda: counters()["open"] == 1 and counters()["held"] < 1000)


def fast_writer():
    """A handler that takes nothing: its client is held by the windows, other calls are not."""
    before = resident_kib()
    sent = 0
    stop = threading.Event()

    def messages():
        nonlocal sent
        while not stop.is_set():
            sent += 1
            yield bytes(1024)

    with channel() as one:
        future = client_stream(one, "Paused").future(messages())
        previous = -1
        # Until what is sent stands still over many calls beside it.
        quiet = 0
        while quiet < 100:
            assert unary(one, "Echo")(b"beside", timeout=20) == b"beside"
            quiet = quiet + 1 if sent == previous else 0
            previous = sent
        assert sent < 2048, sent
        assert counters()["held"] < 300 << 10
        assert resident_kib() - before < 4 * MIB
        stop.set()
        future.cancel()
    eventually(lambda: counters()["open"] == 1)


def vanished():
    before = descriptors(), counters().get("connectionLost", 0)
    script = (PRELUDE +
              "one = channel()\ncalls = [server_stream(one, 'Tick')(b'') for _ in range(20)]\n"
              "[next(call) for call in calls]\nprint('streaming', flush=True)\n"
              "[None for _ in calls[0]]\n")
    for _ in range(3):
        client = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert client.stdout.readline() == b"streaming\n"
        client.kill()
        client.wait()
        client.stdout.close()
    eventually(lambda: counters().get("connectionLost", 0) == before[1] + 60)
    eventually(lambda: descriptors() <= before[0])


def flat():
    """Thousands of calls and connections leave no memory and no descriptor behind."""
    def round():
        with channel() as one:
            for _ in range(300):
                unary(one, "Echo")(b"x" * 100, timeout=20)
            calls = [both_stream(one, "Chat")(iter([b"a", b"b"]), timeout=20) for _ in range(20)]
            assert all(len(list(call)) == 3 for call in calls)
            for _ in range(20):
                call = server_stream(one, "Flood")(b"")
                next(call)
                call.cancel()

    for _ in range(3):
        round()
    eventually(lambda: counters()["connections"] == 1)
    before = resident_kib(), descriptors()
    for _ in range(10):
        round()
    eventually(lambda: counters()["connections"] == 1 and counters()["held"] < 1000)
    assert resident_kib() - before[0] < 2 * MIB, (before, resident_kib())
    eventually(lambda: descriptors() <= before[1])


for part in (concurrent, small_messages, slow_readers, fast_writer, vanished, flat):
    part()
    print("ok", part.__name__, resident_kib(), "KiB", flush=True)
