"""Messages to targets of ``accounts.toml``: mail by SMTP, chats and webhooks by apprise.

The file's sections name their secrets and hold none. No secret and no server's words come out.
"""

from __future__ import annotations

import logging
import os
import re
import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses, localtime, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from flowperf_helpers.errors import (
    ArgumentError,
    CredentialsError,
    DeliveryError,
    FlowperfError,
    UnknownNameError,
    suggest,
    suggestion,
)
from flowperf_helpers.klaviyo.accounts_file import RESERVED, accounts_path, read_section, refuse_secrets, shared_targets
from flowperf_helpers.klaviyo.credentials import Keyring
from flowperf_helpers.klaviyo.settings import is_loopback
from flowperf_helpers.report.digest import CHART, Digest, make_digest, notice, reason_to_send
from flowperf_helpers.report.memory import Memory

__all__ = ["Mail", "Target", "find_targets", "mail_message", "operator_hears", "post", "send"]

SECONDS = 20.0
"""How long a server may take for each of its answers."""

_STATUS = re.compile(r"error=(\d{3})")
_MAIL = ("host", "port", "from", "to", "user", "password_env", "keyring", "tls", "link")
_CHAT = ("url_env", "keyring", "link")
_TLS = ("starttls", "tls", "none")
_NO_SECRET = str  # gives an empty text


@dataclass(frozen=True)
class Target:
    """Where messages go: a chat or a webhook, whose address is a secret.

    Attributes
    ----------
    name : str
        As after ``--send``.
    source : str
        Where the secret comes from, for messages.
    secret : callable
        Gives the address (of a mail server the password); never shown.
    link : str
        Where the output folder is published; empty where it is not, and a mail carries the report.
    """

    name: str
    source: str
    secret: Callable[[], str] = field(repr=False)
    link: str


@dataclass(frozen=True)
class Mail(Target):
    """A mail server and who writes to whom; ``user`` is empty where it asks for no login."""

    host: str
    port: int
    tls: str
    sender: Address
    to: tuple[Address, ...]
    user: str


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
    if not all(isinstance(f, dict) and all(isinstance(part, dict) for part in f.values()) for f in (shared, own)):
        raise ArgumentError(f"{path}: send holds sections only: write [send.mail] above what belongs to it.")
    refuse_secrets(shared, lambda key: f"{path}, [send]")
    return str(path), shared | {name: {**shared.get(name, {}), **section} for name, section in own.items()}


def _chat(name: str, section: Mapping[str, Any], place: str, account: str, environ: Mapping[str, str]) -> Target:
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
    return Target(name, source, url, section.get("link", ""))


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
    return Mail(name, source, password, section.get("link", ""), host, port, tls, sender, to, user)


def _check(section: Mapping[str, Any], place: str, known: Sequence[str]) -> None:
    for key, value in section.items():
        if key not in known:
            near = suggest(key, known, count=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ArgumentError(f"{place} has unknown {key}{hint}: valid are {', '.join(known)}.")
        texts = value if key == "to" and isinstance(value, list) else [value]
        if key != "port" and not all(isinstance(text, str) and text.strip() for text in texts):
            raise ArgumentError(f"{place}: {key} is a text in double quotes{', or a list of them' * (key == 'to')}.")
    if urlsplit(section.get("link", "https:")).scheme not in ("https", "http"):
        raise ArgumentError(
            f"{place}: link is the address of the published folder, such as https://example.com/reports/."
        )


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


def _check_installed(targets: Sequence[Target]) -> None:
    """Import what sends; what is missing is found before the report is made."""
    try:
        if not all(isinstance(target, Mail) for target in targets):
            import apprise  # noqa: F401
        if any(isinstance(target, Mail) for target in targets):
            import css_inline  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            f'--send needs {error.name}, which is not installed: pip install "flowperf[send]".'
        ) from error


# --- sending -------------------------------------------------------------------------------------------------------


def post(
    targets: Sequence[Target],
    headline: Mapping[str, Any],
    memory: Memory,
    *,
    condition: str,
    report: Path,
    report_name: str,
    say: Callable[[str], None],
) -> tuple[list[str], list[str]]:
    """Send a week's message to every target that there is; nothing that happens here is an error of the report.

    Parameters
    ----------
    memory : Memory
        Its findings beside those of earlier weeks.
    condition : str
        See `reason_to_send`.
    report, report_name : path, str
        The page, and its name in the output folder.

    Returns
    -------
    tuple of list
        Names of targets that have it, and a sentence for each one that has not.
    """
    sent: list[str] = []
    undelivered: list[str] = []
    reason = reason_to_send(headline, memory, condition) if targets else ""
    if targets and not reason:
        say(f"nothing sent: {memory.summary} (--send-if {condition})")
    for target in targets if reason else ():
        link = f"{target.link.rstrip('/')}/{quote(report_name)}" if target.link else ""
        try:
            mail = isinstance(target, Mail)
            digest = make_digest(headline, memory, reason=reason, link=link, report_name=report_name, mail=mail)
            send(target, digest, report=report)
        except DeliveryError as error:
            undelivered.append(str(error))
        except Exception as error:  # whatever it is, the report is made and the other targets get theirs
            undelivered.append(str(_failed(target, f"it could not be made (unexpected {type(error).__name__})")))
        else:
            sent.append(target.name)
            say(f"sent to {target.name}")
    return sent, undelivered


