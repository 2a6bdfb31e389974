"""One weekly report from its parameters to its files: check, run the notebook, make the page, deliver, tell.

This process never computes a number. The notebook does, in its kernel, and leaves the data files in a folder whose
name it is given (`WeeklyReport.save`); here they are joined by the executed notebook and the page made of it.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from flowperf_helpers.errors import (
    ArgumentError,
    DeadlineError,
    FlowperfError,
    NotebookError,
    StorageError,
    TransportError,
)
from flowperf_helpers.report.digest import check_condition
from flowperf_helpers.report.html import installed_browser, notebook_page, print_pdf
from flowperf_helpers.report.memory import Memory, linked_weeks, marked_since, memory_part, page_before, remember
from flowperf_helpers.report.run.archive import INDEX, Headlines, may_replace, read_headlines, series_of, update_archive
from flowperf_helpers.report.run.checks import check_names, check_run, checked_week
from flowperf_helpers.report.run.delivery import (
    Deadline,
    Delivered,
    check_target,
    deliver,
    is_address,
    local_folder,
    workplace,
)
from flowperf_helpers.report.run.execute import read_notebook, run_notebook, scrub_notebook, stock_notebook
from flowperf_helpers.report.run.send import find_targets, post

__all__ = ["NOTEBOOK", "Manifest", "file_names", "file_prefix", "run_weekly"]

NOTEBOOK = "05_weekly_report.ipynb"
LONGEST_RUN = 604_800
"""Seconds in a week: the longest deadline, as the next report is due by then."""
GRACE_SECONDS = 5
"""How long after its deadline a run may still be bringing what it has made to its place."""
LONGEST_PRINT = 120
_MORE_TIME = "give it more with --timeout; what Klaviyo had answered is kept."
PAGE = "report.html"
KINDS = ("html", "ipynb", "parquet", "xlsx", "json", "pdf")


@dataclass(frozen=True)
class Manifest:
    """What a run left behind.

    Attributes
    ----------
    account, week : str
    files : list of Delivered
        In the order html, ipynb, parquet, xlsx, json, pdf.
    headline : dict
        Content of the ``.json`` file.
    seconds : float
        Wall time.
    sent : list of str
        Targets that have the message.
    undelivered : list of str
        What did not arrive of messages and of the list of weeks, a sentence each.
    """

    account: str
    week: str
    files: list[Delivered]
    headline: dict[str, Any] = field(repr=False)
    seconds: float = 0.0
    sent: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for ``--json``."""
        return asdict(self)


def file_names(account: str, week: str, *, prefix: str = "weekly") -> dict[str, str]:
    """Kind to file name, such as ``weekly-acme-2026-W47.html``."""
    return {kind: f"{prefix}-{account}-{week}.{kind}" for kind in KINDS}


def file_prefix(source: Path) -> str:
    """How the files of a notebook begin: a changed copy never overwrites the stock report's."""
    if source.resolve() == stock_notebook(NOTEBOOK).resolve():
        return "weekly"
    if source.stem == "weekly":
        raise ArgumentError(f"The files of {source.name} would be the stock report's: give the copy another name.")
    return source.stem


