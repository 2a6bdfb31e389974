"""``accounts.toml``: one section per account, names of secrets and never a secret.

::

    [defaults]                       # what every section has unless it says otherwise
    conversion_metric = "Placed Order"

    [accounts.acme]
    api_key_env = "ACME_KLAVIYO_KEY"
    tags = ["eu", "template-v2"]

A section is checked when its account is asked for, and one that is not even TOML spoils itself alone, so that one bad
section leaves the others usable. Each mistake is named with its line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from flowperf_helpers.errors import ArgumentError, CredentialsError, FlowperfError, UnknownNameError, suggest
from flowperf_helpers.klaviyo.credentials import looks_like_secret, without_keys

__all__ = ["RESERVED", "account_names", "accounts_path", "read_section", "refuse_secrets", "shared_targets"]

RESERVED = ("sandbox", "live")
SOURCES = ("api_key_env", "access_token_env", "keyring")
_DEFAULT_TEXTS = ("integration", "conversion_metric", "timezone", "base_url")
_TEXTS = (*SOURCES, *_DEFAULT_TEXTS, "holidays")
_DEFAULTS = (*_DEFAULT_TEXTS, "attribution_days", "holidays", "tags")
_KEYS = (*_TEXTS, "attribution_days", "events", "oauth", "send", "tags", "targets")
_OAUTH_KEYS = ("client_id_env", "client_secret_env", "refresh_token_env", "keyring")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"\s*\[[^\[]")
_KEY = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*=")
_BELONGS = (
    "put the secret into an environment variable or the system's keyring, and name that here "
    '(api_key_env = "ACME_KLAVIYO_KEY")'
)
_SECRET_WORDS = re.compile(r"(key|token|secret|password)$", re.IGNORECASE)


Place = Callable[[str], str]
"""Says where a setting of a section stands, for a message; of no name, where the section itself does."""


@dataclass(frozen=True)
class _File:
    """What the file holds: sections, defaults, where each stands, and the sections that are not TOML."""

    path: Path
    sections: dict[str, Any]
    defaults: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]
    broken: Mapping[str, FlowperfError] = field(default_factory=dict)
    send: dict[str, Any] = field(default_factory=dict)

    def place(self, table: tuple[str, ...], key: str = "") -> str:
        """Where something stands, for a message."""
        line = self.lines.get((*table, key), self.lines.get(table))
        where = f"{self.path}, line {line}" if line else str(self.path)
        return f"{where}, [{without_keys('.'.join(table))}]"


def accounts_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where ``FLOWPERF_ACCOUNTS`` points, or ``accounts.toml`` in the working folder."""
    named = environ.get("FLOWPERF_ACCOUNTS", "").strip()
    return Path(named).expanduser() if named else Path("accounts.toml")


def account_names(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of all sections, in the order of the file.

    Raises
    ------
    ArgumentError
        No such file, no TOML, no section. What a section holds is not checked, nor is its name: `read_section` does.
    """
    file = _with_accounts(path or accounts_path(environ))
    names = dict.fromkeys([*file.sections, *file.broken])
    return sorted(names, key=lambda name: file.lines.get(("accounts", name), 0))


def read_section(name: str, path: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the checked section of one account, with the file's ``[defaults]`` under it.

    Returns
    -------
    dict
        Texts, ``attribution_days`` (int, 1 to 90), ``tags`` (list of texts, those of the defaults first), ``events,
        targets`` (of `marks`), ``send`` (dict of sections) and ``oauth`` (dict of texts).

    Raises
    ------
    UnknownNameError
        No such section; ``near`` holds the names that look alike.
    ArgumentError
        The file is missing, the section is not valid TOML, or a key or value of it is not known or of another kind.
    CredentialsError
        A value of the section that looks like a key.
    """
    path = path or accounts_path(environ)
    if not path.exists() and "FLOWPERF_ACCOUNTS" not in environ:
        near = suggest(name, RESERVED)
        raise UnknownNameError(
            f"There is no account {without_keys(name)!r}: use sandbox or live, or describe it as [accounts.NAME] in "
            "accounts.toml in the working folder or where FLOWPERF_ACCOUNTS points.",
            near=near,
        )
    file = _with_accounts(path)
    if name in file.broken:
        raise file.broken[name]
    if name not in file.sections:
        known = [without_keys(section) for section in (*file.sections, *file.broken, *RESERVED)]
        raise UnknownNameError.among(f"{path} has no account {without_keys(name)!r}", name, known)
    table = ("accounts", name)
    if name in RESERVED:
        raise ArgumentError(f"{file.place(table)}: {name!r} is flowperf's own: call the account something else.")
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"{file.place(table)}: the name of an account is made of letters, digits, dots, _ and -.")
    section = deepcopy(file.sections[name])  # what is checked may be rewritten
    if not isinstance(section, dict):
        raise ArgumentError(
            f"{file.place(table[:1], name)}: accounts.{name} is not a section: write [accounts.{name}] above its "
            "settings."
        )
    for place, given, known_keys in (
        (partial(file.place, ("defaults",)), file.defaults, _DEFAULTS),
        (partial(file.place, table), section, _KEYS),
    ):
        refuse_secrets(given, place)
        _check_settings(given, place, known_keys)
    _check_source(name, section, file)
    tags = dict.fromkeys([*file.defaults.get("tags", []), *section.get("tags", [])])
    return {**file.defaults, **section, "tags": list(tags)}


