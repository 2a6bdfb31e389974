"""The weekly run: parameters are checked first, five files arrive whole, and a failing cell is an honest failure."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import nbformat
import pandas as pd
import pytest
from lab_driver import chromium
from raw_server import KEY, serving

from flowperf_helpers.errors import ArgumentError, CredentialsError, DeadlineError, NotebookError, StorageError
from flowperf_helpers.report.html import find_browser, notebook_page, print_pdf
from flowperf_helpers.report.run import weekly
from flowperf_helpers.report.run.checks import (
    Parameter,
    check_parameters,
    holds_secret,
    notebook_parameters,
    parse_value,
    typed_values,
)
from flowperf_helpers.report.run.delivery import Deadline
from flowperf_helpers.report.run.execute import read_notebook, run_notebook, scrub_notebook, stock_notebook
from flowperf_helpers.report.run.weekly import NOTEBOOK, Manifest, run_weekly

STOCK = stock_notebook(NOTEBOOK)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path, list[str]]:
    """Run the stock report once, into a local folder."""
    folder = tmp_path_factory.mktemp("made")
    home, out = folder / "home", folder / "out"
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWPERF_HOME", str(home))
        manifest = run_weekly("sandbox", out=out, say=said.append)
    return manifest, out, said


def _changed(path: Path, *, last: str | None = None, parameters: str | None = None, tags: bool = True) -> Path:
    """Write a changed copy of the stock notebook."""
    notebook = read_notebook(STOCK)
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = "".join(cell["source"]) + f"\n{parameters or ''}"
            cell["metadata"] = cell["metadata"] if tags else {}
    if last is not None:
        notebook["cells"].append(
            {"cell_type": "code", "id": "last", "metadata": {}, "execution_count": None, "outputs": [], "source": last}
        )
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def _tiny(path: Path, *sources: str) -> Path:
    """Write a notebook of a few cells that needs no account."""
    first = "".join(
        next(c for c in read_notebook(STOCK)["cells"] if "parameters" in c["metadata"].get("tags", []))["source"]
    )
    cells = [nbformat.v4.new_code_cell(first, metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


# --- the whole run -------------------------------------------------------------------------------------------------


@pytest.mark.notebook
def test_run_leaves_five_named_files(made: tuple[Manifest, Path, list[str]]) -> None:
    """Page, notebook, data, spreadsheet and headline, by account and week, the list of weeks, and nothing else."""
    manifest, out, _ = made
    names = {f"weekly-sandbox-2026-W47.{kind}" for kind in ("html", "ipynb", "parquet", "xlsx", "json")}
    assert names | {"index.html"} == {path.name for path in out.iterdir()}
    assert ["html", "ipynb", "parquet", "xlsx", "json"] == [file.kind for file in manifest.files]
    assert all(file.size == Path(file.path).stat().st_size > 1000 for file in manifest.files)
    assert json.loads(json.dumps(manifest.to_dict()))["week"] == "2026-W47"


@pytest.mark.notebook
def test_run_says_what_was_asked(made: tuple[Manifest, Path, list[str]]) -> None:
    """The log names each request, its window and whether the store answered."""
    manifest, _, said = made
    text = "\n".join(said)
    assert 6 == manifest.headline["requests"]
    for words in (
        "values: 2026-11-16 to 2026-11-22",
        "weekly: 2025-12-01",
        "daily: 2026-09-25",
        "year_ago: 2025-11-17",
        "last_year: 2024-12-30",
    ):
        assert words in text


@pytest.mark.notebook
def test_files_agree_with_each_other(made: tuple[Manifest, Path, list[str]]) -> None:
    """The headline's deliveries are the sum of the Parquet file's rows, and the page shows them."""
    manifest, out, _ = made
    number = next(n for n in manifest.headline["numbers"] if n["statistic"] == "delivered")
    table = pd.read_parquet(out / "weekly-sandbox-2026-W47.parquet")
    assert number["value"] == table.loc[table["frame"] == "values", "delivered"].sum()
    assert number["text"] in (out / "weekly-sandbox-2026-W47.html").read_text(encoding="utf-8")


@pytest.mark.notebook
def test_kept_notebook_is_executed_and_clean(made: tuple[Manifest, Path, list[str]]) -> None:
    """The notebook has its code and outputs, is valid, and names neither folders of this machine nor the bundle."""
    _, out, _ = made
    path = out / "weekly-sandbox-2026-W47.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert {"kernelspec", "language_info"} >= set(notebook.metadata)
    text = path.read_text(encoding="utf-8")
    for place in (str(Path.home()) + "/", sys.prefix, "/tmp/", str(Path.cwd())):
        assert place not in text


@pytest.mark.notebook
def test_second_run_asks_nothing_and_goes_anywhere(
    made: tuple[Manifest, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report is made again from the store without a call, here to an fsspec address, with a cell of my own."""
    home = Path(made[0].files[0].path).parent.parent
    monkeypatch.setenv("FLOWPERF_HOME", str(shutil.copytree(home / "home", tmp_path / "home")))
    mine = _changed(
        tmp_path / "mine.ipynb", parameters='focus: str = "none"  # a flow I watch\n', last="print('I watch', focus)"
    )
    manifest = run_weekly(
        "sandbox", out="memory://second", notebook=mine, parameters={"focus": "T7K2j8"}, week="2026-w47"
    )
    assert 0 == manifest.headline["requests"]
    with fsspec.open("memory://second/mine-sandbox-2026-W47.html", "rt", encoding="utf-8") as page:
        assert "I watch T7K2j8" in page.read()