def run_weekly(
    account: str = "sandbox",
    *,
    out: str | Path,
    week: str | None = None,
    integration: str | None = None,
    conversion_metric: str | None = None,
    notebook: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    pdf: bool = False,
    allow_partial: bool = False,
    refresh: bool = False,
    timeout: float | None = None,
    send: Sequence[str] = (),
    send_if: str = "always",
    say: Callable[[str], None] | None = None,
    stderr: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> Manifest:
    """Make one account's report of one week.

    Parameters
    ----------
    account : str
        ``"sandbox"``, ``"live"`` or a section of ``accounts.toml``.
    out : path or address
        Folder, or an fsspec address of one.
    week : str, optional
        ISO label; without it the last complete week in the account's zone.
    notebook : path, optional
        A changed copy of the stock notebook; its files begin with its own name instead of ``weekly``.
    parameters : mapping, optional
        Further parameters of that copy; a text stands for a value of the type that the copy declares. What is an
        argument here is refused.
    timeout : float, optional
        Deadline in seconds of the whole run: names, waiting, notebook, page, PDF and delivery. What was made by then
        is brought to ``out`` in a few seconds more, or kept in a temporary folder; the error names it.
    send : sequence of str, optional
        Targets of ``accounts.toml`` that get a message; one that does not arrive is named in the manifest.
    send_if : str, optional
        ``"always"``, ``"signal"`` or ``"change:PCT"``; see `flowperf_helpers.report.digest.reason_to_send`.
    say : callable, optional
        Gets one line at a time of what is being done.
    stderr : text file, optional
        Gets what the kernel writes to its stderr while it runs.

    Raises
    ------
    ArgumentError
        Unknown parameter, unknown or future week, unusable notebook.
    NotebookError
        A cell failed; the notebook is kept as ``…-ACCOUNT-WEEK-FAILED.ipynb`` and `path` says where.
    StorageError
        The files could not be written.
    DeadlineError
        The deadline passed before, or after, the notebook ran (`NotebookError` with the same exit code while it ran).
    """
    started = time.monotonic()
    if timeout is not None and not 1 <= timeout <= LONGEST_RUN:
        raise ArgumentError(f"The deadline is 1 to {LONGEST_RUN:,} seconds, not {timeout:g}: give another --timeout.")
    deadline = Deadline(timeout)
    here = local_folder(".")
    tell = say or (lambda line: None)
    environ = os.environ if environ is None else environ
    source = stock_notebook(NOTEBOOK) if notebook is None else Path(notebook)
    prefix = file_prefix(source)
    values: dict[str, Any] = {
        "account": account,
        "week": checked_week(week, account=account, allow_partial=allow_partial),
        "integration": integration or "",
        "conversion_metric": conversion_metric or "",
        "allow_partial": allow_partial,
        "refresh": refresh,
    }
    values = check_run(source, values, parameters or {}, environ=environ)
    try:
        check_names(account, values["integration"], values["conversion_metric"], seconds=deadline.left())
    except TransportError as error:
        if deadline.left() != 0:
            raise
        raise DeadlineError(f"{deadline.error('names were being looked up')}: {_MORE_TIME}") from error
    if pdf:
        installed_browser()
    check_target(out, deadline=deadline)
    check_condition(send_if)
    targets = find_targets(send, account=account, environ=environ)
    weeks = _weeks(out, tell, deadline)
    listed = False
    with suppress(StorageError):  # told where the list is written
        listed = weeks is not None and deadline.hold(f"{out} did not answer", lambda: may_replace(out))
    earlier = series_of(weeks or {}, f"{prefix}-{account}")
    with workplace() as work, _lock(account, out, environ, deadline):
        # what makes the page is imported while the kernel works, after what runs it: both need the same packages, and
        # two threads that import them at once meet half-made ones
        importlib.import_module("papermill")
        warming = threading.Thread(target=importlib.import_module, args=("nbconvert.exporters",), daemon=True)
        warming.start()
        tell(f"running {source.name} for account {account}, week {values['week'] or 'last complete'}")
        bundle = work / "bundle"
        bundle.mkdir(mode=0o700)
        done = work / "executed.ipynb"
        try:
            executed = run_notebook(
                source, parameters={**values, "bundle": str(bundle)}, cwd=here, output=done, timeout=deadline.left(),
                stderr=stderr,
            )  # fmt: skip
        except NotebookError as failure:
            if done.is_file():
                failure.path = _keep_failed(done, f"{prefix}-{account}-{values['week'] or 'latest'}", out, bundle)
            raise
        warming.join(deadline.left())
        headline = _headline(bundle, source)
        for line in headline.get("log", []):
            tell(line)
        names = file_names(account, headline["week"], prefix=prefix)
        memory = remember(headline, earlier)
        links = page_before(headline, earlier, prefix) | ({INDEX: "All weeks"} if listed else {})
        delivered = _finish(
            executed, bundle, headline, memory, out, names=names, links=links, pdf=pdf, deadline=deadline
        )
        sent, undelivered = post(
            targets, headline, memory, condition=send_if, report=work / PAGE, report_name=names["html"], say=tell
        )
        if weeks is not None:
            try:
                with _lock("", out, environ, deadline):
                    index = deadline.hold("the list of weeks was being written", lambda: update_archive(out, work))
                tell(f"all weeks: {index.path}" if index else "index.html is somebody else's and stays as it is")
            except (DeadlineError, StorageError) as error:
                undelivered.append(f"{str(error).rstrip('.')}.")
    seconds = round(time.monotonic() - started, 2)
    return Manifest(account, headline["week"], delivered, headline, seconds, sent, undelivered)


def _weeks(out: str | Path, tell: Callable[[str], None], deadline: Deadline) -> Headlines | None:
    """Return the weeks that are there already, or None where they may not be read: a report needs none of them."""
    try:
        return deadline.hold(f"{out} did not answer", lambda: read_headlines(out))
    except StorageError as error:
        tell(f"{error} Without them nothing is said about earlier weeks.")
        return None


@contextmanager
def _lock(account: str, out: str | Path, environ: Mapping[str, str], deadline: Deadline) -> Any:
    """Let one run of a report at a time write to one place; the second waits for the first."""
    import filelock

    from flowperf_helpers.klaviyo.storage import flowperf_home, private_folder

    place = str(out) if is_address(out) else str(local_folder(out))
    mark = hashlib.sha256(f"{account}\n{place}".encode()).hexdigest()[:16]
    path = private_folder(flowperf_home(environ) / "locks") / f"weekly-{mark}.lock"
    try:
        with filelock.FileLock(path, timeout=-1 if (left := deadline.left()) is None else left, mode=0o600):
            yield
    except filelock.Timeout as error:
        raise DeadlineError(
            f"{deadline.error('another run of this report was at work')}: run it again later."
        ) from error


def _headline(bundle: Path, source: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((bundle / "headline.json").read_text(encoding="utf-8")))
    except OSError as error:
        raise ArgumentError(
            f"{source.name} ran to its end and saved no numbers: its last cell has to call report.save(bundle)."
        ) from error


def _finish(
    executed: Any,
    bundle: Path,
    headline: Mapping[str, Any],
    memory: Memory,
    out: str | Path,
    *,
    names: Mapping[str, str],
    links: Mapping[str, str],
    pdf: bool,
    deadline: Deadline,
) -> list[Delivered]:
    """Put the notebook, the page and the PDF beside the data files of the kernel, and bring all to their place.

    The page that lies beside others has links to them; the one that is sent and printed has none.
    """
    work = bundle.parent
    files = {kind: bundle / f"data.{kind}" for kind in ("parquet", "xlsx")} | {"json": bundle / "headline.json"}
    sent = False
    try:
        clean = scrub_notebook(executed, forget={str(bundle): "", str(work): ""})
        for cell in clean["cells"]:
            if "injected-parameters" in cell["metadata"].get("tags", []):
                cell["source"] = re.sub(r"(?m)^bundle = .*$", 'bundle = ""', "".join(cell["source"]))
        mark = "SANDBOX: " if headline.get("sandbox") else ""
        title = f"{mark}{headline['account']['title']}, week {headline['week']}"
        files["ipynb"] = _written(work / "report.ipynb", _as_text(clean))
        page = deadline.hold("the page was being made", lambda: notebook_page(_remembered(clean, memory), title=title))
        alone = _written(work / PAGE, page)
        files["html"] = _written(work / "linked.html", linked_weeks(page, links))
        if pdf:
            files["pdf"] = _printed(alone, work / "report.pdf", deadline)
        sent = True
        return deliver(files, out, names=names, deadline=deadline)
    except DeadlineError as error:
        kept = _keep(files, out, names, try_place=not sent)
        raise DeadlineError(f"{error}: {_MORE_TIME} What was made is in {_listed(kept)}.") from error


def _written(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path.name} could not be written ({error.strerror}): free some space.", path=path
        ) from error
    return path