def shared_targets(path: Path) -> dict[str, Any]:
    """Return the ``[send.NAME]`` sections, which hold for every account, unchecked."""
    return _read(path).send


def _with_accounts(path: Path) -> _File:
    file = _read(path)
    if not (file.sections or file.broken):
        raise _holds_other(path, {"defaults": 0} if file.defaults else {"send": 0} if file.send else {})
    return file


def _read(path: Path) -> _File:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ArgumentError(f"The accounts file {path} cannot be read ({error.strerror}): check the path.") from error
    except UnicodeDecodeError:
        raise ArgumentError(f"The accounts file {path} is not text in UTF-8: save it as such.") from None
    return _parsed(path, text)


@lru_cache(maxsize=4)
def _parsed(path: Path, text: str) -> _File:
    """The file's content; where it is not TOML as a whole, table by table."""
    lines = _lines(text)
    broken: dict[str, FlowperfError] = {}
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        content = _by_table(path, text, error, broken)
    sections, defaults, send = (content.get(name, {}) for name in ("accounts", "defaults", "send"))
    wrong = set(content) - {"accounts", "defaults", "send"} or not isinstance(sections, dict)
    if wrong or not isinstance(defaults, dict):
        raise _holds_other(path, content)
    return _File(path, {k: v for k, v in sections.items() if k not in broken}, defaults, lines, broken, send)


def _holds_other(path: Path, content: Mapping[str, Any]) -> ArgumentError:
    found = without_keys(", ".join(content)) or "nothing"
    return ArgumentError(
        f"{path} holds [accounts.NAME] sections, [defaults] that they share, and [send.NAME] sections; it has {found}."
    )


def _by_table(
    path: Path, text: str, error: tomllib.TOMLDecodeError, broken: dict[str, FlowperfError]
) -> dict[str, Any]:
    """Read each table alone, so that one that is not TOML spoils only its own account."""
    rows = text.splitlines()
    starts = [i for i, row in enumerate(rows) if _HEADER.match(row)]
    content: dict[str, Any] = {}
    seen: dict[tuple[str, ...], int] = {}
    if any(row.split("#")[0].strip() for row in rows[: starts[0] if starts else None]):
        raise _not_toml(path, error) from None
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        table = _table_of(rows[start])
        if table[:1] != ("accounts",) or len(table) < 2:
            if (table != ("defaults",) and table[:1] != ("send",)) or table in seen:
                raise _not_toml(path, error) from None
        elif table in seen:
            broken[table[1]] = ArgumentError(
                f"{path}, line {start + 1}, [{without_keys('.'.join(table))}] stands on line {seen[table]} already: "
                "an account has one section."
            )
            continue
        seen[table] = start + 1
        try:
            part = tomllib.loads("".join(f"{row}\n" for row in rows[start:end]))
        except tomllib.TOMLDecodeError as mistake:
            if table[0] != "accounts":
                raise _not_toml(path, mistake, start) from None
            broken[table[1]] = _not_toml(path, mistake, start)
            continue
        for top, inner in part.items():
            for name, section in inner.items():
                kept = content.setdefault(top, {}).setdefault(name, section)
                if kept is not section and isinstance(kept, dict):
                    kept |= section
    return content


def _not_toml(path: Path, error: tomllib.TOMLDecodeError, before: int = 0) -> ArgumentError:
    # the parser's text may quote the line, and with it a key: only the place is passed on
    place = re.search(r"line (\d+)", str(error))
    where = f" at line {int(place[1]) + before}" if place else ""
    return ArgumentError(f"The accounts file {path} is not valid TOML{where}: correct it there.")


