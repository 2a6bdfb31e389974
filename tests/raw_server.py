"""A server on loopback that says exactly the bytes it is told to, however wrong they are."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from flowperf_helpers.klaviyo.settings import AccountSettings, account_settings

KEY = "pk_0123456789abcdefTEST"
REPORT = "/api/flow-values-reports"
Step = bytes | Callable[[socket.socket, str], None]


def reply(body: object = None, *, status: str = "200 OK", raw: bytes | None = None, **headers: str) -> bytes:
    """A whole HTTP answer; underscores in header names are hyphens."""
    content = json.dumps(body).encode() if raw is None else raw
    fields = {"Content-Type": "application/vnd.api+json", "Content-Length": str(len(content)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


def report(results: Sequence[object] = (), next_link: str | None = None) -> dict[str, object]:
    return {
        "data": {"type": "flow-values-report", "attributes": {"results": list(results)}},
        "links": {"next": next_link},
    }


def reset(connection: socket.socket, url: str) -> None:
    """Hang up so that the other side sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class RawServer:
    """Answers one request per connection: the first by the first step, later ones by the last."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.requests: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def settings(self, **environ: str) -> AccountSettings:
        return account_settings("live", environ={"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": self.url, **environ})

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                self.requests.append(self._read(connection))
                step = self.steps[min(len(self.requests), len(self.steps)) - 1]
                if callable(step):
                    step(connection, self.url)
                else:
                    connection.sendall(step)

    @staticmethod
    def _read(connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536) or b"\r\n\r\n"
            if data[0] == 0x16:  # a TLS greeting
                return "TLS"
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        return (head + b"\r\n\r\n" + body).decode()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@contextlib.contextmanager
def serving(*steps: Step) -> Iterator[RawServer]:
    server = RawServer(steps)
    try:
        yield server
    finally:
        server.close()


class Clock:
    """Seconds that pass only where somebody sleeps."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
