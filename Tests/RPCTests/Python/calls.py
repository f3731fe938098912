"""Every kind of call, metadata, status, deadlines, cancellation, sizes."""
import threading

import grpc
from support import (both_stream, channel, client_stream, counters, eventually, fails,
                     server_stream, unary)

Code = grpc.StatusCode


def kinds(one):
    assert unary(one, "Echo")(b"hello", timeout=20) == b"hello"
    assert unary(one, "Echo")(b"", timeout=20) == b""
    assert unary(one, "BlockingEcho")(b"work", timeout=20) == b"work"
    assert client_stream(one, "Sum")(iter(b"%d" % n for n in range(101)), timeout=20) == b"5050"
    assert client_stream(one, "Sum")(iter(()), timeout=20) == b"0"
    numbers = list(server_stream(one, "Count")(b"1000", timeout=20))
    assert numbers == [b"%d" % n for n in range(1, 1001)]
    assert list(server_stream(one, "Count")(b"0", timeout=20)) == []
    # A conversation: each answer comes before the next question is asked.
    answered = threading.Semaphore(1)

    def questions():
        for n in range(20):
            answered.acquire()
            yield b"%d" % n

    answers = []
    for answer in both_stream(one, "Chat")(questions(), timeout=20):
        answers.append(answer)
        answered.release()
    assert answers == [b"re: %d" % n for n in range(20)] + [b"bye"], answers


def metadata(one):
    sent = [("x-text", "a b, c"), ("x-text", "again"), ("x-bytes-bin", bytes(range(256))),
            ("x-empty-bin", b""), ("x-one-bin", b"\0"), ("x-two-bin", b"ab")]
    answer, call = unary(one, "Metadata").with_call(b"m", metadata=sent, timeout=20)
    assert answer == b"m"
    initial = [(k, v) for k, v in call.initial_metadata() if k.startswith("x-")]
    trailing = [(k, v) for k, v in call.trailing_metadata() if k.startswith("t-")]
    assert sorted(initial) == sorted(sent), initial
    assert sorted(trailing) == sorted(("t-" + k, v) for k, v in sent), trailing
    many = [(f"x-{n}", "v" * 1000) for n in range(7)]
    assert unary(one, "Metadata")(b"m", metadata=many, timeout=20) == b"m"
    too_many = [(f"x-{n}", "v" * 1000) for n in range(20)]
    fails(Code.RESOURCE_EXHAUSTED, unary(one, "Echo"), b"", metadata=too_many, timeout=20)
    assert unary(one, "Echo")(b"after", timeout=20) == b"after"


def statuses(one):
    for code in Code:
        number = code.value[0]
        if number == 0:
            continue
        error = fails(code, unary(one, "Fail"), b"%d" % number, timeout=20)
        assert error.details() == "fails: 100 % as asked\nünlücky 🙈", error.details()
        trailers = dict(error.trailing_metadata())
        assert trailers["grpc-status-details-bin"] == bytes([8, number]), trailers
        assert trailers["x-why"] == "asked for"
    call = server_stream(one, "FailLate")(b"", timeout=20)
    got = []
    try:
        for message in call:
            got.append(message)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == Code.DATA_LOSS and got == [b"1", b"2"]
        assert dict(call.trailing_metadata())["grpc-status-details-bin"] == bytes([8, 15])
    error = fails(Code.UNIMPLEMENTED, unary(one, "Missing"), b"", timeout=20)
    assert "/test.Test/Missing" in error.details()
    fails(Code.UNIMPLEMENTED, client_stream(one, "Missing"), iter([b"x"] * 100), timeout=20)
    # A method with one request is sent none, and two.
    fails(Code.INTERNAL, client_stream(one, "Echo"), iter(()), timeout=20)
    fails(Code.INTERNAL, client_stream(one, "Echo"), iter([b"1", b"2"]), timeout=20)
    fails(Code.UNIMPLEMENTED, unary(one, "Echo"), b"z" * 5000, timeout=20,
          compression=grpc.Compression.Gzip)


def deadlines(one):
    before = counters()
    fails(Code.DEADLINE_EXCEEDED, unary(one, "Slow"), b"60000", timeout=0.05)
    fails(Code.DEADLINE_EXCEEDED, unary(one, "Ignore"), b"", timeout=0.05)
    fails(Code.DEADLINE_EXCEEDED, server_stream(one, "Tick"), b"", timeout=0.05)
    assert unary(one, "Slow")(b"20", timeout=20) == b"20"

    def all_ended():
        now = counters()
        ended = sum(now.get(k, 0) - before.get(k, 0) for k in ("deadline", "byClient"))
        return ended == 3 and now["open"] == 1

    eventually(all_ended)


def cancellation(one):
    before = counters().get("byClient", 0)
    call = server_stream(one, "Tick")(b"")
    for _ in range(3):
        assert next(call) == b"tick"
    call.cancel()
    eventually(lambda: counters().get("byClient", 0) == before + 1)
    call = server_stream(one, "Flood")(b"")
    for _ in range(100):
        next(call)
    call.cancel()
    call = both_stream(one, "Chat")(iter(()))
    assert next(call) == b"bye"
    future = unary(one, "Slow").future(b"60000")
    future.cancel()
    call = unary(one, "Ignore").future(b"")
    call.cancel()
    eventually(lambda: counters()["open"] == 1)


def sizes(one):
    mebibyte = bytes(1 << 20)
    assert unary(one, "Echo")(mebibyte, timeout=20) == mebibyte
    assert unary(one, "Echo")(b"q" * (4 << 20), timeout=20) == b"q" * (4 << 20)
    error = fails(Code.RESOURCE_EXHAUSTED, unary(one, "Echo"), bytes((4 << 20) + 1), timeout=20)
    assert "4194305" in error.details(), error.details()
    assert len(unary(one, "Big")(b"%d" % (20 << 20), timeout=20)) == 20 << 20
    parts = [mebibyte] * 20
    assert client_stream(one, "Collect")(iter(parts), timeout=30) == b"20 %d" % (20 << 20)
    small = (b"x" * (n % 50) for n in range(20000))
    total = sum(n % 50 for n in range(20000))
    assert client_stream(one, "Collect")(small, timeout=30) == b"20000 %d" % total


with channel() as shared:
    for part in (kinds, metadata, statuses, deadlines, cancellation, sizes):
        part(shared)
        print("ok", part.__name__, flush=True)
