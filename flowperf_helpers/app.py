"""The comparison notebooks as pages, for colleagues who open no JupyterLab: Voila, on this machine only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flowperf_helpers.errors import ArgumentError, StorageError
from flowperf_helpers.runner import stock_notebook

__all__ = ["APP_NOTEBOOKS", "app_command", "serve_app"]

APP_NOTEBOOKS = ("03_compare_values.ipynb", "04_compare_series.ipynb")
HOST = "127.0.0.1"


def app_command(*, port: int, folder: str | Path) -> list[str]:
    """Return the command that serves a folder of notebooks through Voila on loopback.

    Parameters
    ----------
    port : int
        1 to 65535.
    folder : path
        Its notebooks are listed on the first page; each visitor gets a kernel of their own.

    Raises
    ------
    ArgumentError
        Voila is not installed (the message says how to), or no such port.
    """
    if importlib.util.find_spec("voila") is None:
        raise ArgumentError('The app needs Voila, which is not installed: run pip install "flowperf[app]".')
    if not 1 <= port <= 65535:
        raise ArgumentError(f"{port} is no port: give a number from 1 to 65535.")
    return [
        sys.executable, "-m", "voila", str(folder), "--no-browser", f"--Voila.ip={HOST}", f"--port={port}",
        "--strip_sources=True", "--VoilaConfiguration.show_tracebacks=False", "--Voila.log_level=WARN",
        "--MappingKernelManager.cull_idle_timeout=3600", "--MappingKernelManager.cull_interval=60",
    ]  # fmt: skip


def serve_app(*, port: int = 8866, notebooks: Sequence[str | Path] = APP_NOTEBOOKS) -> int:
    """Serve notebooks as pages on loopback until it is interrupted.

    Parameters
    ----------
    port : int
    notebooks : sequence of path or str
        Files, or names of notebooks that come with the package.

    Returns
    -------
    int
        Exit code of the server; 0 after Ctrl-C.

    Raises
    ------
    ArgumentError
        As `app_command`, or no such notebook.
    StorageError
        The notebooks could not be copied.

    Notes
    -----
    The pages are copies in a temporary folder: what a visitor does changes no file. Anyone with an account on this
    machine can open them, as with every server on loopback.
    """
    sources = [Path(name) if Path(name).is_file() else stock_notebook(str(name)) for name in notebooks]
    with tempfile.TemporaryDirectory(prefix="flowperf-app-") as folder:
        command = app_command(port=port, folder=folder)
        try:
            for source in sources:
                shutil.copy(source, folder)
        except OSError as error:
            raise StorageError(f"The app's notebooks cannot be copied ({error.strerror}).", path=folder) from error
        process = subprocess.Popen(command, env=os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"})  # noqa: S603
        try:
            return process.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            process.terminate()
            process.wait()
