"""A notebook's signature, and what can be refused of a weekly run before its kernel starts."""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowperf_helpers.account.timeframes import iso_week
from flowperf_helpers.errors import ArgumentError, CredentialsError
from flowperf_helpers.klaviyo import credentials
from flowperf_helpers.report.run.execute import read_notebook

__all__ = [
    "OURS", "Parameter", "check_names", "check_parameters", "check_run", "checked_week", "holds_secret",
    "notebook_parameters", "parse_value", "refuse_unknown_parameters", "typed_values",
]  # fmt: skip


# A notebook's signature: which parameters its tagged cell names, of which type, and whether a given value fits.
#
# papermill only warns about a parameter that the notebook does not know, and keeps every value twice in the file it
# writes. So names, types and anything that looks like a secret are checked here, before a kernel starts.

_TYPES: dict[str, Any] = {"str": str, "int": int, "float": int | float, "bool": bool, "list": list, "dict": dict}
_INJECTED = "# Parameters\n"
"""How papermill begins the cell that it puts behind the parameters cell."""
_SECRET_NAME = re.compile(r"(^|_)(api_?key|key|token|secret|password|passwd|credentials?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell.

    Attributes
    ----------
    name : str
    type : str
        As annotated (``"str"``), or the type of the default where there is no annotation.
    default : object
        The literal that stands there; None where it is not a literal.
    help : str
        The comment behind it.
    """

    name: str
    type: str
    default: Any
    help: str


def notebook_parameters(notebook: Mapping[str, Any], *, source: str = "the notebook") -> dict[str, Parameter]:
    """What the cell tagged ``parameters`` of a notebook (as decoded JSON) declares.

    Raises
    ------
    ArgumentError
        No such cell, several of them, or one that is not valid Python.
    """
    tagged = [
        cell
        for cell in notebook.get("cells", [])
        if cell.get("cell_type") == "code" and "parameters" in (cell.get("metadata") or {}).get("tags", [])
    ]
    if len(tagged) != 1:
        raise ArgumentError(
            f"{source} has {len(tagged) or 'no'} code cells tagged 'parameters' and exactly one is needed: "
            "copy that cell from the stock notebook."
        )
    return _declared("".join(tagged[0]["source"]), source)


def _declared(text: str, source: str) -> dict[str, Parameter]:
    """Return what a cell assigns, by name."""
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ArgumentError(f"The parameters cell of {source} is not valid Python (line {error.lineno}).") from error
    lines = text.splitlines()
    found = {}
    for statement in statements:
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        target = statement.target if isinstance(statement, ast.AnnAssign) else target
        if isinstance(target, ast.Name):
            annotation = ast.unparse(statement.annotation) if isinstance(statement, ast.AnnAssign) else ""
            default = _literal(statement.value)  # type: ignore[attr-defined]
            help_text = lines[(statement.end_lineno or statement.lineno) - 1].partition("#")[2].strip()
            found[target.id] = Parameter(target.id, annotation or type(default).__name__, default, help_text)
    return found


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def parse_value(text: str, parameter: Parameter) -> Any:
    """Turn the text of a command line into the parameter's type.

    Raises
    ------
    ArgumentError
        The text does not fit.
    """
    kind = _base(parameter.type)
    if kind == "str":
        return text
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        example = {"list": ' (write it as ["a", "b"])', "bool": " (write true or false)"}.get(kind, "")
        raise ArgumentError(
            f"The parameter {parameter.name} is of type {kind}, and {_short(text)!r} is not{example}."
        ) from error


def _not_json(word: str) -> None:
    raise ValueError(word)


def typed_values(
    known: Mapping[str, Parameter], given: Mapping[str, Any], *, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Turn values that came as text, as from a command line, into the types that a notebook declares.

    What is unknown, and what looks like a secret, is left as it is: `check_parameters` refuses it without repeating it.

    Raises
    ------
    ArgumentError
        A text that does not fit.
    """
    return {
        name: parse_value(value, known[name])
        if isinstance(value, str) and name in known and not holds_secret(value, environ=environ)
        else value
        for name, value in given.items()
    }


def refuse_unknown_parameters() -> None:
    """Refuse, from inside a notebook, what papermill injected and the parameters cell does not declare.

    papermill itself only warns and runs on with the defaults, so a misspelt name makes a report about something else.
    Does nothing where nothing was injected. Secrets are not looked for: the file that papermill writes holds the values
    already, and a long folder name would pass for one.

    Raises
    ------
    ArgumentError
        An unknown name, or a value of another type.
    """
    from IPython import get_ipython

    shell = get_ipython()
    known: dict[str, Parameter] = {}
    for text in [] if shell is None else list(shell.user_ns.get("In", [])):
        if not text.startswith(_INJECTED):
            with contextlib.suppress(ArgumentError):
                known = _declared(text, "a cell") | known
        elif known:
            given = {name: parameter.default for name, parameter in _declared(text, "the injected cell").items()}
            _check_declared(known, given, "This notebook")


def check_parameters(
    known: Mapping[str, Parameter],
    given: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    source: str = "the notebook",
) -> None:
    """Refuse what the notebook does not know, what has another type, and whatever looks like a secret.

    Parameters
    ----------
    known : mapping
        Of `notebook_parameters`.
    given : mapping
        Name to JSON value.
    environ : mapping, optional
        The environment, so that a secret kept there is recognised by its value.

    Raises
    ------
    ArgumentError
        Unknown name (similar names are suggested) or a value of another type.
    CredentialsError
        A name or a value that looks like a secret; neither is repeated in the message.
    """
    for name, value in given.items():
        if _SECRET_NAME.search(name) or holds_secret(value, environ=environ):
            hidden = credentials.looks_like_secret(name)
            shown = "A notebook parameter" if hidden else f"The notebook parameter {_short(name)}"
            raise CredentialsError(
                f"{shown} looks like a secret, and parameters are written into the files: "
                "put the key in KLAVIYO_API_KEY, or name its variable in accounts.toml (api_key_env)."
            )
        _check_declared(known, {name: value}, source)


def _check_declared(known: Mapping[str, Parameter], given: Mapping[str, Any], source: str) -> None:
    """Refuse what is unknown or has another type."""
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
            raise ArgumentError(f"{source} has no parameter {_short(name)}: {hint}")
        kind = _base(known[name].type)
        wanted = _TYPES.get(kind)
        if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and kind != "bool")):
            raise ArgumentError(f"The parameter {name} is of type {kind}, not {_short(repr(value))}.")


