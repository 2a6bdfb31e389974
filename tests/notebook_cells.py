"""Runs a notebook's code cells in this process, as fast as their code: for many variants of the account."""

from __future__ import annotations

import ast
import json
import re
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "notebooks"


@dataclass
class Ran:
    """What the cells left: names, what each cell showed, and what was printed."""

    names: dict[str, Any] = field(default_factory=dict)
    shown: list[Any] = field(default_factory=list)
    printed: str = ""

    @property
    def words(self) -> str:
        """Everything a reader could read, without markup."""
        texts = [getattr(v, "_repr_html_", lambda v=v: repr(v))() or repr(v) for v in self.shown]
        texts += [v.picture.value + v.message.value for v in self.shown if hasattr(v, "picture")]
        return self.printed + "\n".join(re.sub(r"base64,[^\"]*", "", text) for text in texts)


def cells(name: str, kind: str = "code") -> list[dict[str, Any]]:
    """Cells of one kind, in order."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def solutions(name: str) -> list[str]:
    """Code of the exercises' solutions, in order."""
    prose = "\n\n".join("".join(cell["source"]) for cell in cells(name, "markdown"))
    return re.findall(r"```python\n(.*?)```", prose, re.DOTALL)


def run_cells(name: str, parameters: dict[str, Any], *, extra: tuple[str, ...] = ()) -> Ran:
    """Run all code cells, then ``extra``; parameters are injected behind the tagged cell, as papermill does."""
    ran = Ran()
    out = StringIO()
    with redirect_stdout(out):
        for cell in cells(name):
            _run("".join(cell["source"]), ran)
            if "parameters" in cell["metadata"].get("tags", []):
                assert set(parameters) <= set(ran.names)
                ran.names |= parameters
        for code in extra:
            _run(code, ran)
    ran.printed = out.getvalue()
    return ran


def _run(code: str, ran: Ran) -> None:
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), ran.names)
    if isinstance(last, ast.Expr):
        ran.shown.append(eval(compile(ast.Expression(last.value), "<cell>", "eval"), ran.names))