@pytest.mark.browser
@pytest.mark.notebook
def test_a_later_page_links_the_week_before_and_says_what_still_holds(
    made: tuple[Manifest, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page beside others links the report before it and all weeks; the one that is sent links nothing beside it."""
    monkeypatch.setenv("FLOWPERF_HOME", str(shutil.copytree(made[1].parent / "home", tmp_path / "home")))
    out = tmp_path / "out"
    out.mkdir()
    for week in ("2026-W45", "2026-W46", "2026-W48"):
        told = {**made[0].headline, "week": week}
        (out / f"weekly-sandbox-{week}.json").write_text(json.dumps(told), encoding="utf-8")
    sent: list[str] = []

    def watched(targets: Any, headline: Any, memory: Any, *, report: Path, **more: Any) -> tuple[list[str], list[str]]:
        sent.append(report.read_text(encoding="utf-8"))
        return [], []

    monkeypatch.setattr(weekly, "post", watched)
    run_weekly("sandbox", out=out)
    page = (out / "weekly-sandbox-2026-W47.html").read_text(encoding="utf-8")
    links = re.findall(r'<nav aria-label="Other weeks">(.*?)</nav>', page)
    assert ['<a href="weekly-sandbox-2026-W46.html">Week 46</a><a href="index.html">All weeks</a>'] == links
    assert (out / "index.html").is_file()
    first = page.index('id="since"')
    assert re.search(r"is silent since Tuesday <span class=.sub.>still so, third week</span></h3>", page[:first])
    print_pdf(out / "weekly-sandbox-2026-W47.html", tmp_path / "a.pdf")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "a.pdf").read_bytes())) <= 4
    assert "still so, third week" in sent[0]
    assert "Other weeks" not in sent[0]
    alone = (made[1] / "weekly-sandbox-2026-W47.html").read_text(encoding="utf-8")
    assert 1 == alone.count('<nav aria-label="Other weeks"><a href="index.html">All weeks</a></nav>')


@pytest.mark.notebook
def test_notebook_runs_bare_through_papermill(tmp_path: Path) -> None:
    """papermill alone runs it, with the parameters of interface.md, and writes nothing but its output."""
    out = tmp_path / "out.ipynb"
    command = [str(Path(sys.executable).parent / "papermill"), "--no-progress-bar", str(STOCK), str(out)]
    done = subprocess.run(
        [*command, "-p", "account", "sandbox", "-p", "week", "2026-W47"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert ["home", "out.ipynb"] == sorted(p.name for p in tmp_path.iterdir())
    assert "Nordlys Outfitters" in out.read_text(encoding="utf-8")


@pytest.mark.browser
def test_pdf_is_printed_where_chromium_is(made: tuple[Manifest, Path, list[str]], tmp_path: Path) -> None:
    """The page becomes an edition of two to four sheets through an installed Chromium."""
    assert find_browser() is not None
    _, out, _ = made
    print_pdf(out / "weekly-sandbox-2026-W47.html", tmp_path / "a.pdf")
    printed = (tmp_path / "a.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 4


def test_pdf_without_chromium_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Chromium the message names it and the way round."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArgumentError, match="Chromium"):
        print_pdf(tmp_path / "a.html", tmp_path / "a.pdf")
    with pytest.raises(ArgumentError, match="Chromium"):
        run_weekly("sandbox", out=tmp_path / "out", pdf=True)


# --- what is refused before a kernel starts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"week": "2026-W99"}, ArgumentError, "2026-W47"),
        ({"week": "last"}, ArgumentError, "not an ISO week"),
        ({"week": "0001-W01"}, ArgumentError, "not an ISO week"),
        ({"week": "9999-W52"}, ArgumentError, "not an ISO week"),
        ({"account": "live", "week": "2099-W01"}, ArgumentError, "future"),
        ({"week": "2026-W48"}, ArgumentError, "still running"),
        ({"integration": "your integration"}, ArgumentError, "YourIntegration"),
        ({"conversion_metric": "Placed Order"}, ArgumentError, "RplOrd"),
        ({"account": "a/b"}, ArgumentError, "letters, digits"),
        ({"account": "nobody"}, ArgumentError, "nobody"),
        ({"account": "live"}, CredentialsError, "KLAVIYO_ACCESS_TOKEN"),
        ({"parameters": {"wek": "2026-W47"}}, ArgumentError, "did you mean week"),
        ({"parameters": {"refresh": "maybe"}}, ArgumentError, "bool"),
        ({"parameters": {"account": "live"}}, ArgumentError, "give --account"),
        ({"parameters": {"week": "../../x"}}, ArgumentError, "give --week"),
        ({"parameters": {"allow_partial": True}}, ArgumentError, "give --allow-partial"),
        ({"parameters": {"bundle": "/var/tmp"}}, ArgumentError, "leave it out"),
        ({"notebook": "nowhere.ipynb"}, ArgumentError, "cannot be read"),
    ],
)
def test_wrong_parameters_stop_before_the_kernel(
    wanted: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    """Wrong names, weeks, accounts and notebooks are refused at once, and nothing is written."""
    with pytest.raises(error, match=words):
        run_weekly(**{"account": "sandbox", "out": tmp_path / "out", **wanted})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("focus", "pk_0123456789abcdef"),
        ("api_key", "x"),
        ("focus", "my-canary-secret"),
        ("focus", ["a", {"token": "b"}]),
    ],
)
def test_secret_as_a_parameter_is_refused(name: str, value: object) -> None:
    """What looks like a key, or is the value of a variable named like one, becomes no parameter and no message."""
    known = notebook_parameters(read_notebook(STOCK)) | {
        "focus": notebook_parameters(read_notebook(STOCK))["week"],
        "api_key": notebook_parameters(read_notebook(STOCK))["week"],
    }
    with pytest.raises(CredentialsError, match="api_key_env") as caught:
        check_parameters(known, {name: value}, environ={"ACME_KLAVIYO_KEY": "my-canary-secret"})
    assert "canary" not in str(caught.value)
    assert "pk_" not in str(caught.value)


def test_paths_and_ids_are_no_secrets() -> None:
    """A folder, an address, a week, an id and a sentence pass."""
    known = notebook_parameters(read_notebook(STOCK))
    for text in ("/srv/reports/2026/acme-shop-denmark/w47", "s3://bucket/reports-2026/acme", "2026-W47",
                 "01GJTHNWVG93F3KNX71SJ4FDBB",                 "Placed Order on the Danish shop"):  # fmt: skip
        assert not holds_secret(text, environ={"KLAVIYO_API_KEY": "pk_abcdef"})
        check_parameters(known, {"week": text}, environ={"KLAVIYO_API_KEY": "pk_abcdef"})


def test_parameters_are_read_with_type_default_and_help() -> None:
    """The tagged cell is the signature: name, type, default and help of each parameter."""
    known = notebook_parameters(read_notebook(STOCK))
    assert ["account", "week", "integration", "conversion_metric", "allow_partial", "refresh", "bundle"] == list(known)
    assert ("str", "sandbox") == (known["account"].type, known["account"].default)
    assert "ISO week" in known["week"].help
    assert parse_value("true", known["refresh"]) is True
    with pytest.raises(ArgumentError, match="bool"):
        parse_value("maybe", known["refresh"])


def test_text_from_a_command_line_becomes_the_declared_type() -> None:
    """`-p top 12` is a number where the copy declares one; what does not fit is refused, a secret unrepeated."""
    kinds = {"top": "int", "share": "float", "wide": "bool", "flows": "list", "title": "str"}
    known = {name: Parameter(name, kind, None, "") for name, kind in kinds.items()}
    texts = {"top": "12", "share": "0.5", "wide": "True", "flows": '["a", "b"]', "title": "12", "unknown": "1"}
    expected = {"top": 12, "share": 0.5, "wide": True, "flows": ["a", "b"], "title": "12", "unknown": "1"}
    assert expected == typed_values(known, texts)
    for name, text in (("top", "twelve"), ("share", "NaN"), ("flows", "a,b"), ("wide", "yes"), ("flows", "[" * 9999)):
        with pytest.raises(ArgumentError, match=f"{name} is of type {kinds[name]}"):
            typed_values(known, {name: text})
    with pytest.raises(CredentialsError) as refused:
        check_parameters(known, typed_values(known, {"top": "pk_0123456789abcdef"}))
    assert "0123456789" not in str(refused.value)


def test_a_copy_takes_a_number_from_the_command_line(tmp_path: Path) -> None:
    """The run goes past the parameters: what stops this one is its own cell, which counts with the number."""
    failing = "from flowperf_helpers.errors import NoRowsError\nraise NoRowsError(f'{top + 1} rows')"
    copy = _tiny(tmp_path / "copy.ipynb", failing)
    notebook = json.loads(copy.read_text())
    cell = notebook["cells"][0]
    cell["source"] = "".join(cell["source"]) + "\ntop: int = 10  # rows of the table"
    copy.write_text(json.dumps(notebook))
    with pytest.raises(NotebookError, match="13 rows"):
        run_weekly("sandbox", out=tmp_path / "out", notebook=copy, parameters={"top": "12"})


@pytest.mark.notebook
@pytest.mark.parametrize("name", ["01_discover_metrics.ipynb", "05_weekly_report.ipynb"])
def test_bare_papermill_with_a_misspelt_parameter_stops(name: str, tmp_path: Path) -> None:
    """papermill only warns: the notebook itself refuses, names what was meant, and asks nothing."""
    papermill = str(Path(sys.executable).parent / "papermill")
    done = subprocess.run(
        [papermill, "--no-progress-bar", str(STOCK.parent / name), "-", "-p", "acount", "live"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 != done.returncode
    assert "This notebook has no parameter acount: did you mean account?" in done.stderr
    assert not (tmp_path / "home" / "snapshots").exists()


def test_notebook_without_the_parameters_is_refused(tmp_path: Path) -> None:
    """A copy that lost its tagged cell, or a parameter that the command fills, is refused with the remedy."""
    with pytest.raises(ArgumentError, match="tagged 'parameters'"):
        run_weekly("sandbox", out=tmp_path, notebook=_changed(tmp_path / "a.ipynb", tags=False))
    cell = nbformat.v4.new_code_cell('account = "sandbox"', metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "b.ipynb")
    with pytest.raises(ArgumentError, match="bundle"):
        run_weekly("sandbox", out=tmp_path, notebook=tmp_path / "b.ipynb")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: n["cells"].append(None), "cells/"),
        (lambda n: n["cells"][3].update(source=None), "cells/3"),
        (lambda n: n["cells"][2]["metadata"].update(tags=None), "cells/2"),
        (lambda n: n.update(metadata=None), "metadata"),
        (lambda n: n.update(nbformat=3), "nbformat"),
        (lambda n: n.pop("nbformat"), "nbformat"),
        (lambda n: n.pop("cells"), "missing"),
        (lambda n: n.update(cells={}), "cells"),
    ],
)
def test_broken_notebook_is_refused(change: Callable[[dict[str, Any]], Any], words: str, tmp_path: Path) -> None:
    """A notebook that breaks Jupyter's schema, or of an older format, is a wrong argument that says where."""
    notebook = read_notebook(STOCK)
    change(notebook)
    (tmp_path / "mine.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.raises(ArgumentError, match=f"{words}.*open it in Jupyter"):
        run_weekly("sandbox", out=tmp_path / "out", notebook=tmp_path / "mine.ipynb")


# --- a run that fails ----------------------------------------------------------------------------------------------


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ('from flowperf_helpers.errors import NoRowsError\nraise NoRowsError("No rows came.")', 5, "No rows came."),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_failing_cell_is_a_failed_file(source: str, code: int, words: str, tmp_path: Path) -> None:
    """Our error keeps its words and exit code, a stranger's is 1; the notebook is kept, without this machine in it."""
    with pytest.raises(NotebookError, match=words) as caught:
        run_weekly("sandbox", out=tmp_path / "out", notebook=_tiny(tmp_path / "mine.ipynb", source))
    assert code == caught.value.exit_code
    kept = tmp_path / "out" / "mine-sandbox-latest-FAILED.ipynb"
    assert str(kept) == str(caught.value.path)
    assert [kept.name] == [p.name for p in (tmp_path / "out").iterdir()]
    assert sys.prefix not in kept.read_text(encoding="utf-8")
    assert caught.value.cause_name in caught.value.traceback


@pytest.mark.notebook
def test_failed_notebook_at_an_address_is_named_by_it(tmp_path: Path) -> None:
    """The address keeps both of its slashes, so that it can be opened as it is printed."""
    with pytest.raises(NotebookError) as caught:
        run_weekly("sandbox", out="memory://failed", notebook=_tiny(tmp_path / "mine.ipynb", "1 / 0"))
    assert "memory://failed/mine-sandbox-latest-FAILED.ipynb" == str(caught.value.path)


@pytest.mark.notebook
def test_deadline_covers_the_whole_run(tmp_path: Path) -> None:
    """Cells that each stay under the deadline do not outlive it together."""
    slow = _tiny(tmp_path / "slow.ipynb", *["import time; open('begun', 'a').write('x'); time.sleep(2)"] * 20)
    with pytest.raises(NotebookError, match="deadline of 6 seconds") as caught:
        run_notebook(slow, parameters={}, cwd=tmp_path, output=tmp_path / "out.ipynb", timeout=6)
    assert DeadlineError.exit_code == caught.value.exit_code
    assert len((tmp_path / "begun").read_text()) <= 3


@pytest.mark.notebook
def test_copy_that_saves_nothing_is_told(tmp_path: Path) -> None:
    """A copy without report.save(bundle) ends with the sentence that says so."""
    with pytest.raises(ArgumentError, match=r"report\.save\(bundle\)"):
        run_weekly("sandbox", out=tmp_path / "out", notebook=_tiny(tmp_path / "mine.ipynb", "1"))


@pytest.mark.notebook
def test_unexpected_kernel_death_is_our_error(tmp_path: Path) -> None:
    """A kernel that dies is a sentence, not a stack trace."""
    with pytest.raises(NotebookError, match="kernel"):
        run_notebook(
            _tiny(tmp_path / "a.ipynb", "import os; os._exit(3)"),
            parameters={},
            cwd=tmp_path,
            output=tmp_path / "out.ipynb",
            timeout=60,
        )


def test_second_run_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one report do not fight: the second waits, and gives up at its deadline with a sentence."""
    from flowperf_helpers.report.run.weekly import _lock

    environ = {"FLOWPERF_HOME": str(tmp_path / "home")}
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with _lock("sandbox", tmp_path / "out", environ, Deadline()):
            holding.set()
            done.wait(30)

    first = threading.Thread(target=hold)
    first.start()
    holding.wait(10)
    with pytest.raises(DeadlineError, match="another run"):
        run_weekly("sandbox", out=tmp_path / "out", timeout=1, environ=environ)
    with _lock("sandbox", tmp_path / "elsewhere", environ, Deadline(1)):
        pass
    done.set()
    first.join()


def test_the_deadline_covers_the_look_up_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drips while a name is looked up does not hold the run beyond its deadline."""
    gone = threading.Event()

    def drip(connection: socket.socket, url: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        while not gone.wait(0.05):
            connection.sendall(b"x")

    with serving(drip) as server:
        monkeypatch.setenv("KLAVIYO_API_KEY", KEY)
        monkeypatch.setenv("KLAVIYO_BASE_URL", server.url)
        with pytest.raises(DeadlineError, match="2 seconds passed while names were being looked up"):
            run_weekly("live", out=tmp_path / "out", conversion_metric="Placed Order", timeout=2)
        gone.set()


# --- the page out of a notebook ------------------------------------------------------------------------------------


def _cell(kind: str, source: str, *tags: str, outputs: list[Any] | None = None) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"c{abs(hash(source)) % 10**8}",
        "metadata": {"tags": list(tags)},
        "source": source,
    }
    return cell | ({"execution_count": 1, "outputs": outputs or []} if kind == "code" else {})


def test_page_shows_texts_and_outputs_but_no_asides() -> None:
    """Markdown and outputs are shown, cells tagged notebook-only, code, stderr and scripts of widgets are not."""
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "printed <b>"},
        {"output_type": "stream", "name": "stderr", "text": "a warning"},
        {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "plain"}},
        {"output_type": "display_data", "metadata": {}, "data": {"application/javascript": "alert(1)"}},
    ]
    cells = [
        _cell("markdown", "# My own words"),
        _cell("markdown", "an aside", "notebook-only"),
        _cell("code", "hidden_code()", outputs=outputs),
    ]
    page = notebook_page({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, title="<t>")
    assert "My own words" in page
    assert "printed &lt;b&gt;" in page
    assert "plain" in page
    for absent in ("an aside", "hidden_code", "a warning", "alert(1)", "<title><t>"):
        assert absent not in page


def test_scrubbing_forgets_this_machine() -> None:
    """Home, user, Python's folder and papermill's notes leave the notebook; its own words stay."""
    text = f"{Path.home()}/x {sys.prefix}/lib {Path.cwd()}/notes hello"
    notebook = {
        "cells": [
            {"cell_type": "markdown", "metadata": {"papermill": {"start_time": "now"}, "tags": ["a"]}, "source": text}
        ],
        "metadata": {"papermill": {"input_path": text}, "kernelspec": {"name": "python3"}},
    }
    clean = scrub_notebook(notebook)
    assert {"kernelspec"} == set(clean["metadata"])
    assert {"tags": ["a"]} == clean["cells"][0]["metadata"]
    assert "hello" in clean["cells"][0]["source"]
    for place in (sys.prefix, str(Path.cwd())):
        assert place not in clean["cells"][0]["source"]


def test_no_temporary_folder_at_all_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no temporary folder takes a file, the sentence says so; naming the folder does not fail in turn."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="TMPDIR"):
        run_weekly("sandbox", out=tmp_path / "out")


@pytest.mark.notebook
def test_cell_that_prints_without_end_is_our_error(tmp_path: Path) -> None:
    """More output than anybody reads is refused in words, and is not kept."""
    flood = _tiny(tmp_path / "flood.ipynb", "print('x' * 90_000_000)")
    with pytest.raises(NotebookError, match="print less") as caught:
        run_weekly("sandbox", out=tmp_path / "out", notebook=flood)
    assert 2 == caught.value.exit_code
    assert [] == list((tmp_path / "out").iterdir())


# --- a copy of one's own ---------------------------------------------------------------------------------------------


def _advised() -> list[str]:
    """Code that "Make it yours" tells a reader to put into cells, with what it has to follow."""
    text = next(
        "".join(c["source"]) for c in read_notebook(STOCK)["cells"] if "## Make it yours" in "".join(c["source"])
    )
    imports, shows = re.findall(r"`(from [^`]+)`", text), re.findall(r"`(report\.section[^`]+)`", text)
    assert (1, 2) == (len(imports), len(shows))
    return [*imports, *shows]


@pytest.fixture(scope="module")
def yours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a copy made by the advice, and with bare frames and pictures too, into a folder that has a stock report."""
    folder = tmp_path_factory.mktemp("yours")
    notebook = read_notebook(STOCK)
    place = [cell["id"] for cell in notebook["cells"]].index("weekly-16")
    bare = [
        "report.family.tests",
        "plot_values(answers.current, statistic='click_rate')",
        "report.section(report.flows, 'All flows', 'As a table.')",
    ]
    cells = [nbformat.v4.new_code_cell(source) for source in (*_advised(), *bare)]
    notebook["cells"][place:place] = [dict(cell, outputs=[]) for cell in cells]
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = "".join(cell["source"]) + '\nfocus: str = "T7K2j8"  # the flow I watch'
    (folder / "my_report.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (folder / "out").mkdir()
    (folder / "out" / "weekly-sandbox-2026-W47.html").write_text("stock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWPERF_HOME", str(folder / "home"))
        run_weekly("sandbox", out=folder / "out", notebook=folder / "my_report.ipynb", parameters={"focus": "T7K2j8"})
    return folder / "out"


@pytest.mark.notebook
def test_copy_writes_under_its_own_name(yours: Path) -> None:
    """The files begin with the copy's name, and the stock report beside them stays."""
    kinds = ("html", "ipynb", "json", "parquet", "xlsx")
    names = {f"my_report-sandbox-2026-W47.{kind}" for kind in kinds} | {"weekly-sandbox-2026-W47.html", "index.html"}
    assert names == {path.name for path in yours.iterdir()}
    assert "stock" == (yours / "weekly-sandbox-2026-W47.html").read_text()


@pytest.mark.notebook
def test_what_a_reader_adds_is_shown_in_the_style_of_the_page(yours: Path) -> None:
    """Tables in units with words as heads, pictures with their words; no name of a Python object and no raw frame."""
    page = (yours / "my_report-sandbox-2026-W47.html").read_text(encoding="utf-8")
    for absent in ("&lt;Axes", "<Axes", "&lt;Figure", 'class="dataframe"', "style scoped"):
        assert absent not in page
    assert re.search(r"<th [^>]*fp-n[^>]*>Probability best</th>", page)
    assert re.search(r'<img [^>]*alt="Dot plot of click rate for \d+ flows', page)


@pytest.mark.notebook
@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_what_a_reader_adds_fits_the_page(yours: Path) -> None:
    """Wide tables scroll in their box: the page itself is no wider than the window."""
    with chromium(width=1280) as page:
        page.goto((yours / "my_report-sandbox-2026-W47.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_copy_called_like_the_stock_report_is_refused(tmp_path: Path) -> None:
    """A copy whose files would be the stock report's gets the advice to be called something else."""
    with pytest.raises(ArgumentError, match="another name"):
        run_weekly("sandbox", out=tmp_path / "out", notebook=_changed(tmp_path / "weekly.ipynb"))