def holds_secret(value: Any, *, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a value (or anything inside it) looks like a key, or is the value of a variable named like one.

    >>> holds_secret("pk_" + "0123456789abcdef"), holds_secret("2026-W47")
    (True, False)
    """
    if isinstance(value, dict):
        return any(_SECRET_NAME.search(str(k)) or holds_secret(v, environ=environ) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(holds_secret(part, environ=environ) for part in value)
    if not isinstance(value, str):
        return False
    is_path = "://" in value or value.startswith(("/", "./", "../", "~/"))
    if any(credentials.looks_like_secret(part) for part in (value.split("/") if is_path else [value])):
        return True
    kept = (text for name, text in (environ or {}).items() if _SECRET_NAME.search(name) and len(text) >= 6)
    return any(text in value for text in kept)


def _base(annotation: str) -> str:
    return annotation.partition("|")[0].partition("[")[0].strip()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


# What can be refused of a weekly run before its kernel starts: parameters, the account, the week, names.

OURS = ("account", "week", "integration", "conversion_metric", "allow_partial", "refresh", "bundle")
"""Parameters that `flowperf weekly` fills; a changed copy of the notebook has to keep them."""

_ID = re.compile(r"[A-Za-z0-9]{6}")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_run(
    source: Path, values: Mapping[str, Any], given: Mapping[str, Any], *, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Refuse everything that can be refused without a kernel and without a request; return all parameters, typed.

    ``values`` are what the command fills itself, ``given`` the parameters of a changed copy. The two stay apart: a
    second way to the account or the week would let the numbers of one account lie under the name of another.

    Raises
    ------
    ArgumentError, CredentialsError
        See `typed_values`, `check_parameters` and `flowperf_helpers.account.connection.settings_of`.
    """
    from flowperf_helpers.account.connection import settings_of

    known = notebook_parameters(read_notebook(source), source=source.name)
    further = typed_values(known, given, environ=environ)
    missing = [name for name in OURS if name not in known]
    if missing:
        raise ArgumentError(
            f"{source.name} lacks the parameters {', '.join(missing)}, which `flowperf weekly` fills: "
            f"copy the parameters cell of the stock notebook into it."
        )
    check_parameters(known, {**values, **further}, environ=environ, source=source.name)
    for name in (name for name in OURS if name in further):
        instead = "leave it out, the command fills it" if name == "bundle" else f"give --{name.replace('_', '-')}"
        raise ArgumentError(f"The parameter {name} is not taken with -p: {instead}.")
    if not _ACCOUNT.fullmatch(values["account"]):
        raise ArgumentError(
            "An account's name, as part of file names, is made of letters, digits, dots, dashes and underscores."
        )
    settings_of(values["account"], environ=environ)
    return {**values, **further}


def checked_week(week: str | None, *, account: str, allow_partial: bool) -> str:
    """A label that is an ISO week and not surely in the future; the kernel, which knows the zone, has the last word.

    Returns
    -------
    str
        Empty where none is asked for.

    Raises
    ------
    ArgumentError
        Not an ISO week, or one that has not ended (not begun, with ``allow_partial``).
    """
    if not week:
        return ""
    from flowperf_helpers.account.connection import latest_now

    window = iso_week(week)
    label = str(window.week)
    latest = latest_now(account).date()
    if window.first > latest:
        raise ArgumentError(f"The week {label} lies in the future: it starts on {window.first}.")
    if not allow_partial and window.last >= latest:
        raise ArgumentError(
            f"The week {label} is still running (it ends on {window.last}): wait for it, or give --allow-partial."
        )
    return label


def check_names(account: str, integration: str, conversion_metric: str, *, seconds: float | None = None) -> None:
    """Look up names (not ids) before the kernel starts: a misspelling costs no run.

    Raises
    ------
    UnknownNameError, AmbiguousNameError
        None of that name, or several.
    TransportError
        No answer within ``seconds``.
    """
    named = conversion_metric and not _ID.fullmatch(conversion_metric)
    if not integration and not named:
        return
    from flowperf_helpers.account.account import connect

    asked = connect(account, seconds=seconds)
    if integration:
        asked.metrics(integration=integration)
    if named:
        asked.conversion_metric(conversion_metric, integration=integration or None)
