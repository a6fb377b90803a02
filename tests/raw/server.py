"""A file server on this machine that misbehaves as a test tells it to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """One answer.

    headers: None leaves one out; cut: bytes after which the connection is closed; ranges: whether Range is obeyed.
    """

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True


@dataclass
class Server:
    """Serves `files`; the answers of `faults` come first, one a request, and `asked` keeps every request's headers."""

    files: dict[str, bytes]
    url: str = ""
    faults: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    etag: str | None = '"v1"'


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    state = Server(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.asked.append(dict(self.headers) | {"path": self.path})
            answer = state.faults.pop(0) if state.faults else state.always or Answer()
            body = answer.body if answer.body is not None else state.files.get(self.path.lstrip("/"))
            if body is None:
                answer, body = Answer(404), b"no such file"
            start, status = 0, answer.status
            same = self.headers.get("If-Range") in (None, state.etag)
            if status == 200 and answer.ranges and same and (asked := self.headers.get("Range")):
                start, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
                if start >= len(body):
                    start, status, body = 0, 416, b""
            self.send_response(status)
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(body) - start)}
            headers |= {"ETag": state.etag} if state.etag else {}
            headers |= {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if status == 206 else {}
            for name, value in (headers | answer.headers).items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[start : None if answer.cut is None else start + answer.cut])
            self.close_connection = answer.cut is not None

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what some tests are about."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
