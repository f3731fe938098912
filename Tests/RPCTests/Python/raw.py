"""What no proper client sends. The server runs with `handshake=300 connections=20`."""
import os
import random
import socket
import struct
import sys

import grpc
from frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING,
                    PREFACE, RST, SETTINGS, WINDOW, Raw, block, frame, message, request)
from support import SOCKET, channel, counters, descriptors, eventually, resident_kib, unary


def alone():
    """Whether the connections of this script are gone."""
    return counters()["connections"] == 1


def garbage():
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(5000), b"\0" * 100,
                 PREFACE[:-1] + b"x", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"):
        raw = Raw(SOCKET, hello=False)
        raw.send(data)
        assert raw.closed()
    # The right words, then nonsense: an error of the connection.
    raw = Raw(SOCKET)
    raw.send(b"\xff" * 1000)
    assert raw.until(GOAWAY) and raw.closed()
    eventually(alone)


def slow():
    before = counters()["broken"]
    quiet = Raw(SOCKET, hello=False)
    half = Raw(SOCKET, hello=False)
    half.send(PREFACE[:10])
    no_settings = Raw(SOCKET, hello=False)
    no_settings.send(PREFACE)
    open_block = Raw(SOCKET)
    open_block.send(frame(HEADERS, 0, 1, request()[:10]))
    for raw in (quiet, half, no_settings, open_block):
        assert raw.closed()
    assert counters()["broken"] == before + 4
    # A client that has said hello may stay quiet.
    raw = Raw(SOCKET)
    assert raw.status(raw.call(path=b"/test.Test/Slow", body=message(b"600")))["grpc-status"] == "0"
    raw.close()


def heads():
    raw = Raw(SOCKET)
    assert raw.status(raw.call())["grpc-status"] == "0"
    fields = raw.status(raw.call(content=b"application/json"))
    assert fields[":status"] == "415" and fields["grpc-status"] == "2", fields
    assert raw.status(raw.call(content=b"application/grpc-web"))[":status"] == "415"
    assert raw.status(raw.call(content=None))[":status"] == "415"
    assert raw.status(raw.call(method=b"GET"))[":status"] == "405"
    for content in (b"application/grpc+proto", b"application/grpc;x=y"):
        assert raw.status(raw.call(content=content))["grpc-status"] == "0"
    for path in (b"/", b"", b"*", b"/test.Test/Echo/", b"//", b"/\xff\xfe"):
        fields = raw.status(raw.call(path=path))
        assert fields["grpc-status"] == "12", (path, fields)
    timeouts = [(b"1S", "0"), (b"99999999H", "0"), (b"10000m", "0"), (b"99999999u", "0"),
                (b"0n", "4"), (b"1n", "4"), (b"123456789S", "13"), (b"S", "13"), (b"1", "13"),
                (b"1s", "13"), (b"-1S", "13"), (b"1 S", "13"), (b"", "13")]
    for value, status in timeouts:
        path = b"/test.Test/Ignore" if status == "4" else b"/test.Test/Echo"
        fields = raw.status(raw.call(path=path, extra=[(b"grpc-timeout", value)]))
        assert fields["grpc-status"] == status, (value, fields)
    bad = [(b"x-bin", b"!!"), (b"x-bin", b"A"), (b"x-a", b"a\nb"), (b"x-a", b"\x80"),
           (b"X-Upper", b"a"), (b"x y", b"a")]
    for field in bad:
        fields = raw.status(raw.call(extra=[field]))
        assert fields["grpc-status"] == "13", (field, fields)
    # An authority as some clients make it of the path.
    fields = block([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/test.Test/Echo"),
                    (b":authority", b"/run/x y/a.sock"), (b"content-type", b"application/grpc")])
    raw.stream += 2
    raw.send(frame(HEADERS, END_HEADERS, raw.stream, fields)
             + frame(DATA, END_STREAM, raw.stream, message(b"z")))
    assert raw.status(raw.stream)["grpc-status"] == "0"
    # Trailers of a client end its side.
    raw.call(ends=False)
    raw.send(frame(HEADERS, END_HEADERS | END_STREAM, raw.stream, block([(b"x-t", b"1")])))
    assert raw.status(raw.stream)["grpc-status"] == "0"
    # A second header block in the middle does not.
    raw.call(ends=False)
    raw.send(frame(HEADERS, END_HEADERS, raw.stream, block([(b"x-t", b"1")])))
    assert raw.answers(raw.stream)[-1][0] == RST
    raw.close()


