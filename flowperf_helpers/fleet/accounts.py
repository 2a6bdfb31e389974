"""A fleet's accounts: sections of ``accounts.toml``, chosen by name and tag, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from flowperf_helpers.account.account import connect
from flowperf_helpers.errors import (
    ArgumentError,
    AuthenticationError,
    FlowperfError,
    ScopeError,
    UnknownNameError,
    suggest,
    suggestion,
)
from flowperf_helpers.klaviyo.accounts_file import account_names, accounts_path
from flowperf_helpers.klaviyo.settings import AccountSettings, account_settings

__all__ = ["LARGEST_FLEET", "Member", "Outcome", "check_account", "exit_code", "members", "shared_keys"]

LARGEST_FLEET = 1000
SOME_FAILED = 6


@dataclass(frozen=True)
class Member:
    """A section of ``accounts.toml``: its settings, or why it has none."""

    name: str
    settings: AccountSettings | None = None
    error: FlowperfError | None = None

    def usable_settings(self) -> AccountSettings:
        """Its settings; why it has none is raised."""
        if self.settings is None:
            raise self.error or ArgumentError(f"Account {self.name} cannot be used.")
        return self.settings


def members(
    *, only: Sequence[str] = (), tags: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> list[Member]:
    """Return the accounts of a fleet in the order of the file; a section that cannot be used keeps its error.

    Parameters
    ----------
    only : sequence of str
        Names; left out, all.
    tags : sequence of str
        Only accounts that have one of them. A section that cannot be read has no tags to be chosen by.

    Raises
    ------
    UnknownNameError
        A name that the file does not have, or a tag that no account has.
    ArgumentError
        No file, not TOML, no section, more than a fleet may have.
    """
    path = accounts_path(environ)
    names = account_names(path, environ)
    for name in only:
        if name not in names:
            near = suggest(name, names)
            raise UnknownNameError(f"{path} has no account {name[:60]!r}: {suggestion(near, names)}", near=near)
    found = [_member(name, environ) for name in names if not only or name in only]
    if tags:
        known = {tag for member in found if member.settings for tag in member.settings.tags}
        for tag in tags:
            if tag not in known:
                near = suggest(tag, known)
                raise UnknownNameError(f"No account of {path} has the tag {tag[:60]!r}: {suggestion(near, known)}")
        found = [m for m in found if m.settings and not set(tags).isdisjoint(m.settings.tags)]
    if len(found) > LARGEST_FLEET:
        raise ArgumentError(
            f"{path} has {len(found):,} accounts and a fleet takes {LARGEST_FLEET:,}: choose with --tag, one run each."
        )
    return found


def _member(name: str, environ: Mapping[str, str]) -> Member:
    try:
        return Member(name, settings=account_settings(name, environ=environ))
    except FlowperfError as error:
        return Member(name, error=error)


def shared_keys(found: Sequence[Member]) -> list[str]:
    """Return a sentence for every key that several sections use: to Klaviyo they are one account with one quota."""
    names: dict[str, list[str]] = {}
    for member in found:
        if member.settings:
            names.setdefault(member.settings.account_key, []).append(member.name)
    return [
        f"{', '.join(same[:-1])} and {same[-1]} use one key: they are one account of Klaviyo's and share its quota."
        for same in names.values()
        if len(same) > 1
    ]


@dataclass(frozen=True)
class Outcome:
    """What became of one account.

    Attributes
    ----------
    account : str
    status : {"done", "kept", "failed"}
        ``kept`` was done by an earlier run.
    reason : str
        Why it failed; empty otherwise.
    code : int
        The exit code that its error has for one account; 0 where there is none.
    reconnect : bool
        Whether the customer has to give a new key.
    requests : int
        Report requests that were sent now.
    manifest : dict
        Of the account and week; empty where it failed.
    """

    account: str
    status: str
    reason: str = ""
    code: int = 0
    reconnect: bool = False
    requests: int = 0
    manifest: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def failure(cls, account: str, error: Exception) -> Outcome:
        """What an account's error makes of it, as its row says it."""
        reconnect = isinstance(error, AuthenticationError)
        if isinstance(error, FlowperfError):
            reason = f"This customer has to reconnect: {error}" if reconnect else str(error)
            return cls(account, "failed", reason, error.exit_code, reconnect)
        first = (str(error).strip().splitlines() or ["no message"])[0]
        return cls(account, "failed", f"unexpected {type(error).__name__}: {first[:300]}", 1)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return 0 where all are done, 6 where some failed; where all failed in one way, what one account would give."""
    codes = {outcome.code for outcome in outcomes}
    if codes <= {0}:
        return 0
    return next(iter(codes)) if len(codes) == 1 else SOME_FAILED


def check_account(member: Member, **options: Any) -> dict[str, Any]:
    """Ask an account what it is, without a report request: whether the key works, its scopes, zone, currency, quota.

    Parameters
    ----------
    member : Member
    **options
        Of `flowperf_helpers.connect`.

    Returns
    -------
    dict
        ``account, usable, zone, currency, tags, calls_left, problem, code``; ``calls_left`` is of the report endpoint
        that has fewer left today, as this machine counted, ``code`` the exit code of the problem.
    """
    row: dict[str, Any] = {
        "account": member.name, "usable": False, "zone": "", "currency": "",
        "tags": ", ".join(member.settings.tags) if member.settings else "",
        "calls_left": pd.NA, "problem": "", "code": 0,
    }  # fmt: skip
    try:
        member.usable_settings()
        account = connect(member.name, **options)
        row |= {"zone": str(account.timezone), "currency": account.currency or ""}
        if account.settings.integration:
            account.metrics(integration=account.settings.integration)
        if account.settings.conversion_metric:
            account.conversion_metric(account.settings.conversion_metric)
        account.flows()
        row |= {"calls_left": int(account.status()["left_today"].min()), "usable": True}
        try:
            account.flow_tags()
        except ScopeError as error:
            row["problem"] = f"The key lacks {error.scope}, so the version of the template stays unknown."
    except Exception as error:  # one account's trouble, of whatever kind, is a row
        failed = Outcome.failure(member.name, error)
        row |= {"problem": failed.reason, "code": failed.code}
    return row
