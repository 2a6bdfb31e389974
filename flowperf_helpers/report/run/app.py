"""The comparison notebooks as pages, for colleagues who open no JupyterLab: Voila, on this machine only."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowperf_helpers.account.connection import is_sandbox, settings_of
from flowperf_helpers.errors import ArgumentError, StorageError
from flowperf_helpers.report.run.checks import check_names, check_parameters, checked_week, notebook_parameters
from flowperf_helpers.report.run.delivery import workplace
from flowperf_helpers.report.run.execute import read_notebook, stock_notebook

__all__ = ["APP_NOTEBOOKS", "serve_app"]

APP_NOTEBOOKS = ("03_compare_values.ipynb", "04_compare_series.ipynb")
HOST = "127.0.0.1"

_OWN = f"'self' ws://{HOST}:* ws://localhost:*"
_POLICY = (
    f"default-src {_OWN} data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; frame-ancestors 'self'; "
    "base-uri 'self'"
)
"""A widget that Voila does not know is asked from a public server: no page asks anybody but this one."""

_FOREIGN = re.compile(r"<link[^>]*https?://[^>]*>")

_SANDBOX = {
    "cell_type": "markdown",
    "id": "sandbox-mark",
    "metadata": {},
    "source": "> **SANDBOX: an invented shop. None of the numbers on this page is real.**",
}


def serve_app(
    *,
    port: int = 8866,
    account: str = "sandbox",
    week: str | None = None,
    conversion_metric: str | None = None,
    notebooks: Sequence[str | Path] = APP_NOTEBOOKS,
    say: Callable[[str], None] | None = None,
) -> None:
    """Serve notebooks as pages on loopback until this process is interrupted or stopped.

    Parameters
    ----------
    port : int
        1 to 65535.
    account, week, conversion_metric : str, optional
        Given to each notebook that has such a parameter.
    notebooks : sequence of path or str
        Files, or names of notebooks that come with the package.
    say : callable, optional
        Gets the address and how to stop, a line at a time, once the server listens.

    Raises
    ------
    ArgumentError
        Voila is not installed (the message says how to), the port is taken, no such notebook or week.
    CredentialsError
        The account has no usable key.
    StorageError
        The notebooks could not be copied.

    Notes
    -----
    The pages are copies in a temporary folder: what a visitor does changes no file. Each visitor gets a kernel, which
    ends an hour after it was last used and with the server. Anyone with an account on this machine can open the pages,
    as with every server on loopback; a page of another site, whatever name it gives this machine, cannot.
    """
    if importlib.util.find_spec("voila") is None:
        raise ArgumentError('The app needs Voila, which is not installed: run pip install "flowperf[app]".')
    sources = [Path(name) if Path(name).is_file() else stock_notebook(str(name)) for name in notebooks]
    values = {
        "account": account,
        "week": checked_week(week, account=account, allow_partial=False),
        "conversion_metric": conversion_metric or "",
    }
    given = {name: value for name, value in values.items() if value}
    invented = is_sandbox(settings_of(account))
    check_names(account, "", values["conversion_metric"])
    _check_port(port)
    with workplace() as folder:
        pages = folder / "pages"
        pages.mkdir()
        for source in sources:
            _copy(source, pages / source.name, given, marked=invented)
        with _kernel_environment(), _stopped_by_signals():
            index = _index(pages, account, is_sandbox=invented)
            _serve(port, pages, index, lambda: _greet(say or (lambda line: None), port, account, sources))


def _check_port(port: int) -> None:
    """Refuse a port that cannot be listened on; Voila would quietly take another one."""
    if not 1 <= port <= 65535:
        raise ArgumentError(f"{port} is not a port: give a number from 1 to 65535.")
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise ArgumentError(
            f"Port {port} cannot be used ({os.strerror(error.errno or 0)}): give another one with --port."
        ) from error


def _copy(source: Path, copy: Path, values: Mapping[str, Any], *, marked: bool) -> None:
    """Write a copy with its parameters filled; invented numbers are called so before the first of them."""
    import papermill

    known = notebook_parameters(read_notebook(source), source=source.name)
    fitting = {name: value for name, value in values.items() if name in known}
    check_parameters(known, fitting, environ=os.environ, source=source.name)
    try:
        papermill.execute_notebook(
            str(source), str(copy), parameters=fitting, prepare_only=True, progress_bar=False, kernel_name="python3"
        )
        notebook = read_notebook(copy)
        notebook["cells"] = [*([_SANDBOX] if marked else []), *_page_cells(notebook["cells"])]
        copy.write_text(json.dumps(notebook), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"The app's notebooks cannot be copied ({error.strerror}).", path=copy) from error


def _page_cells(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The heading and what is tagged ``app``: controls, not the lessons around them. Without such a tag, everything."""
    tagged = [c for c in cells if {"app", "injected-parameters"} & {*c["metadata"].get("tags", ())}]
    if not any("app" in c["metadata"].get("tags", ()) for c in tagged):
        return list(cells)
    first = cells[0]
    return [{**first, "source": _title(first)}, *tagged] if first["cell_type"] == "markdown" else tagged


