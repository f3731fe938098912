"""What the scripts share."""
import os
import re
import sys
import time

import grpc

PROJECT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
sys.path.append(os.path.join(PROJECT, "examples/control-plane"))
import alcove_api as api  # noqa: E402

SECONDS = float(os.environ.get("ALCOVE_TEST_SECONDS", 60))


def fails(code, call, *arguments, **keywords):
    """The error of a call that must fail with this code."""
    try:
        result = call(*arguments, **keywords)
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} and not {code}: {error.details()}"
        return error
    raise AssertionError(f"no error, expected {code}: {result}")


def eventually(what, seconds=SECONDS):
    """Waits until something is true that another process makes so."""
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.01)
    return value


def run_parts(*parts):
    """All parts, or those that the command line names behind `only=`."""
    wanted = [each[5:].split(",") for each in sys.argv[1:] if each.startswith("only=")]
    for part in parts:
        if not wanted or part.__name__ in wanted[0]:
            begun = time.monotonic()
            part()
            print(f"ok {part.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)


def refused(code, call, request, reason=None, timeout=60):
    """The detail of a call that the agent must refuse with this code, and with words."""
    error = fails(code, call, request, timeout=timeout)
    detail = api.detail(error)
    assert detail is not None and re.fullmatch("[a-z][a-z_]*", detail.code), (error, detail)
    assert error.details() and not error.details().endswith("."), error.details()
    assert reason in (None, detail.code), (reason, detail.code)
    return detail