def _printed(page: Path, pdf: Path, deadline: Deadline) -> Path:
    """Print the page, for two minutes at most; the PDF is there when it is whole."""
    doing = "the PDF was being printed"
    deadline.check(doing)
    left = deadline.left()
    try:
        print_pdf(page, pdf, timeout=LONGEST_PRINT if left is None else min(left, LONGEST_PRINT))
    except TimeoutError as error:
        if deadline.left() == 0:
            raise deadline.error(doing) from error
        raise StorageError(f"{error} Print the HTML file by hand, or leave --pdf out.", path=pdf) from error
    return pdf


def _keep(
    files: Mapping[str, Path], out: str | Path, names: Mapping[str, str], *, try_place: bool = True
) -> list[Delivered]:
    """Bring what was made to its place in a few seconds, or into a temporary folder that stays."""
    if try_place:
        with suppress(FlowperfError):
            return deliver(files, out, names=names, deadline=Deadline(GRACE_SECONDS))
    return deliver(files, tempfile.mkdtemp(prefix="flowperf-kept-"), names=names)


def _listed(kept: Sequence[Delivered]) -> str:
    """Folder and names of files, as a sentence ends with them."""
    folder = kept[0].path.removesuffix(Path(kept[0].path).name).rstrip("/")
    return f"{folder or '.'}: {', '.join(Path(file.path).name for file in kept)}"


def _remembered(clean: dict[str, Any], memory: Memory) -> dict[str, Any]:
    """Say on the first screen of the page which findings are old news, and behind it also which are gone."""
    html = memory_part(memory)
    if not html:
        return clean
    since: dict[str, Any] = {
        "cell_type": "code", "id": "since", "metadata": {}, "execution_count": None, "source": "",
        "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}],
    }  # fmt: skip
    cells = list(clean["cells"])
    first = next((place for place, cell in enumerate(cells) if _is_on_the_page(cell)), len(cells) - 1)
    cells[first] = copy.deepcopy(cells[first])  # the kept notebook stays as it ran
    for output in cells[first].get("outputs", []):
        data = output.get("data", {})
        if "text/html" in data:
            data["text/html"] = marked_since("".join(data["text/html"]), memory)
    return {**clean, "cells": [*cells[: first + 1], since, *cells[first + 1 :]]}


def _is_on_the_page(cell: Mapping[str, Any]) -> bool:
    tags = cell["metadata"].get("tags", [])
    return cell["cell_type"] == "code" and "notebook-only" not in tags and bool(cell["outputs"])


def _keep_failed(done: Path, stem: str, out: str | Path, bundle: Path) -> Path | str:
    """Keep the notebook as far as it got, without the machine in it, and return where."""
    clean = scrub_notebook(read_notebook(done), forget={str(bundle): "", str(bundle.parent): ""})
    name = f"{stem}-FAILED.ipynb"
    kept = bundle.parent / name
    kept.write_text(_as_text(clean), encoding="utf-8")
    place = _keep({"ipynb": kept}, out, {"ipynb": name})[0].path
    return place if is_address(place) else Path(place)


def _as_text(notebook: Mapping[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
