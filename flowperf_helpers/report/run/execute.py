"""Run one notebook from its first cell to its last: a deadline for all of it, and our own errors out of its kernel.

papermill does the work. This room adds what a run without a spectator needs: one deadline over all cells, a kernel
that is not waited for when it is asked to stop, errors that keep their exit code, and a file that tells nothing of the
machine it ran on.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from flowperf_helpers import errors
from flowperf_helpers.errors import ArgumentError, DeadlineError, FlowperfError, NotebookError, StorageError

__all__ = ["read_notebook", "run_notebook", "scrub_notebook", "stock_notebook"]

START_SECONDS = 120
"""How long a kernel may take to start, on a machine that is busy with others."""

LARGEST_NOTEBOOK = 64 * 2**20
"""Bytes of an executed notebook; the stock report takes about one hundredth of it."""

_KERNEL_ARGUMENTS = ["--log-level=40", "--HistoryManager.enabled=False"]
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def stock_notebook(name: str) -> Path:
    """Where a stock notebook lies: inside the installed package, or beside it in a working copy.

    Raises
    ------
    ArgumentError
        There is no notebook of that name.
    """
    package = Path(__file__).parents[2]
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if (folder / name).is_file():
            return folder / name
    raise ArgumentError(f"There is no notebook {name} in this installation: install flowperf again.")


def read_notebook(path: str | Path) -> dict[str, Any]:
    """A notebook file as decoded JSON.

    Raises
    ------
    ArgumentError
        No such file, or no notebook.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"The notebook {Path(path).name} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{Path(path).name} is not a notebook: it is not JSON.") from error
    if not isinstance(notebook, dict):
        raise ArgumentError(f"{Path(path).name} is not a notebook: it has no cells.")
    wrong = _schema_error(notebook)
    if wrong:
        raise ArgumentError(f"{Path(path).name} is not a usable notebook ({wrong}): open it in Jupyter and save it.")
    return notebook


def _schema_error(notebook: dict[str, Any]) -> str | None:
    """Where a notebook first breaks Jupyter's schema, in words; the schema itself is asked, nothing is repaired."""
    from nbformat.validator import get_validator

    version, minor = notebook.get("nbformat"), notebook.get("nbformat_minor")
    if version != 4 or not isinstance(minor, int):
        return "its nbformat is not 4"
    for error in get_validator(4, minor, relax_add_props=True, name="jsonschema").iter_errors(notebook):
        place = "/".join(str(step) for step in error.absolute_path)
        return f"its part {place} breaks the format" if place else "a part of it is missing"
    return None


def run_notebook(
    source: str | Path,
    *,
    parameters: Mapping[str, Any],
    cwd: str | Path,
    output: str | Path,
    timeout: float | None = None,
    stderr: TextIO | None = None,
) -> Any:
    """Run a notebook through papermill and return it executed, as an ``nbformat`` node.

    Parameters
    ----------
    source : path
        The notebook; it is not changed.
    parameters : mapping
        Checked before, by `flowperf_helpers.report.run.checks.check_parameters`.
    output : path
        Where the executed notebook is written; after a failing cell it is the notebook as far as it got.
    timeout : float, optional
        Seconds for the whole run; None waits for ever.
    stderr : text file, optional
        Gets what the kernel writes to its own stderr (progress, warnings), while it runs.

    Raises
    ------
    NotebookError
        A cell failed: ``exit_code`` is that of our error in the kernel, 1 for any other. Or the deadline passed, or the
        kernel did not start.
    StorageError
        The executed notebook could not be kept.
    """
    import logging

    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    ends = None if timeout is None else time.monotonic() + timeout
    name = Path(source).name
    extra: dict[str, Any] = {"shutdown_kernel": "immediate", "extra_arguments": _KERNEL_ARGUMENTS}
    if ends is not None:
        extra["timeout_func"] = lambda cell: _seconds_for_a_cell(ends - time.monotonic())
    try:
        notebook = papermill.execute_notebook(
            str(source),
            str(output),
            parameters=dict(parameters),
            kernel_name="python3",
            progress_bar=False,
            request_save_on_cell_execute=False,
            start_timeout=START_SECONDS if timeout is None else max(1, min(START_SECONDS, int(timeout))),
            cwd=str(cwd),
            stderr_file=stderr,
            **extra,
        )
    except PapermillExecutionError as error:
        raise _failure(error, name) from error
    except CellTimeoutError as error:
        if (
            ends is None or time.monotonic() < ends - 1
        ):  # not the deadline: the output of a cell that had ended did not arrive
            raise _too_much(name, Path(output)) from error
        raise NotebookError(
            f"The deadline of {timeout:g} seconds passed while {name} was running: give it more (--timeout), "
            "what Klaviyo had answered is kept.",
            path=name,
            cause_name="CellTimeoutError",
            exit_code=DeadlineError.exit_code,
        ) from error
    except OSError as error:
        raise StorageError(
            f"{name} could not be run ({error.strerror or type(error).__name__}): free some space in "
            f"{Path(output).parent}, or let TMPDIR point to another folder.",
            path=output,
        ) from error
    except (DeadKernelError, RuntimeError) as error:
        raise NotebookError(
            f"The kernel of {name} did not start or died: is ipykernel installed and enough memory free?",
            path=name,
            cause_name=type(error).__name__,
        ) from error
    if Path(output).stat().st_size > LARGEST_NOTEBOOK:
        raise _too_much(name, Path(output))
    return notebook