def _table_of(header: str) -> tuple[str, ...]:
    """The names in a line such as ``[accounts.acme.oauth]``; none where it is not one."""
    try:
        found: Any = tomllib.loads(header)
    except tomllib.TOMLDecodeError:
        return ()
    steps = []
    while isinstance(found, dict) and len(found) == 1:
        ((name, found),) = found.items()
        steps.append(name)
    return tuple(steps)


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where each table begins, and each of its keys stands (the table's names and the key), counted from 1."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, row in enumerate(text.splitlines(), start=1):
        if _HEADER.match(row):
            table = _table_of(row) or table
            found.setdefault(table, number)
        elif key := _KEY.match(row):
            found.setdefault((*table, key[1].strip("\"'")), number)
    return found


def _texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text with the setting it stands in."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
    elif isinstance(value, str):
        yield key, value


def refuse_secrets(section: dict[str, Any], place: Place) -> None:
    """Refuse values that look like keys; a name is the user's to choose and may look like anything.

    ``place`` says where a setting stands.
    """
    for key, text in _texts(section):
        if looks_like_secret(text) or (text and _SECRET_WORDS.search(key)):
            raise CredentialsError(
                f"{place(key)}: {without_keys(key)} looks like a key, and no secret belongs in this file: {_BELONGS}."
            )


def _check_settings(section: dict[str, Any], place: Place, known: tuple[str, ...]) -> None:
    """Refuse settings that are unknown or of another kind."""
    _refuse_unknown(section, place, known)
    _check_texts({key: section[key] for key in _TEXTS if key in section}, place)
    days = section.get("attribution_days", 5)
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 90:
        raise ArgumentError(f"{place('attribution_days')}: attribution_days is a whole number of days, 1 to 90.")
    _check_marks(place(""), section)
    tags = section.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise ArgumentError(f'{place("tags")}: tags is a list of texts: tags = ["eu", "template-v2"].')


def _check_source(name: str, section: dict[str, Any], file: _File) -> None:
    """Refuse a section that names no place for its secret, or several."""
    table = ("accounts", name)
    if "oauth" in section:
        oauth = section["oauth"]
        if not isinstance(oauth, dict):
            raise ArgumentError(
                f"{file.place(table, 'oauth')}: oauth is a section of its own, [accounts.{name}.oauth]."
            )
        place = partial(file.place, (*table, "oauth"))
        _refuse_unknown(oauth, place, _OAUTH_KEYS)
        _check_texts(oauth, place)
        missing = [key for key in _OAUTH_KEYS[:2] if key not in oauth]
        if not oauth.keys() & _OAUTH_KEYS[2:]:
            missing.append("refresh_token_env or keyring")
        if missing:
            raise CredentialsError(f"{place()} lacks {', '.join(missing)}.")
    named = [key for key in (*SOURCES, "oauth") if key in section]
    if len(named) != 1:
        found = f"has {' and '.join(named)}" if named else "does not say where its key is"
        raise CredentialsError(
            f"{file.place(table)} {found}: give exactly one of {', '.join(SOURCES)} and [accounts.{name}.oauth]."
        )


def _refuse_unknown(section: dict[str, Any], place: Place, known: tuple[str, ...]) -> None:
    unknown = [key for key in section if key not in known]
    if unknown:
        where = place(unknown[0])
        if any(looks_like_secret(key) for key in unknown):
            raise CredentialsError(f"{where} has a setting whose name looks like a key: {_BELONGS}.")
        near = suggest(unknown[0], known, count=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ArgumentError(f"{where} has unknown {', '.join(unknown)}{hint}: valid are {', '.join(known)}.")


def _check_texts(settings: dict[str, Any], place: Place) -> None:
    for key, value in settings.items():
        if not isinstance(value, str) or not value.strip():
            raise ArgumentError(f"{place(key)}: {key} is a text in double quotes.")
        if key.endswith("_env") and not _VARIABLE.fullmatch(value):
            raise ArgumentError(
                f"{place(key)}: {key} takes the name of an environment variable: letters, digits and _."
            )
        if key == "keyring" and not all(value.rpartition("/")[::2]):
            raise ArgumentError(f'{place(key)}: keyring is written "service/user".')


def _check_marks(place: str, section: dict[str, Any]) -> None:
    """Refuse events, holidays and targets that no picture could draw; dates become ISO texts."""
    events, targets = section.get("events", []), section.get("targets", {})
    for event in events if isinstance(events, list) else [None]:
        if not isinstance(event, dict) or set(event) != {"date", "text"} or not str(event["text"]).strip():
            raise ArgumentError(f'{place}: events is a list such as [{{date = 2026-11-27, text = "Black Friday"}}].')
        try:
            event["date"] = date.fromisoformat(str(event["date"])[:10]).isoformat()
        except ValueError as error:
            raise ArgumentError(f"{place}: an event has the date {event['date']!r}: write 2026-11-27.") from error
    if "holidays" in section:
        import holidays

        country, _, part = section["holidays"].partition("-")
        known = holidays.list_supported_countries()
        if country not in known or (part and part not in known[country]):
            raise ArgumentError(
                f'{place}: holidays is a country such as "DK", or a part of one such as "US-CA": '
                f"{section['holidays'][:40]!r} is neither."
            )
    if not isinstance(targets, dict) or set(targets) - {"weekly_revenue"}:
        raise ArgumentError(f"{place}: targets is a table such as {{weekly_revenue = 120000}}.")
    for name, value in targets.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ArgumentError(f"{place}: the target {name} is a number above 0.")