@contextmanager
def operator_hears(operator: Target | None, account: str, say: Callable[[str], None]) -> Iterator[None]:
    """Tell whoever looks after the runs of any error that leaves the block; the error goes on."""
    try:
        yield
    except Exception as error:
        code = getattr(error, "exit_code", 1)
        text = str(error) if isinstance(error, FlowperfError) else f"Unexpected {type(error).__name__}."
        if operator is not None:
            try:
                send(operator, notice(f"flowperf, account {account}: exit code {code}", f"{text} (exit code {code})"))
            except DeliveryError as failure:
                say(f"the operator was not informed. {failure}")
        raise


def send(target: Target, digest: Digest, *, report: Path | None = None) -> None:
    """Send one message.

    Parameters
    ----------
    digest : Digest
    report : path, optional
        The page, which a mail without a link carries.

    Raises
    ------
    DeliveryError
        It did not arrive at everybody; says why and what to look at.
    """
    if isinstance(target, Mail):
        _send_mail(target, mail_message(target, digest, report=None if target.link else report))
    else:
        _send_chat(target, digest)


def mail_message(target: Mail, digest: Digest, *, report: Path | None = None) -> EmailMessage:
    """Return the mail: plain text, HTML with the chart inside, and the report where one is given."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = target.sender
    mail["To"] = target.to
    mail["Subject"] = digest.subject
    mail["Date"] = localtime()
    mail["Message-ID"] = make_msgid(domain=target.sender.domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(digest.text)
    if digest.html:
        mail.add_alternative(digest.html, subtype="html")
        if digest.chart:
            page: Any = mail.get_payload()[1]  # type: ignore[index]
            page.add_related(digest.chart, "image", "png", cid=f"<{CHART}>", filename="chart.png", disposition="inline")
    if report is not None:
        mail.add_attachment(report.read_bytes(), maintype="text", subtype="html", filename=digest.report_name)
    return mail


def _send_mail(target: Mail, mail: EmailMessage) -> None:
    try:
        with _connected(target) as smtp:
            refused = smtp.send_message(mail)
    except OSError as error:
        # a server's own words are not passed on, nor chained: they may repeat what it was sent
        cause = None if isinstance(error, smtplib.SMTPException) else error
        raise _failed(target, _why_not(target, error)) from cause
    if refused:
        raise _failed(target, f"{target.host}:{target.port} refused {', '.join(refused)} ({_codes(refused)}); "
                      "the others have it")  # fmt: skip


def _why_not(target: Mail, error: OSError) -> str:
    """What a mail server made of a message, in our words."""
    server = f"{target.host}:{target.port}"
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"{server} refused the login of {target.user} ({error.smtp_code}): check {target.source}"
        case smtplib.SMTPNotSupportedError():
            missing = "login" if target.tls == "none" else "STARTTLS or login"
            return f"{server} offers no {missing}: check its port and tls"
        case smtplib.SMTPRecipientsRefused():
            return f"{server} refused every recipient ({_codes(error.recipients)}): check to"
        case smtplib.SMTPResponseException():
            return f"{server} refused the mail ({error.smtp_code})"
        case smtplib.SMTPException(__context__=TimeoutError()) | TimeoutError():  # the former worded as a closed line
            return f"{server} did not answer within {SECONDS:g} seconds"
        case smtplib.SMTPException():
            return f"{server} broke off ({type(error).__name__})"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {server} is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return f"{server} does not speak TLS as asked: check its port and tls"
        case _:
            return f"{server} cannot be reached ({error.strerror or type(error).__name__})"


@contextmanager
def _connected(target: Mail) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    if target.tls == "tls":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(target.host, target.port, timeout=SECONDS, context=context)
    else:
        connection = smtplib.SMTP(target.host, target.port, timeout=SECONDS)
    with connection as smtp:
        if target.tls == "starttls":
            smtp.starttls(context=context)
        if target.user:
            smtp.login(target.user, target.secret())
        yield smtp


def _codes(refused: Any) -> str:
    return ", ".join(sorted({str(code) for code, _ in refused.values()}))


def _send_chat(target: Target, digest: Digest) -> None:
    import apprise

    url = target.secret()
    with _heard() as log:
        # an address that apprise knows no service for is a plain webhook
        service = apprise.Apprise.instantiate(url) or apprise.Apprise.instantiate(re.sub("^http", "json", url))
        if service is None:
            raise _failed(target, f"{target.source} is not an address that a message can be sent to")
        messages = apprise.Apprise()
        messages.add(service)
        arrived = messages.notify(title=digest.subject, body=digest.chat, body_format=apprise.NotifyFormat.TEXT)
    if not arrived:
        raise _failed(target, f"the server behind {target.source} {_reason(log)}")


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is logged of addresses and tokens meanwhile: kept here, and away from every other log."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3")]
    before = [(logger, logger.level, logger.propagate, logger.handlers) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate, logger.handlers = False, [Listener()]
    try:
        yield lines
    finally:
        for logger, level, propagate, handlers in before:
            logger.setLevel(level)
            logger.propagate, logger.handlers = propagate, handlers


def _reason(log: Sequence[str]) -> str:
    """Why a message did not arrive, in our words: what the log says may hold the address."""
    output = " ".join(log)
    if status := _STATUS.search(output):
        return f"refused it ({status[1]})"
    if "CERTIFICATE_VERIFY_FAILED" in output:
        return "has a certificate that is not trusted"
    if "timed out" in output.lower():
        return "did not answer in time"
    return "cannot be reached"


def _failed(target: Target, why: str) -> DeliveryError:
    return DeliveryError(f"The message to {target.name} was not delivered: {why}.")
