"""Drives JupyterLab and Voila in a real Chromium: servers on free loopback ports, all that they write in one folder."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SHOTS = Path(__file__).parent.parent / "artefacts"

_OVERRIDES = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True,
    },
}  # fmt: skip


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """Return an environment in which Jupyter reads and writes nothing outside ``folder``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KLAVIYO_", "FLOWPERF_", "JUPYTER"))}
    places = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"IPYTHONDIR": str(folder / "ipython"), "FLOWPERF_HOME": str(folder / "flowperf-home")}
    places |= {"JUPYTER_PREFER_ENV_PATH": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    return kept | places | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"} | extra


@contextmanager
def serving(command: list[str], url: str, *, cwd: Path, env: dict[str, str], log: Path) -> Iterator[None]:
    """Run a server until the block ends; enter the block when ``url`` answers."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            _await(url, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no answer from {url}:\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def jupyterlab(notebooks: Path, folder: Path, **extra: str) -> Iterator[str]:
    """Serve JupyterLab on a folder of notebooks; yields its address."""
    settings = folder / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "overrides.json").write_text(json.dumps(_OVERRIDES))
    port = free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=", "--expose-app-in-browser",
        f"--LabApp.app_settings_dir={settings}", f"--LabApp.user_settings_dir={folder / 'user-settings'}",
        f"--LabApp.workspaces_dir={folder / 'workspaces'}", f"--ServerApp.root_dir={notebooks}",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with serving(command, f"{url}/api", cwd=notebooks, env=environment(folder, **extra), log=folder / "lab.log"):
        yield url


@contextmanager
def chromium(*, width: int = 1400, height: int = 1000) -> Iterator[Any]:
    """Start Chromium; yields a page whose console errors are collected in ``page.problems``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


_CONNECTED = """() => {
    const session = window.jupyterapp.shell.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    return session?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def open_and_run(page: Any, url: str, name: str) -> None:
    """Open a notebook alone in JupyterLab and run all of its cells; returns when the kernel is idle again."""
    page.goto(f"{url}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", state="visible")
    page.wait_for_function("() => window.jupyterapp && document.querySelectorAll('.jp-CodeCell').length > 0")
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area').catch(() => null)")
    page.wait_for_selector(".jp-NotebookPanel-toolbar [data-status='idle']")
    page.wait_for_function(_CONNECTED)
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        prompts = _settled(page)
        if all(re.search(r"\d", prompt) for prompt in prompts) and _boards_drawn(page):
            return
        failed = page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
        assert not failed, f"{name} stopped at {prompts}: {failed}"
    raise AssertionError(f"{name} was not run within 90 seconds: {prompts}")


def _boards_drawn(page: Any) -> bool:
    """Whether every widget became a view; one that was sent before the page listened never does, and is run again."""
    for _ in range(20):
        views = page.locator(".jupyter-widgets img, .jupyter-widgets .fp-table").count()
        if views:
            return True
        page.wait_for_timeout(500)
    return False


def _settled(page: Any) -> list[str]:
    """Prompts of the code cells once none waits; a command given before the session is connected runs nothing."""
    for _ in range(120):
        page.wait_for_timeout(500)
        prompts = page.locator(".jp-NotebookPanel .jp-CodeCell .jp-InputPrompt").all_inner_texts()
        if not any("*" in prompt for prompt in prompts) and page.locator("[data-status='idle']").count():
            break
    return list(prompts)


def picture_source(board: Any) -> str:
    """Return the ``src`` of a board's picture; empty while a table stands there."""
    picture = board.locator("img")
    return str(picture.first.get_attribute("src")) if picture.count() else ""


def seconds_to_change(page: Any, board: Any, act: Any, *, timeout: float = 20.0) -> float:
    """Do something and return how long it takes until the board's picture is another one, painted."""
    handle = board.element_handle()
    before = picture_source(board)
    page.evaluate(
        """([board, before]) => {
            window.__changed = null;
            const began = {t: null};
            window.__start = () => { began.t = performance.now(); };
            const look = () => {
                const img = board.querySelector('img');
                if (img && img.src !== before && img.complete) {
                    requestAnimationFrame(() => { window.__changed = performance.now() - (began.t ?? 0); });
                    observer.disconnect();
                    return true;
                }
                return false;
            };
            const observer = new MutationObserver(() => { if (!look()) { setTimeout(look, 5); } });
            observer.observe(board, {subtree: true, childList: true, attributes: true});
        }""",
        [handle, before],
    )
    page.evaluate("() => window.__start()")
    act()
    page.wait_for_function("() => window.__changed !== null", timeout=timeout * 1000)
    return float(page.evaluate("() => window.__changed")) / 1000
