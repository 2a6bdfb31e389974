"""What every test stands on: an empty home, no credentials, no way out of this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


class OutsideError(RuntimeError):
    """A test tried to reach beyond this machine."""


def _check(address: object) -> None:
    host = address[0] if isinstance(address, tuple) else None
    if host is None or host == "localhost":
        return
    try:
        inside = ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise OutsideError(f"a test tried to connect to {address}")


def _guarded_connect(self: socket.socket, address: object) -> None:
    _check(address)
    return _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: object) -> int:
    _check(address)
    return _connect_ex(self, address)


socket.socket.connect = _guarded_connect  # type: ignore[method-assign]
socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test its own home and none of the caller's credentials."""
    for name in list(os.environ):
        if name.startswith(("KLAVIYO_", "FLOWPERF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FLOWPERF_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    """Serve the sandbox, its clock frozen, on a free loopback port; the address without a path."""
    from flowperf_helpers.sandbox import SANDBOX_NOW, make_sandbox_server

    server = make_sandbox_server(0, now=SANDBOX_NOW)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
