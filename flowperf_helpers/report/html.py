"""The page: its parts by templates that escape everything, and an executed notebook as one file."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from flowperf_helpers.errors import ArgumentError, StorageError
from flowperf_helpers.frames.formats import clean_name, short_name
from flowperf_helpers.plots import tables

__all__ = [
    "Section", "fill", "find_browser", "installed_browser", "notebook_page", "print_pdf", "render", "templates_folder",
]  # fmt: skip


# An executed notebook as one HTML page that asks nobody for anything, and as a PDF where a Chromium is installed.

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_BROWSER_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--no-pdf-header-footer",
)  # fmt: skip

_ARTIST = re.compile(r"(array\(\[+|[\[({]\s*)*(<(matplotlib|Axes|Figure|BarContainer|ErrorbarContainer)\b|Text\()")
_NOTEBOOK_STYLE = re.compile(r'<style class="fp-notebook">.*?</style>\s*', re.DOTALL)
_PANDAS_STYLE = re.compile(r"<style scoped>.*?</style>", re.DOTALL)


def templates_folder() -> Path:
    """Where the templates, the style and the script of the page lie."""
    return Path(__file__).parent / "templates"


def _style() -> str:
    """Return the style of tables, then that of the page, which goes before it."""
    return tables.style() + (templates_folder() / "report.css").read_text(encoding="utf-8")


def _notebook_style() -> str:
    """Return the same style for a cell of a notebook: nothing outside of the report's own parts is touched."""
    inside = _style().replace(":root{", "&{").replace("body{", "&{").replace("body:", "&:").replace("html{", "&{")
    return f'<style class="fp-notebook">.fp{{{inside}}}</style>\n'


def notebook_page(notebook: Mapping[str, Any], *, title: str) -> str:
    """Turn an executed notebook into one HTML file by nbconvert and our template.

    Markdown cells and outputs are shown in their order; code is not (it is in the ``.ipynb``), nor are cells tagged
    ``notebook-only``, widgets (blank without a kernel) and what the kernel wrote to its stderr.

    Parameters
    ----------
    notebook : mapping
        As JSON values; see `flowperf_helpers.report.run.execute.scrub_notebook`.
    title : str
        Of the page; escaped here.
    """
    import nbformat
    from nbconvert.exporters import HTMLExporter, TemplateExporter
    from nbformat.v4.rwbase import rejoin_lines

    node = rejoin_lines(nbformat.from_dict(notebook))
    node.metadata.pop("widgets", None)
    for cell in node.cells:
        if cell.cell_type == "code":
            cell.outputs = [_shown(output) for output in cell.outputs if not _is_by_the_way(output)]
    script = (templates_folder() / "page.js").read_text(encoding="utf-8")
    exporter = HTMLExporter(
        template_name="page",
        extra_template_basedirs=[str(templates_folder())],
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
        exclude_input=True,
    )
    resources = {
        "flowperf": {
            "title": title,
            "style": _style(),
            "script": script,
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        }
    }
    # HTMLExporter's own method parses and rewrites the whole page for alternative texts, which ours has
    page, _ = TemplateExporter.from_notebook_node(exporter, node, resources=resources)
    return str(page)


def _is_by_the_way(output: Any) -> bool:
    """Whether an output is only the name of what a plotting call returned; its picture is an output of its own."""
    data = output.get("data", {})
    return set(data) == {"text/plain"} and bool(_ARTIST.match(data["text/plain"]))


def _shown(output: Any) -> Any:
    """An output with pandas' own table in a box that scrolls, in the page's style, which the page has once."""
    text = output.get("data", {}).get("text/html", "")
    if "fp-notebook" in text:
        output["data"]["text/html"] = text = bare_part(text)
    if 'class="dataframe"' in text:
        bare = _PANDAS_STYLE.sub("", text).replace('<table border="1" class="dataframe">', "<table>")
        output["data"]["text/html"] = (
            f'<div class="fp-scroll" tabindex="0" role="region" aria-label="table">{bare}</div>'
        )
    return output


def bare_part(html: str) -> str:
    """A part of the report as the page has it: without the style that it brings along for a notebook."""
    return _NOTEBOOK_STYLE.sub("", html)


def find_browser() -> str | None:
    """Path of an installed Chromium, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def installed_browser() -> str:
    """Path of an installed Chromium.

    Raises
    ------
    ArgumentError
        There is none.
    """
    if browser := find_browser():
        return browser
    raise ArgumentError(
        "A PDF needs Chromium and none is installed: install it (apt install chromium), or print the HTML file from "
        "any browser."
    )


def print_pdf(page: Path, pdf: Path, *, timeout: float = 120.0) -> None:
    """Print an HTML file into a PDF.

    Raises
    ------
    ArgumentError
        No Chromium is installed.
    TimeoutError
        It did not end in time; it is stopped, with the processes it started.
    StorageError
        It ran and left no file.
    """
    browser = installed_browser()
    name = Path(browser).name
    with tempfile.TemporaryDirectory(prefix="flowperf-print-", ignore_cleanup_errors=True) as profile:
        command = [browser, *_BROWSER_FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}", page.as_uri()]
        try:
            # a session of its own: whoever stops it reaches the renderers that it starts
            printing = subprocess.Popen(  # noqa: S603
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                printing.wait(timeout)
            except BaseException:
                os.killpg(printing.pid, signal.SIGKILL)
                printing.wait()
                raise
        except OSError as error:
            raise StorageError(f"{name} could not be started ({error.strerror}): reinstall it.", path=pdf) from error
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{name} did not print {pdf.name} within {timeout:.0f} seconds.") from error
    if printing.returncode or not pdf.is_file():
        raise StorageError(
            f"{name} left no {pdf.name} (it ended with {printing.returncode}): print the HTML file by hand.", path=pdf
        )


# Parts of the page: HTML by templates that escape everything, shown by a notebook as they are.


@dataclass(frozen=True, repr=False)
class Section:
    """A part of the report; a notebook shows its HTML.

    Attributes
    ----------
    name : str
    html : str
    """

    name: str
    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<part of the report: {self.name.replace('_', ' ')}>"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder() / "report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"name": _name, "clean": clean_name}
    return environment


def _name(text: object, width: int = 90) -> Markup:
    """A stranger's name: cut, isolated from the direction of the text around it, with a tooltip if cut."""
    full, short = clean_name(text), short_name(text, width)
    title = Markup(' title="{}"').format(full[:400]) if full != short else Markup("")
    return Markup("<bdi{}>{}</bdi>").format(title, escape(short))


def fill(name: str, **context: Any) -> str:
    """Fill one template of ``templates/report`` and return its HTML as it is."""
    return _environment().get_template(f"{name}.html.j2").render(**context)


def render(name: str, *, style: bool = False, **context: Any) -> Section:
    """Fill one template of ``templates/report``; ``style`` puts the style sheet before it, for notebooks."""
    html = fill(name, **context)
    sheet = _notebook_style() if style else ""
    return Section(name, f'{sheet}<div class="fp">\n{html}</div>\n')
