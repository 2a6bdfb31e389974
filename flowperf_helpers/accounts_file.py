"""``accounts.toml``: one section per account, names of secrets and never a secret.

A section is checked when its account is asked for, so that one bad section leaves the others usable.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flowperf_helpers.errors import ArgumentError, CredentialsError, UnknownNameError
from flowperf_helpers.keys import looks_like_secret, without_keys
from flowperf_helpers.near import near_misses, or_near

__all__ = ["RESERVED", "account_names", "accounts_path", "read_section"]

RESERVED = ("sandbox", "live")
SOURCES = ("api_key_env", "access_token_env", "keyring")
_TEXTS = (*SOURCES, "integration", "conversion_metric", "timezone", "base_url")
_KEYS = (*_TEXTS, "attribution_days", "oauth")
_OAUTH_KEYS = ("client_id_env", "client_secret_env", "refresh_token_env", "keyring")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BELONGS = (
    "put the secret into an environment variable or the system's keyring, and name that here "
    '(api_key_env = "ACME_KLAVIYO_KEY")'
)
_SECRET_WORDS = re.compile(r"(key|token|secret|password)$", re.IGNORECASE)


def accounts_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where ``FLOWPERF_ACCOUNTS`` points, or ``accounts.toml`` in the working folder."""
    named = environ.get("FLOWPERF_ACCOUNTS", "").strip()
    return Path(named).expanduser() if named else Path("accounts.toml")


def account_names(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of all sections, in the order of the file.

    Raises
    ------
    ArgumentError
        No such file, no TOML, no section, or a name that no account can have. What a section holds is not checked.
    """
    path = path or accounts_path(environ)
    sections = _read(path)
    for name in sections:
        _check_name(name, path)
    return list(sections)


def read_section(name: str, path: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the checked section of one account.

    Returns
    -------
    dict
        Texts, ``attribution_days`` (int, 1 to 90) and ``oauth`` (dict of texts).

    Raises
    ------
    UnknownNameError
        No such section; ``near`` holds the names that look alike.
    ArgumentError
        The file is not there or no TOML; a key or value in the section is not known or of another kind.
    CredentialsError
        A value of the section that looks like a key.
    """
    path = path or accounts_path(environ)
    if not path.exists() and "FLOWPERF_ACCOUNTS" not in environ:
        near = near_misses(name, RESERVED)
        raise UnknownNameError(
            f"There is no account {without_keys(name)!r}: use sandbox or live, or describe it as [accounts.NAME] in "
            "accounts.toml in the working folder or where FLOWPERF_ACCOUNTS points.",
            near=near,
        )
    sections = _read(path)
    if name not in sections:
        known = [*sections, *RESERVED]
        near = near_misses(name, known)
        raise UnknownNameError(f"{path} has no account {without_keys(name)!r}: {or_near(near, known)}", near=near)
    _check_name(name, path)
    section = sections[name]
    if not isinstance(section, dict):
        raise ArgumentError(f"{path}: accounts.{name} is not a section: write [accounts.{name}] above its settings.")
    _refuse_secrets(section, f"{path}, [accounts.{name}]")
    _check_section(name, section, path)
    return section


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ArgumentError(f"The accounts file {path} cannot be read ({error.strerror}): check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # the parser's text may quote the line, and with it a key: only the place is passed on
        place = re.search(r"line \d+", str(error))
        where = f" at {place[0]}" if place else ""
        raise ArgumentError(f"The accounts file {path} is no TOML{where}: mend it there.") from None
    sections = content.get("accounts")
    if set(content) - {"accounts"} or not isinstance(sections, dict) or not sections:
        found = without_keys(", ".join(content)) or "nothing"
        raise ArgumentError(f"{path} holds one [accounts.NAME] section per account and nothing else; it has {found}.")
    return sections


def _check_name(name: str, path: Path) -> None:
    if name in RESERVED:
        raise ArgumentError(f"{path} names an account {name!r}, which is flowperf's own: call it something else.")
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"{path} names an account {without_keys(name)!r}: use letters, digits, dots, _ and -.")


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


def _refuse_secrets(section: dict[str, Any], place: str) -> None:
    """Refuse values that look like keys; a name is the user's to choose and may look like anything."""
    for key, text in _texts(section):
        if looks_like_secret(text) or (text and _SECRET_WORDS.search(key)):
            shown = without_keys(key)
            raise CredentialsError(
                f"{place}: {shown} looks like a key, and no secret belongs in this file: {_BELONGS}."
            )


def _check_section(name: str, section: dict[str, Any], path: Path) -> None:
    place = f"{path}, [accounts.{name}]"
    _refuse_unknown(place, section, _KEYS)
    for key in (key for key in _TEXTS if key in section):
        _check_text(place, key, section[key])
    days = section.get("attribution_days", 5)
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 90:
        raise ArgumentError(f"{place}: attribution_days is a whole number of days, 1 to 90.")
    if "oauth" in section:
        oauth = section["oauth"]
        if not isinstance(oauth, dict):
            raise ArgumentError(f"{path}: oauth is a section of its own, [accounts.{name}.oauth].")
        place = f"{path}, [accounts.{name}.oauth]"
        _refuse_unknown(place, oauth, _OAUTH_KEYS)
        for key, value in oauth.items():
            _check_text(place, key, value)
        missing = [key for key in _OAUTH_KEYS[:2] if key not in oauth]
        if missing or not ("refresh_token_env" in oauth or "keyring" in oauth):
            missing += [] if "refresh_token_env" in oauth or "keyring" in oauth else ["refresh_token_env or keyring"]
            raise CredentialsError(f"{place} lacks {', '.join(missing)}.")
    named = [key for key in (*SOURCES, "oauth") if key in section]
    if len(named) != 1:
        found = f"has {' and '.join(named)}" if named else "says not where its key is"
        raise CredentialsError(
            f"{place} {found}: give exactly one of {', '.join(SOURCES)} and [accounts.{name}.oauth]."
        )


def _refuse_unknown(place: str, section: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = [key for key in section if key not in known]
    if unknown:
        if any(looks_like_secret(key) for key in unknown):
            raise CredentialsError(f"{place} has a setting whose name looks like a key: {_BELONGS}.")
        near = near_misses(unknown[0], known, count=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ArgumentError(f"{place} has unknown {', '.join(unknown)}{hint}: valid are {', '.join(known)}.")


def _check_text(place: str, key: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(f"{place}: {key} is a text in double quotes.")
    if key.endswith("_env") and not _VARIABLE.fullmatch(value):
        raise ArgumentError(f"{place}: {key} takes the name of an environment variable: letters, digits and _.")
    if key == "keyring" and not all(value.rpartition("/")[::2]):
        raise ArgumentError(f'{place}: keyring is written "service/user".')