def bodies():
    raw = Raw(SOCKET)
    fields = raw.status(raw.call(body=message(b"x", flag=1)))
    assert fields["grpc-status"] == "12" and fields["grpc-accept-encoding"] == "identity", fields
    for body, status in ((message(b"x", flag=2), "13"), (message(b"xyz")[:-1], "13"),
                         (b"\0\0", "13"), (b"", "13"), (message(b"x") * 2, "13"),
                         (b"\0\xff\xff\xff\xff", "8"), (struct.pack(">BI", 0, 4194305), "8")):
        fields = raw.status(raw.call(body=body))
        assert fields["grpc-status"] == status, (body, fields)
    # No body at all, and one byte in each frame.
    assert raw.status(raw.call(body=None))["grpc-status"] == "13"
    raw.call(body=None, ends=False)
    for byte in message(b"slowly"):
        raw.send(frame(DATA, 0, raw.stream, bytes((byte,))))
    raw.send(frame(DATA, END_STREAM, raw.stream))
    data = b"".join(got[3] for got in raw.answers(raw.stream) if got[0] == DATA)
    assert data == message(b"slowly"), data
    # Refused before the client has sent everything: it is told to stop, without an error.
    stream = raw.call(path=b"/test.Test/None", ends=False)
    assert raw.status(stream)["grpc-status"] == "12"
    kind, _, _, code = raw.until(RST, stream)
    assert code == bytes(4)
    # A pile of data on it now is no harm.
    raw.send(frame(DATA, 0, stream, bytes(1000)))
    assert raw.status(raw.call())["grpc-status"] == "0"
    raw.close()


def floods():
    raw = Raw(SOCKET)
    for n in range(50):
        raw.send(frame(PING, 0, 0, struct.pack(">Q", n)))
    assert raw.until(PING)[1] & ACK
    try:
        for n in range(3000):
            raw.send(frame(PING, 0, 0, struct.pack(">Q", n)))
    except ConnectionError:
        pass
    assert raw.closed()
    # Pings whose answers nobody takes; settings; resets; empty frames; header blocks in pieces.
    before = resident_kib()
    kinds = [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 70000)),
             frame(DATA, 0, 1), frame(2, 0, 3, bytes(5)), frame(WINDOW, 0, 0, b"\0\0\0\1"),
             frame(250, 0, 0, bytes(100))]
    for data in kinds:
        raw = Raw(SOCKET)
        raw.call(path=b"/test.Test/Ignore", ends=False)
        raw.socket.settimeout(0.3)
        try:
            for _ in range(300):
                raw.send(data * 100)
        except (ConnectionError, TimeoutError):
            pass
        raw.close()
    raw = Raw(SOCKET)
    try:
        for n in range(30000):
            stream = raw.call(path=b"/test.Test/Ignore", body=None, ends=False)
            raw.send(frame(RST, 0, stream, struct.pack(">I", 8)))
        assert raw.until(GOAWAY)
    except ConnectionError:
        pass
    raw.close()
    raw = Raw(SOCKET)
    try:
        raw.send(frame(HEADERS, 0, 1, request()))
        for _ in range(1000):
            raw.send(frame(CONTINUATION, 0, 1, block([(b"x-a", b"b" * 100)]) * 50))
    except ConnectionError:
        pass
    assert raw.closed()
    eventually(alone)
    assert resident_kib() - before < 8 << 10, (before, resident_kib())


def streams():
    """More calls than are allowed at once are refused; the others go on."""
    raw = Raw(SOCKET)
    first = raw.call(path=b"/test.Test/Ignore", body=None, ends=False)
    for _ in range(2047):
        raw.call(path=b"/test.Test/Ignore", body=None, ends=False)
    eventually(lambda: counters()["open"] == 2049)
    over = raw.call()
    kind, _, _, code = raw.until(RST, over)
    assert code == struct.pack(">I", 7), code
    raw.send(frame(RST, 0, first, struct.pack(">I", 8)))
    assert raw.status(raw.call())["grpc-status"] == "0"
    raw.close()
    eventually(lambda: counters()["open"] == 1)


