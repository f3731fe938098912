"""Just enough of HTTP/2 to send what no proper client sends."""
import socket
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + \
        struct.pack(">I", stream) + payload


def string(text):
    assert len(text) < 127 + 128
    return (bytes((len(text),)) if len(text) < 127 else bytes((127, len(text) - 127))) + text


def block(fields):
    """Each field as a literal that enters no table."""
    return b"".join(b"\0" + string(name) + string(value) for name, value in fields)


def request(path=b"/test.Test/Echo", method=b"POST", content=b"application/grpc", extra=()):
    fields = [(b":method", method), (b":scheme", b"http"), (b":path", path),
              (b":authority", b"localhost"), (b"te", b"trailers")]
    if content:
        fields.append((b"content-type", content))
    return block(fields + list(extra))


def message(payload, flag=0):
    return bytes((flag,)) + struct.pack(">I", len(payload)) + payload


class Raw:
    """A connection whose frames are made by hand. Header blocks that come are decoded."""

    def __init__(self, path, hello=True, settings=()):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.rest = b""
        self.decoder = hpack.Decoder()
        self.stream = -1
        if hello:
            values = b"".join(struct.pack(">HI", *pair) for pair in settings)
            self.send(PREFACE + frame(SETTINGS, 0, 0, values))

    def send(self, data):
        self.socket.sendall(data)

    def call(self, *, body=message(b"x"), ends=True, **keywords):
        """Sends a request, and its body in one frame."""
        self.stream += 2
        flags = END_HEADERS | (END_STREAM if ends and body is None else 0)
        data = frame(HEADERS, flags, self.stream, request(**keywords))
        if body is not None:
            data += frame(DATA, END_STREAM if ends else 0, self.stream, body)
        self.send(data)
        return self.stream

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
        if head[3] == HEADERS:
            payload = self.decoder.decode(payload)
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def until(self, kind, stream=None):
        """The next frame of a kind; others are read over."""
        while True:
            got = self.frame()
            if got[0] == kind and stream in (None, got[2]):
                return got

    def closed(self):
        """Reads to the end: true when the server closes the connection."""
        try:
            while True:
                self.frame()
        except (EOFError, ConnectionError):
            return True

    def answers(self, stream):
        """Everything of one stream up to its end."""
        frames = []
        while True:
            got = self.frame()
            if got[2] != stream:
                continue
            frames.append(got)
            if got[0] == RST or got[0] in (HEADERS, DATA) and got[1] & END_STREAM:
                return frames

    def status(self, stream):
        """The fields of all header blocks of an answer."""
        fields = {}
        for kind, _, _, payload in self.answers(stream):
            if kind == HEADERS:
                fields.update(payload)
        return fields

    def close(self):
        self.socket.close()