def _title(cell: Mapping[str, Any]) -> str:
    """The first line of a cell, a heading."""
    return "".join(cell["source"]).partition("\n")[0]


def _index(pages: Path, account: str, *, is_sandbox: bool) -> str:
    """The page that leads to the others, by their headings."""
    mark = (
        '<p><strong class="mark">SANDBOX</strong> an invented shop: none of the numbers is real.</p>'
        if is_sandbox
        else ""
    )
    links = []
    for page in sorted(pages.glob("*.ipynb")):
        headings = [_title(c) for c in read_notebook(page)["cells"] if c["cell_type"] == "markdown"]
        title = next((h.lstrip("# ") for h in headings if h.startswith("# ")), page.stem)
        links.append(f'<li><a href="voila/render/{quote(page.name)}">{html.escape(title)}</a></li>')
    return _INDEX.format(mark=mark, account=html.escape(account), links="".join(links))


_INDEX = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Flows of {account}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:17px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}li{{margin:.8rem 0}}
a{{color:#2c47b8}}.mark{{background:#17191c;color:#fff;padding:.1rem .5rem}}</style>
<h1>Flows of {account}</h1>{mark}<ul>{links}</ul>
<p>A page takes some seconds to open: it starts its own Python, which ends an hour after it was last used.</p></html>"""


@contextmanager
def _kernel_environment() -> Iterator[None]:
    """Kernels start in the folder of the copies: tell them where ``accounts.toml`` is, seen from here."""
    accounts = Path(os.environ.get("FLOWPERF_ACCOUNTS", "").strip() or "accounts.toml").expanduser()
    wanted = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if accounts.exists():
        wanted["FLOWPERF_ACCOUNTS"] = str(accounts.resolve())
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make an order to end, or a terminal that closes, stop the server as Ctrl-C does: with its kernels."""
    before = {
        name: signal.signal(name, _interrupt) for name in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if name
    }
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _serve(port: int, pages: Path, index: str, ready: Callable[[], None]) -> None:
    """Run Voila in this process, so that whatever ends it ends the server too."""
    from tornado.ioloop import IOLoop
    from tornado.routing import AnyMatches, HostMatches, Rule
    from tornado.web import ErrorHandler, RequestHandler
    from voila.app import Voila

    class Index(RequestHandler):
        """What stands at the root."""

        def get(self) -> None:
            """Send the index page."""
            self.set_header("Content-Security-Policy", _POLICY)
            self.write(index)

    class Pages(Voila):
        """Voila that answers under this machine's own names only."""

        def init_handlers(self) -> list[Any]:
            """Refuse a name that another site lets point here: its pages would reach a kernel."""
            handlers = [("/", Index), *super().init_handlers()]
            own = Rule(HostMatches(r"(localhost|127\.0\.0\.1)$"), handlers)
            return [own, Rule(AnyMatches(), ErrorHandler, {"status_code": 403})]

    server = Pages(config_file_paths=[])
    server.initialize([
        str(pages), "--no-browser", f"--Voila.ip={HOST}", f"--port={port}", "--Voila.port_retries=0",
        "--strip_sources=True", "--VoilaConfiguration.show_tracebacks=False", "--Voila.log_level=ERROR",
        "--VoilaConfiguration.allow_template_override=NO",
        "--MappingKernelManager.cull_idle_timeout=3600", "--MappingKernelManager.cull_interval=60",
    ])  # fmt: skip
    # Voila's own handler stops the loop only once it runs
    signal.signal(signal.SIGTERM, _interrupt)
    server.template_paths = [
        str(_own_templates(pages.parent / "templates", server.template_paths)),
        *server.template_paths,
    ]
    server.tornado_settings = {"headers": {"Content-Security-Policy": _POLICY}}
    IOLoop.current().add_callback(ready)
    server.start()


def _own_templates(folder: Path, paths: Sequence[str]) -> Path:
    """Voila's templates without their style sheets from a public server, in a folder of their own."""
    for name in ("index.html.j2", "voila/templates/base/page.html"):
        found = next((place / name for place in map(Path, paths) if (place / name).is_file()), None)
        if found is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(_FOREIGN.sub("", found.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


def _greet(say: Callable[[str], None], port: int, account: str, sources: Sequence[Path]) -> None:
    address = f"http://{HOST}:{port}"
    say(f"{', '.join(source.stem for source in sources)} as pages: {address} (account {account}; no key is asked for)")
    say(f"try: curl -s {address}/voila/render/{sources[0].name}")
    say("Ctrl-C stops the server and its kernels.")
