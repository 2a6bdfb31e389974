"""Where messages about a report can go: sections of ``accounts.toml`` that name their secrets and hold none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.utils import getaddresses
from typing import Any
from urllib.parse import urlsplit

from flowperf_helpers.errors import ArgumentError, CredentialsError, UnknownNameError, suggest, suggestion
from flowperf_helpers.klaviyo.accounts_file import (
    RESERVED,
    accounts_path,
    read_section,
    refuse_secrets,
    shared_targets,
)
from flowperf_helpers.klaviyo.credentials import Keyring
from flowperf_helpers.klaviyo.settings import is_loopback

__all__ = ["Chat", "Mail", "Target", "find_targets"]

_MAIL = ("host", "port", "from", "to", "user", "password_env", "keyring", "tls", "link")
_CHAT = ("url_env", "keyring", "link")
_TLS = ("starttls", "tls", "none")
_NO_SECRET = str  # gives an empty text


@dataclass(frozen=True)
class Chat:
    """A chat or a webhook: its address is a secret.

    Attributes
    ----------
    name : str
        As after ``--send``.
    source : str
        Where the address comes from, for messages.
    url : callable
        Gives the address; never shown.
    link : str
        Where the output folder is published, empty where it is not.
    """

    name: str
    source: str
    url: Callable[[], str] = field(repr=False)
    link: str = ""


@dataclass(frozen=True)
class Mail:
    """A mail server and who writes to whom.

    Attributes
    ----------
    name : str
        As after ``--send``.
    host, port : str, int
    tls : {"starttls", "tls", "none"}
    sender, to : Address, tuple of Address
    user : str
        Empty where the server asks for no login.
    source : str
        Where the password comes from, for messages.
    password : callable
        Gives the password; never shown.
    link : str
        Where the output folder is published; empty: the report is attached.
    """

    name: str
    host: str
    port: int
    tls: str
    sender: Address
    to: tuple[Address, ...]
    user: str = ""
    source: str = ""
    password: Callable[[], str] = field(default=_NO_SECRET, repr=False)
    link: str = ""


Target = Chat | Mail


def find_targets(names: Sequence[str], *, account: str, environ: Mapping[str, str] = os.environ) -> list[Target]:
    """Return targets by their names, ready to be used, so that nothing is missing once the report is made.

    ``[send.NAME]`` holds for every account, also for sandbox and live; ``[accounts.ACCOUNT.send.NAME]`` overlays it.
    A target with a ``host`` is a mail server, any other one a chat or a webhook.

    Raises
    ------
    UnknownNameError
        No section for a target.
    ArgumentError
        A setting is missing or cannot be used; a library is not installed.
    CredentialsError
        A secret stands in the file, or is not where the file says.
    """
    if not names:
        return []
    place, sections = _sections(account, environ)
    targets: list[Target] = []
    for name in dict.fromkeys(names):
        section = sections.get(name)
        if not isinstance(section, Mapping):
            near = suggest(name, sections)
            known = suggestion(near, sections) if sections else "it names no target yet."
            raise UnknownNameError(
                f"{place} does not say where {name!r} is: describe it as [send.{name}] or "
                f"[accounts.{account}.send.{name}]; {known}",
                near=near,
            )
        make = _mail if "host" in section else _chat
        targets.append(make(name, section, f"{place}, target {name}", account, environ))
    _check_installed(targets)
    return targets


def _sections(account: str, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the file's name and its targets for one account."""
    path = accounts_path(environ)
    if not path.exists() and "FLOWPERF_ACCOUNTS" not in environ:
        raise ArgumentError(
            f"--send needs {path}, where [send.mail] says which server and whom, and it is not there: write it, or let "
            "FLOWPERF_ACCOUNTS point to it."
        )
    shared = shared_targets(path)
    own = {} if account in RESERVED else read_section(account, path, environ).get("send", {})
    if not all(
        isinstance(part, dict)
        for found in (shared, own)
        for part in ([found, *found.values()] if isinstance(found, dict) else [found])
    ):
        raise ArgumentError(f"{path}: send holds sections only: write [send.mail] above what belongs to it.")
    refuse_secrets(shared, lambda key: f"{path}, [send]")
    return str(path), shared | {name: {**shared.get(name, {}), **section} for name, section in own.items()}


