"""Which account, which key, which address: from the environment or a section of ``accounts.toml``."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flowperf_helpers.errors import ArgumentError, CredentialsError
from flowperf_helpers.klaviyo.accounts_file import read_section
from flowperf_helpers.klaviyo.credentials import (
    BEARER,
    PRIVATE_KEY,
    Credentials,
    Keyring,
    OAuthCredentials,
    TokenKeeper,
    token_file,
)
from flowperf_helpers.klaviyo.storage import flowperf_home

__all__ = ["DEFAULT_BASE_URL", "DEFAULT_REVISION", "AccountSettings", "account_settings", "is_loopback", "revision_of"]


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
    holidays : str or None
        Country whose public holidays the report marks, such as ``"DK"``, or a part of one, ``"US-CA"``.
    max_answer : int
        Most bytes of one answer, unpacked.
    tags : tuple of str
        Of its section, for `flowperf fleet --tag`.
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
    holidays: str | None = None
    max_answer: int = MAX_ANSWER
    tags: tuple[str, ...] = ()

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
    as_given = ("integration", "conversion_metric", "attribution_days", "holidays", "targets")
    return AccountSettings(
        name,
        base_url,
        revision,
        _live(environ) if name == "live" else _of_section(name, section, base_url, environ),
        timezone=_zone(name, section.get("timezone")),
        events=tuple(section.get("events", ())),
        max_answer=_max_answer(environ),
        tags=tuple(section.get("tags", ())),
        **{key: section[key] for key in as_given if key in section},
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
    keeper = token_file(folder / f"{name}.json")
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
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ValueError("no address of a host")
    except ValueError as error:
        raise ArgumentError(f"{where} is not an address: give one such as {DEFAULT_BASE_URL}.") from error
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