def _seconds_for_a_cell(left: float) -> int:
    """Whole seconds, as nbclient wants them; after the deadline no further cell is begun."""
    from nbclient.exceptions import CellTimeoutError

    if left <= 0:
        raise CellTimeoutError("the deadline passed between two cells")
    return max(1, int(left))


def _too_much(name: str, output: Path) -> NotebookError:
    """The error for outputs that nobody can read; they are not kept either."""
    output.unlink(missing_ok=True)
    return NotebookError(
        f"The cells of {name} show more than {LARGEST_NOTEBOOK // 2**20} MB, or more than could be read in time: "
        "print less.",
        path=name,
        cause_name="OutputTooLarge",
        exit_code=ArgumentError.exit_code,
    )


def _failure(error: Any, name: str) -> NotebookError:
    """Our error's own words and exit code; for a stranger's error its last line and 1."""
    ours = getattr(errors, error.ename, None)
    traceback = _ANSI.sub("", "\n".join(error.traceback))
    facts: dict[str, Any] = {"path": name, "cause_name": error.ename, "traceback": traceback}
    if isinstance(ours, type) and issubclass(ours, FlowperfError):
        return NotebookError(error.evalue, exit_code=ours.exit_code, **facts)
    lines = str(error.evalue).strip().splitlines() or [""]
    return NotebookError(f"A cell of {name} failed with {error.ename}: {lines[0][:300]}", **facts)


def scrub_notebook(notebook: Any, *, forget: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Take the machine out of an executed notebook: paths, the user's name, papermill's notes of both.

    Parameters
    ----------
    notebook : NotebookNode or dict
    forget : mapping, optional
        Further texts to replace, such as a temporary folder.

    Returns
    -------
    dict
        A copy, as JSON values.
    """
    text = json.dumps(notebook, ensure_ascii=False)
    for found, instead in _machine(forget or {}):
        text = text.replace(json.dumps(found, ensure_ascii=False)[1:-1], instead)
    clean = json.loads(text)
    clean["metadata"] = {k: v for k, v in clean["metadata"].items() if k in ("kernelspec", "language_info")}
    for cell in clean["cells"]:
        kept = {k: v for k, v in cell.get("metadata", {}).items() if k in ("tags", "jupyter")}
        cell["metadata"] = kept
    return clean


def _machine(forget: Mapping[str, str]) -> list[tuple[str, str]]:
    """Texts of this machine and what stands in their place, longest first."""
    places = dict(forget)
    places |= {sys.prefix: "(python)", sys.base_prefix: "(python)"}
    places[str(Path(__file__).parents[3]) + os.sep] = ""
    with suppress(RuntimeError):
        places[str(Path.home())] = "~"
    for folder in (tempfile.gettempdir, os.getcwd):
        with suppress(OSError):
            places[folder() + os.sep] = ""
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
        places |= {f"/home/{user}": "~", f"/Users/{user}": "~"}
    usable = {found: instead for found, instead in places.items() if len(found.strip(os.sep)) > 1}
    return sorted(usable.items(), key=lambda pair: -len(pair[0]))