def _chat(name: str, section: Mapping[str, Any], place: str, account: str, environ: Mapping[str, str]) -> Chat:
    _check(section, place, _CHAT)
    source, url = _secret(section, "url_env", place, account, environ)
    if url is _NO_SECRET:
        raise CredentialsError(
            f"{place} does not say where its address is: it takes host for a mail server, or url_env (a variable) or "
            "keyring for the address of a chat or webhook, which is a secret."
        )
    parts = urlsplit(url())
    if not parts.scheme or not parts.netloc:
        raise ArgumentError(f"{source} holds no address: a webhook's begins with https://.")
    if parts.scheme in ("http", "json") and not is_loopback(parts.hostname):
        raise ArgumentError(f"{source} is plain http, which would show it to the network: use https.")
    return Chat(name, source, url, _link(section, place))


def _mail(name: str, section: Mapping[str, Any], place: str, account: str, environ: Mapping[str, str]) -> Mail:
    _check(section, place, _MAIL)
    missing = [key for key in ("from", "to") if not section.get(key)]
    if missing:
        raise ArgumentError(f'{place} lacks {" and ".join(missing)}: write addresses such as "me@example.com".')
    host = str(section["host"])
    port = section.get("port", 587)
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ArgumentError(f"{place}: port is a whole number from 1 to 65535.")
    usual = "tls" if port == 465 else "none" if is_loopback(host) else "starttls"
    tls = section.get("tls", usual)
    if tls not in _TLS:
        raise ArgumentError(f"{place}: tls is one of {', '.join(_TLS)}.")
    source, password = _secret(section, "password_env", place, account, environ)
    (sender,) = _addresses(section["from"], f"{place}: from", only_one=True)
    user = str(section.get("user", "" if password is _NO_SECRET else sender.addr_spec))
    if user and password is _NO_SECRET:
        raise CredentialsError(f"{place} has a user and no password: name its variable as password_env, or a keyring.")
    if user and tls == "none" and not is_loopback(host):
        raise ArgumentError(f"{place} would show its password to the network: leave tls out, or set it to starttls.")
    to = _addresses(section["to"], f"{place}: to")
    return Mail(name, host, port, tls, sender, to, user, source, password, _link(section, place))


def _check(section: Mapping[str, Any], place: str, known: Sequence[str]) -> None:
    for key, value in section.items():
        if key not in known:
            near = suggest(key, known, count=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ArgumentError(f"{place} has unknown {key}{hint}: valid are {', '.join(known)}.")
        texts = value if key == "to" and isinstance(value, list) else [value]
        if key != "port" and not all(isinstance(text, str) and text.strip() for text in texts):
            raise ArgumentError(f"{place}: {key} is a text in double quotes{', or a list of them' * (key == 'to')}.")


def _secret(
    section: Mapping[str, Any], key: str, place: str, account: str, environ: Mapping[str, str]
) -> tuple[str, Callable[[], str]]:
    """Return where a secret comes from and a function that gives it."""
    if key in section and "keyring" in section:
        raise CredentialsError(f"{place} has {key} and keyring: give one of them.")
    if "keyring" in section:
        secret = Keyring(section["keyring"], account=account).require()
        return f"keyring {section['keyring']}", lambda: secret
    if key not in section:
        return "", _NO_SECRET
    variable = section[key]
    found = environ.get(variable, "").strip()
    if not found:
        raise CredentialsError(f"{place} takes its secret from {variable}, which is not set: set it.")
    return variable, lambda: found


def _addresses(value: str | list[str], place: str, *, only_one: bool = False) -> tuple[Address, ...]:
    pairs = getaddresses(value if isinstance(value, list) else [value])
    try:
        found = tuple(Address(name, addr_spec=spec) for name, spec in pairs)
        usable = found and all(address.username and address.domain for address in found)
    except (ValueError, IndexError):  # the parser's own complaints
        usable = False
    if not usable or (only_one and len(found) != 1):
        raise ArgumentError(
            f"{place} is not {'a mail address' if only_one else 'mail addresses'}: write me@example.com."
        )
    return found


def _link(section: Mapping[str, Any], place: str) -> str:
    link = str(section.get("link", ""))
    if link and urlsplit(link).scheme not in ("https", "http"):
        raise ArgumentError(
            f"{place}: link is the address of the published folder, such as https://example.com/reports/."
        )
    return link


def _check_installed(targets: Sequence[Target]) -> None:
    """Import what sends; what is missing is found before the report is made."""
    try:
        if any(isinstance(target, Chat) for target in targets):
            import apprise  # noqa: F401
        if any(isinstance(target, Mail) for target in targets):
            import css_inline  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            f'--send needs {error.name}, which is not installed: pip install "flowperf[send]".'
        ) from error
