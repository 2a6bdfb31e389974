"""Which account, which key, which address: from the environment or a section of ``accounts.toml``."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flowperf_helpers.errors import ArgumentError, CredentialsError, UnknownNameError, suggest, suggestion
from flowperf_helpers.klaviyo.credentials import (
    BEARER,
    PRIVATE_KEY,
    Credentials,
    Keyring,
    OAuthCredentials,
    TokenFile,
    TokenKeeper,
    looks_like_secret,
    without_keys,
)
from flowperf_helpers.klaviyo.marks import check_marks
from flowperf_helpers.klaviyo.storage import flowperf_home

__all__ = [
    "DEFAULT_BASE_URL",
    "DEFAULT_REVISION",
    "RESERVED",
    "AccountSettings",
    "account_names",
    "account_settings",
    "accounts_content",
    "accounts_path",
    "is_loopback",
    "read_section",
    "refuse_secrets",
    "revision_of",
]


# ``accounts.toml``: names of secrets and never a secret. A section is checked when its account is asked for, so that
# one bad section leaves the others usable.

RESERVED = ("sandbox", "live")
SOURCES = ("api_key_env", "access_token_env", "keyring")
_TEXTS = (*SOURCES, "integration", "conversion_metric", "timezone", "base_url")
_KEYS = (*_TEXTS, "attribution_days", "events", "oauth", "send", "targets")
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
        Texts, ``attribution_days`` (int, 1 to 90), ``events, targets`` (of `marks`) and ``oauth`` (dict of texts).

    Raises
    ------
    UnknownNameError
        No such section; ``near`` holds the names that look alike.
    ArgumentError
        The file is missing or is not valid TOML; a key or value in the section is not known or of another kind.
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
    sections = _read(path)
    if name not in sections:
        known = [*sections, *RESERVED]
        near = suggest(name, known)
        raise UnknownNameError(f"{path} has no account {without_keys(name)!r}: {suggestion(near, known)}", near=near)
    _check_name(name, path)
    section = sections[name]
    if not isinstance(section, dict):
        raise ArgumentError(f"{path}: accounts.{name} is not a section: write [accounts.{name}] above its settings.")
    refuse_secrets(section, f"{path}, [accounts.{name}]")
    _check_section(name, section, path)
    return section


def accounts_content(path: Path) -> dict[str, Any]:
    """Return what the file holds, unchecked."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ArgumentError(f"The accounts file {path} cannot be read ({error.strerror}): check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # the parser's text may quote the line, and with it a key: only the place is passed on
        place = re.search(r"line \d+", str(error))
        where = f" at {place[0]}" if place else ""
        raise ArgumentError(f"The accounts file {path} is not valid TOML{where}: correct it there.") from None


def _read(path: Path) -> dict[str, Any]:
    content = accounts_content(path)
    sections = content.get("accounts")
    if set(content) - {"accounts", "send"} or not isinstance(sections, dict) or not sections:
        found = without_keys(", ".join(content)) or "nothing"
        raise ArgumentError(f"{path} holds [accounts.NAME] sections, and [send.NAME] ones; it has {found}.")
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


def refuse_secrets(section: dict[str, Any], place: str) -> None:
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
    check_marks(place, section)
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
        found = f"has {' and '.join(named)}" if named else "does not say where its key is"
        raise CredentialsError(
            f"{place} {found}: give exactly one of {', '.join(SOURCES)} and [accounts.{name}.oauth]."
        )


