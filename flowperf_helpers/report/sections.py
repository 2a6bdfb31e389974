"""Parts of the page: HTML by templates that escape everything, shown by a notebook as they are."""

from __future__ import annotations

import functools
from typing import Any

import jinja2
from markupsafe import Markup, escape

from flowperf_helpers.names import clean_name, short_name
from flowperf_helpers.page import templates_folder

__all__ = ["Section", "render"]


class Section:
    """A part of the report; a notebook shows its HTML.

    Attributes
    ----------
    name : str
    html : str
    """

    def __init__(self, name: str, html: str) -> None:
        self.name = name
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<part of the report: {self.name.replace('_', ' ')}>"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder() / "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["name"] = _name
    environment.filters["clean"] = clean_name
    return environment


def _name(text: object, width: int = 90) -> Markup:
    """A stranger's name: cut, isolated from the direction of the text around it, with a tooltip if cut."""
    full, short = clean_name(text), short_name(text, width)
    title = Markup(' title="{}"').format(full[:400]) if full != short else Markup("")
    return Markup("<bdi{}>{}</bdi>").format(title, escape(short))


def render(name: str, *, style: bool = False, **context: Any) -> Section:
    """Fill one template of ``templates/report``; ``style`` puts the style sheet before it, for notebooks."""
    html = _environment().get_template(f"{name}.html.j2").render(**context)
    sheet = ""
    if style:
        sheet = "<style>" + (templates_folder() / "report.css").read_text(encoding="utf-8") + "</style>\n"
    return Section(name, f'{sheet}<div class="fp">\n{html}</div>\n')