def windows():
    """A client that opens no window gets no data, and costs what it asked for."""
    raw = Raw(SOCKET, settings=[(4, 0)])
    before = resident_kib()
    for _ in range(100):
        raw.call(path=b"/test.Test/Flood")
    stream = raw.stream
    eventually(lambda: counters()["open"] == 101)
    held = counters()["held"]
    assert 100 * 65536 <= held < 100 * 70000, held
    assert resident_kib() - before < 20 << 10
    raw.send(frame(WINDOW, 0, stream, struct.pack(">I", 5)))
    assert raw.until(DATA, stream)[3] == b"\0\0\0\4\0"
    # A finished call whose answer waits ends by its deadline.
    raw.call(path=b"/test.Test/Big", body=message(b"1000"), extra=[(b"grpc-timeout", b"50m")])
    assert raw.until(RST, raw.stream)
    # And the whole is refused when too much waits.
    raw.close()
    eventually(lambda: counters()["held"] < 1000)


def half_open():
    """Clients that end their side, or go away in the middle of everything."""
    raw = Raw(SOCKET)
    raw.call(path=b"/test.Test/Tick")
    raw.until(DATA)
    raw.socket.shutdown(socket.SHUT_WR)
    assert raw.closed()
    generator = random.Random(7)
    whole = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, request()) + \
        frame(DATA, END_STREAM, 1, message(b"hello"))
    for _ in range(200):
        raw = Raw(SOCKET, hello=False)
        raw.send(whole[:generator.randrange(len(whole))])
        raw.close()
    eventually(lambda: alone() and counters()["open"] == 1)


def connections():
    eventually(alone)
    before = counters()["excess"]
    with channel() as one:
        # The call before may still be going away.
        eventually(lambda: b"\nconnections 1\n" in unary(one, "Statistics")(b"", timeout=20))
        raws = [Raw(SOCKET) for _ in range(19)]
        for raw in raws:
            assert raw.status(raw.call())["grpc-status"] == "0"
        over = Raw(SOCKET, hello=False)
        assert over.closed()
        assert unary(one, "Echo")(b"x", timeout=20) == b"x"
    for raw in raws:
        raw.close()
    eventually(alone)
    assert counters()["excess"] == before + 1


def fuzz():
    """Good traffic with bytes changed, dropped, doubled: the server stays, whatever becomes of the
    connection."""
    seeds = range(int(os.environ.get("FUZZ_SEEDS", "400")))
    for seed in seeds:
        generator = random.Random(seed)
        parts = [frame(SETTINGS, 0, 0, struct.pack(">HI", 4, generator.randrange(1 << 20)))]
        for stream in range(1, 20, 2):
            name = generator.choice((b"Echo", b"Sum", b"Chat", b"Count", b"Paused", b"Collect"))
            parts.append(frame(HEADERS, END_HEADERS, stream, request(b"/test.Test/" + name)))
            parts.append(frame(DATA, generator.randrange(2), stream,
                               message(b"%d" % generator.randrange(1000))))
            parts.append(generator.choice((
                frame(RST, 0, stream, bytes(4)), frame(PING, 0, 0, bytes(8)), b"",
                frame(WINDOW, 0, stream, struct.pack(">I", generator.randrange(1 << 31))),
                frame(GOAWAY, 0, 0, bytes(8)),
                frame(HEADERS, END_HEADERS | END_STREAM, stream, block([(b"x", b"y")])))))
        for _ in range(generator.randrange(4)):
            index = generator.randrange(len(parts))
            kind = generator.randrange(4)
            if kind == 0:
                parts[index] = parts[index][:generator.randrange(len(parts[index]) + 1)]
            elif kind == 1:
                parts.insert(index, parts[generator.randrange(len(parts))])
            elif kind == 2:
                changed = bytearray(parts[index])
                for _ in range(min(len(changed), generator.randrange(1, 4))):
                    changed[generator.randrange(len(changed))] = generator.randrange(256)
                parts[index] = bytes(changed)
            else:
                parts.insert(index, frame(generator.randrange(256), generator.randrange(256),
                                          generator.randrange(40), generator.randbytes(
                                              generator.randrange(64))))
        raw = Raw(SOCKET, hello=False)
        try:
            raw.send(PREFACE + b"".join(parts))
            raw.socket.shutdown(socket.SHUT_WR)
            assert raw.closed()
        except ConnectionError:
            pass
        except Exception:
            print("seed", seed, file=sys.stderr)
            raise
        raw.close()
    eventually(lambda: alone() and counters()["open"] == 1 and counters()["held"] < 1000)


before = descriptors()
for part in (garbage, slow, heads, bodies, floods, streams, windows, half_open, connections, fuzz):
    part()
    print("ok", part.__name__, resident_kib(), "KiB", flush=True)
with channel() as one:
    assert unary(one, "Echo")(b"still there", timeout=20) == b"still there"
eventually(lambda: descriptors() <= before)
