"""One call of Exec, and all that comes of it."""
import queue
import threading

import grpc
from support import api

Request = api.sandboxes.ExecRequest


class Execution:
    """A command inside. Its output is read beside, so that nothing waits for the script."""

    def __init__(self, calls, sandbox_id, *command, timeout=60, reads=True, **start):
        self.requests = queue.SimpleQueue()
        self.stdout = b""
        self.stderr = b""
        self.exit = None
        self.pid = 0
        self.error = None
        self.messages = []
        self.changed = threading.Condition()
        self.over = False
        self.requests.put(Request(start=Request.Start(
            sandbox_id=sandbox_id, command=command, **start)))
        self.call = calls.sandboxes.Exec(iter(self.requests.get, None), timeout=timeout)
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def send(self, **message):
        self.requests.put(Request(**message))
        return self

    def end_input(self):
        return self.send(stdin_end=Request.StdinEnd())

    def half_close(self):
        self.requests.put(None)
        return self

    def cancel(self):
        self.call.cancel()
        self.requests.put(None)

    def _read(self):
        try:
            for message in self.call:
                with self.changed:
                    self._take(message)
                    self.changed.notify_all()
        except grpc.RpcError as error:
            self.error = error
        with self.changed:
            self.over = True
            self.changed.notify_all()
        self.requests.put(None)

    def _take(self, message):
        assert self.exit is None, "something came behind the exit"
        kind = message.WhichOneof("message")
        if not self.messages or self.messages[-1] != kind:
            self.messages.append(kind)
        value = getattr(message, kind)
        if kind == "started":
            self.pid = value.pid
        elif kind == "exit":
            self.exit = value
        else:
            assert 0 < len(value) <= 65536, len(value)
            if kind == "stdout":
                self.stdout += value
            else:
                self.stderr += value

    def until(self, what, seconds=60):
        """Waits until something is true of what came."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.over or what(self), seconds), (
                self.stdout, self.stderr)
            assert what(self), (self.stdout, self.stderr, self.error)
        return self

    def finish(self, seconds=60):
        """Waits for its end and gives its code, or the number of its signal as a negative one."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.over, seconds), (
                "it does not end", self.stdout[-200:], self.stderr[-200:])
        if self.error:
            raise self.error
        assert self.exit is not None and self.messages[0] == "started", self.messages
        if self.exit.WhichOneof("how") == "code":
            return self.exit.code
        return -self.exit.signal.number


def execute(calls, sandbox_id, *command, **start):
    """Runs a command that has no input."""
    execution = Execution(calls, sandbox_id, *command, **start).half_close()
    return execution.finish(), execution.stdout, execution.stderr
