"""Servers that no client should trust: each connection is served as the path of its first call
says, `/bad/NAME`, or as the second argument says before any call."""
import os
import socket
import struct
import sys
import time

import hpack
from frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING,
                    PREFACE, RST, SETTINGS, block, frame, message)

SOCKET, MODE = sys.argv[1], sys.argv[2]
GRPC = (b":status", b"200"), (b"content-type", b"application/grpc")
OK = (b"grpc-status", b"0"),


class Connection:
    def __init__(self, taken):
        self.socket, self.rest, self.decoder = taken, b"", hpack.Decoder()

    def read(self, count):
        while len(self.rest) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.rest += more
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def frame(self):
        head = self.read(9)
        payload = self.read(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def request(self):
        """The next call's stream and path."""
        while True:
            kind, _, stream, payload = self.frame()
            if kind == HEADERS:
                return stream, dict(self.decoder.decode(payload))[":path"]

    def drain(self):
        """Reads to the client's end."""
        try:
            while True:
                self.read(1)
        except (EOFError, ConnectionError):
            pass


def headers(stream, fields, ends=False):
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block(fields))


def data(stream, payload, ends=False):
    return frame(DATA, END_STREAM if ends else 0, stream, payload)


def rst(stream, code):
    return frame(RST, 0, stream, struct.pack(">I", code))


def goaway(last, code=0, text=b""):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + text)


def answer(name, one):
    """The frames of each kind of misbehaviour, for the stream of the call."""
    start, well = headers(one, GRPC), headers(one, OK, True)
    hello = data(one, message(b"hello"))
    cases = {
        "good": [start, hello, well],
        "pieces": [start] + [data(one, bytes((byte,))) for byte in message(b"hello")] + [well],
        "empty-frames": [start, data(one, b""), hello, data(one, b""), well],
        "interim": [headers(one, [(b":status", b"103"), (b"x", b"y")]), start, hello, well],
        "trailers-only": [headers(one, GRPC + ((b"grpc-status", b"7"), (b"grpc-message", b"a%20b")),
                                  True)],
        "http-404": [headers(one, [(b":status", b"404"), (b"content-type", b"text/html")]),
                     data(one, b"<html>", True)],
        "http-503": [headers(one, [(b":status", b"503")], True)],
        "html": [headers(one, [(b":status", b"200"), (b"content-type", b"text/html")]),
                 data(one, b"<html>", True)],
        "no-headers": [headers(one, [], True)],
        "no-status": [start, hello, headers(one, [(b"x", b"y")], True)],
        "no-trailers": [start, data(one, message(b"hello"), True)],
        "bad-status": [start, hello, headers(one, [(b"grpc-status", b"99")], True)],
        "two": [start, hello, hello, well],
        "none": [start, well],
        "compressed": [start, data(one, message(b"hello", 1)), well],
        "malformed": [start, data(one, message(b"hello", 7)), well],
        "too-long": [start, data(one, b"\0\xff\xff\xff\xff"), well],
        "cut-short": [start, data(one, message(b"hello")[:-1]), well],
        "cut-short-failure": [start, data(one, message(b"hello")[:-1]),
                              headers(one, [(b"grpc-status", b"6")], True)],
        "data-first": [data(one, message(b"hello")), well],
        "headers-between": [start, headers(one, [(b"x", b"y")]), hello, well],
        "long-headers": [headers(one, GRPC),
                         frame(HEADERS, END_STREAM, one, block([(b"x", b"y" * 200)] * 60))]
                        + [frame(CONTINUATION, 0, one, block([(b"x", b"y" * 200)] * 60))] * 5
                        + [frame(CONTINUATION, END_HEADERS, one, block(OK))],
        "goaway-refused": [goaway(0, 0, b"full")],
        "goaway-late": [goaway((1 << 31) - 1, 0, b"later"), goaway(one, 0, b"later"),
                        start, hello, well],
        "garbage": [b"\xff" * 1000],
        "push": [frame(5, END_HEADERS, one, struct.pack(">I", 2) + block(GRPC))],
        "data-of-nobody": [data(77, b"x"), start, hello, well],
        "window-overflow": [frame(8, 0, 0, struct.pack(">I", 0x7fffffff))],
    }
    if name.startswith("rst-"):
        return [start, hello, rst(one, int(name[4:]))]
    return cases[name]


def serve(taken):
    connection = Connection(taken)
    connection.read(len(PREFACE))
    connection.send(frame(SETTINGS, 0, 0), frame(SETTINGS, ACK, 0))
    while True:
        stream, path = connection.request()
        name = path.removeprefix("/bad/")
        if name == "close":
            return
        if name == "silent":
            continue
        for piece in answer(name, stream):
            connection.send(piece)
        if name in ("garbage", "push", "window-overflow"):
            connection.drain()
            return


def noise(seed, count):
    """Frames of a good answer, some changed, cut or swapped."""
    import random
    chance = random.Random(seed)

    def one(connection):
        connection.read(len(PREFACE))
        connection.send(frame(SETTINGS, 0, 0))
        stream, _ = connection.request()
        names = ("good", "pieces", "interim", "trailers-only", "two", "rst-7", "goaway-late",
                 "no-status", "long-headers")
        sent = bytearray(b"".join(answer(chance.choice(names), stream)))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(sent))
            kind = chance.randrange(4)
            if kind == 0:
                sent[place] = chance.randrange(256)
            elif kind == 1:
                sent[place] ^= 1 << chance.randrange(8)
            elif kind == 2:
                del sent[place:place + chance.randrange(1, 20)]
            else:
                sent[place:place] = chance.randbytes(chance.randrange(1, 20))
            if not sent:
                return
        connection.send(bytes(sent))
    return one


listener = socket.socket(socket.AF_UNIX)
listener.bind(SOCKET)
listener.listen(0 if MODE == "full" else 64)
print("ready", flush=True)
if MODE == "full":
    # Takes nobody until it is told to; the backlog of 0 holds one connection.
    sys.stdin.readline()
    print("going", flush=True)
number = 0
while True:
    taken, _ = listener.accept()
    number += 1
    try:
        if MODE == "http1":
            taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif MODE == "random":
            taken.sendall(os.urandom(1000))
        elif MODE == "quiet":
            Connection(taken).drain()
        elif MODE == "close":
            pass
        elif MODE.startswith("noise="):
            noise(int(MODE[6:]) * 1000 + number, number)(Connection(taken))
        else:
            serve(taken)
    except (EOFError, ConnectionError):
        pass
    finally:
        taken.close()