def _refuse_unknown(place: str, section: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = [key for key in section if key not in known]
    if unknown:
        if any(looks_like_secret(key) for key in unknown):
            raise CredentialsError(f"{place} has a setting whose name looks like a key: {_BELONGS}.")
        near = suggest(unknown[0], known, count=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ArgumentError(f"{place} has unknown {', '.join(unknown)}{hint}: valid are {', '.join(known)}.")


def _check_text(place: str, key: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(f"{place}: {key} is a text in double quotes.")
    if key.endswith("_env") and not _VARIABLE.fullmatch(value):
        raise ArgumentError(f"{place}: {key} takes the name of an environment variable: letters, digits and _.")
    if key == "keyring" and not all(value.rpartition("/")[::2]):
        raise ArgumentError(f'{place}: keyring is written "service/user".')


# The settings of an account. Nothing falls back to the sandbox; a key that is not there is an error.

DEFAULT_BASE_URL = "https://a.klaviyo.com"
DEFAULT_REVISION = "2026-10-15"
MAX_ANSWER = 64_000_000
"""Most bytes of one answer; Klaviyo's largest pages are about 2 MB."""


@dataclass(frozen=True)
class AccountSettings:
    """What is known of an account before it is asked.

    Attributes
    ----------
    name : str
        ``"sandbox"``, ``"live"`` or a section of ``accounts.toml``.
    base_url : str
        Scheme and host, no path.
    revision : str
        Sent with every request.
    credentials : Credentials
        Key or token; shows no secret.
    integration, conversion_metric, timezone : str or None
        Defaults of the account, where given.
    is_embedded : bool
        Whether it is the account inside this process.
    attribution_days : int
        Days after which a window counts as settled.
    events, targets : tuple of dict, mapping
        Days that the report marks (``date``, ISO text, and ``text``), and lines that it draws (``weekly_revenue``).
    max_answer : int
        Most bytes of one answer, unpacked.
    """

    name: str
    base_url: str
    revision: str
    credentials: Credentials
    integration: str | None = None
    conversion_metric: str | None = None
    timezone: str | None = None
    is_embedded: bool = False
    attribution_days: int = 5
    events: tuple[Mapping[str, str], ...] = ()
    targets: Mapping[str, float] = field(default_factory=dict)
    max_answer: int = MAX_ANSWER

    @property
    def host(self) -> str:
        """Host, with the port where it is not the usual one."""
        return urlsplit(self.base_url).netloc

    @property
    def account_key(self) -> str:
        """Host and fingerprint: what answers and calls are filed under."""
        return f"{self.host}-{self.credentials.fingerprint}"


def account_settings(
    name: str, *, environ: Mapping[str, str] = os.environ, accounts_file: Path | None = None
) -> AccountSettings:
    """Return the settings of an account of Klaviyo's; the embedded one's are made where it is opened.

    Parameters
    ----------
    name : str
        ``"live"`` (the variables of the environment) or a section of ``accounts.toml``.
    environ : mapping, optional
        The environment.
    accounts_file : Path, optional
        Instead of ``FLOWPERF_ACCOUNTS`` or the working folder's ``accounts.toml``.

    Raises
    ------
    CredentialsError
        No key, two keys, a key in the file, a keyring that does not answer.
    UnknownNameError
        No such account; ``near`` holds names that look alike.
    ArgumentError
        Base address, revision, FLOWPERF_MAX_ANSWER_MB or a setting of the section is not usable.
    """
    revision = revision_of(environ)
    section = {} if name == "live" else read_section(name, accounts_file, environ)
    given = section.get("base_url") or environ.get("KLAVIYO_BASE_URL", "").strip() or DEFAULT_BASE_URL
    base_url = _base_url(given, "base_url" if "base_url" in section else "KLAVIYO_BASE_URL")
    return AccountSettings(
        name,
        base_url,
        revision,
        _live(environ) if name == "live" else _of_section(name, section, base_url, environ),
        integration=section.get("integration"),
        conversion_metric=section.get("conversion_metric"),
        timezone=_zone(name, section.get("timezone")),
        attribution_days=section.get("attribution_days", 5),
        events=tuple(section.get("events", ())),
        targets=section.get("targets", {}),
        max_answer=_max_answer(environ),
    )


def _live(environ: Mapping[str, str]) -> Credentials:
    key, token = (environ.get(name, "").strip() for name in ("KLAVIYO_API_KEY", "KLAVIYO_ACCESS_TOKEN"))
    if key and token:
        raise CredentialsError(
            "KLAVIYO_API_KEY and KLAVIYO_ACCESS_TOKEN are both set: unset the one that is not meant."
        )
    if key:
        return Credentials(key, scheme=PRIVATE_KEY, source="KLAVIYO_API_KEY")
    if token:
        return Credentials(token, scheme=BEARER, source="KLAVIYO_ACCESS_TOKEN")
    raise CredentialsError(
        "Account live needs a key: set KLAVIYO_API_KEY to a private key, or KLAVIYO_ACCESS_TOKEN to an OAuth "
        "access token."
    )


def _of_section(name: str, section: dict[str, Any], base_url: str, environ: Mapping[str, str]) -> Credentials:
    if "oauth" in section:
        return _oauth(name, section["oauth"], base_url, environ)
    if "keyring" in section:
        keyring = Keyring(section["keyring"], account=name)
        return Credentials(keyring.require(), scheme=PRIVATE_KEY, source=f"keyring {keyring.place}")
    variable = section.get("api_key_env") or section["access_token_env"]
    scheme = PRIVATE_KEY if "api_key_env" in section else BEARER
    return Credentials(_variable(variable, name, environ), scheme=scheme, source=variable)


def _variable(variable: str, account: str, environ: Mapping[str, str]) -> str:
    secret = environ.get(variable, "").strip()
    if not secret:
        raise CredentialsError(f"Account {account} takes its secret from {variable}, which is not set: set it.")
    return secret


def _oauth(name: str, oauth: dict[str, str], base_url: str, environ: Mapping[str, str]) -> OAuthCredentials:
    folder = flowperf_home(environ) / "tokens"
    variable, place = oauth.get("refresh_token_env"), oauth.get("keyring")
    keeper: TokenKeeper = TokenFile(folder / f"{name}.json")
    if place:
        keyring = Keyring(place, account=name)
        keeper = TokenKeeper(keyring.get, keyring.put)
        if not variable:
            keyring.require()
    return OAuthCredentials(
        client_id=_variable(oauth["client_id_env"], name, environ),
        client_secret=_variable(oauth["client_secret_env"], name, environ),
        seed=_variable(variable, name, environ) if variable else None,
        keeper=keeper,
        lock=folder / f"{name}.lock",
        token_url=f"{base_url}/oauth/token",
        source=variable or f"keyring {place}",
    )


def revision_of(environ: Mapping[str, str]) -> str:
    """Return ``KLAVIYO_REVISION``, or the default.

    Raises
    ------
    ArgumentError
        Not a date.
    """
    text = environ.get("KLAVIYO_REVISION", "").strip() or DEFAULT_REVISION
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.removesuffix(".pre")):
            raise ValueError(text)
        date.fromisoformat(text.removesuffix(".pre"))
    except ValueError:
        # its text is not repeated, nor chained: a key in the wrong variable is a usual slip
        raise ArgumentError(
            f"KLAVIYO_REVISION is not a date such as {DEFAULT_REVISION}: set it to one, or leave it unset."
        ) from None
    return text


def _max_answer(environ: Mapping[str, str]) -> int:
    text = environ.get("FLOWPERF_MAX_ANSWER_MB", "").strip()
    try:
        megabytes = float(text) if text else MAX_ANSWER / 1e6
        if not 0 < megabytes <= 100_000:
            raise ValueError(text)
    except ValueError:
        raise ArgumentError(
            "FLOWPERF_MAX_ANSWER_MB is not a number of megabytes above 0: set it to one, or leave it unset for "
            f"{MAX_ANSWER / 1e6:g}."
        ) from None
    return int(megabytes * 1e6)


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _base_url(text: str, where: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
        (parts.hostname or "").encode("idna")  # an empty label, or one that is too long, is a ValueError too
    except ValueError as error:
        raise ArgumentError(f"{where} is not an address: give one such as {DEFAULT_BASE_URL}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or (port is not None and port == 0):
        raise ArgumentError(f"{where} is not an address: give one such as {DEFAULT_BASE_URL}.")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise ArgumentError(f"{where} takes scheme and host only, such as {DEFAULT_BASE_URL}: leave out what follows.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ArgumentError(
            f"{where} is plain http, which would show the key to the network: use https (http is for this "
            "machine only)."
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _zone(account: str, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise ArgumentError(
            f"The timezone {name[:40]!r} of account {account} is not known: use a name such as Europe/Copenhagen."
        ) from error
    return name
