"""What can be refused of a weekly run before its kernel starts: parameters, the account, the week, names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.parameters import check_parameters, notebook_parameters
from flowperf_helpers.runner import read_notebook
from flowperf_helpers.timeframes import iso_week

__all__ = ["OURS", "check_names", "check_run", "checked_week"]

OURS = ("account", "week", "integration", "conversion_metric", "allow_partial", "refresh", "bundle")
"""Parameters that `flowperf weekly` fills; a changed copy of the notebook has to keep them."""

_ID = re.compile(r"[A-Za-z0-9]{6}")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_run(
    source: Path, values: Mapping[str, Any], further: Mapping[str, Any], *, environ: Mapping[str, str]
) -> None:
    """Refuse everything that can be refused without a kernel and without a request.

    ``values`` are what the command fills itself, ``further`` the parameters of a changed copy. The two stay apart: a
    second way to the account or the week would let the numbers of one account lie under the name of another.

    Raises
    ------
    ArgumentError, CredentialsError
        See `flowperf_helpers.parameters.check_parameters` and `flowperf_helpers.credentials.account_settings`.
    """
    from flowperf_helpers.credentials import account_settings

    known = notebook_parameters(read_notebook(source), source=source.name)
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
    account_settings(values["account"], environ=environ)


def _latest_now(account: str) -> datetime:
    """The latest that it can be on the account's clock, whose zone is not known here."""
    if account != "sandbox":
        return datetime.now(UTC) + timedelta(hours=14)
    from flowperf_helpers.sandbox import SANDBOX_NOW

    return SANDBOX_NOW


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
    window = iso_week(week)
    label = str(window.week)
    latest = _latest_now(account).date()
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
    from flowperf_helpers.account import connect

    asked = connect(account, seconds=seconds)
    if integration:
        asked.metrics(integration=integration)
    if named:
        asked.conversion_metric(conversion_metric, integration=integration or None)
