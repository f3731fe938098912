"""A function: answers HTTP requests on port 8080 until it is told to stop."""

import http.server
import json
import os
import signal
import threading

import greeting


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"greeting": greeting.of("world"), "path": self.path})

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= 1 << 20:
            self.close_connection = True
            self.send_error(413)
            return
        name = self.rfile.read(length).decode("utf-8", "replace").strip() or "world"
        self.answer({"greeting": greeting.of(name), "path": self.path})

    def answer(self, document):
        body = json.dumps(document).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    address = ("", int(os.environ.get("PORT", "8080")))
    server = http.server.ThreadingHTTPServer(address, Handler)
    # `shutdown` waits for the loop, which this thread runs.
    signal.signal(
        signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"ready on port {server.server_port}")
    server.serve_forever()


if __name__ == "__main__":
    main()
