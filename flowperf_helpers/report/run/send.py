"""Messages to targets: mail by SMTP, chats and webhooks by apprise. No secret and no server's words come out."""

from __future__ import annotations

import logging
import re
import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowperf_helpers.errors import DeliveryError, FlowperfError
from flowperf_helpers.report.digest import CHART, Digest, make_digest, notice, reason_to_send
from flowperf_helpers.report.memory import Memory
from flowperf_helpers.report.run.targets import Chat, Mail, Target

__all__ = ["mail_message", "operator_hears", "post", "send"]

SECONDS = 20.0
"""How long a server may take for each of its answers."""

_STATUS = re.compile(r"error=(\d{3})")


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
    if not targets:
        return sent, undelivered
    reason = reason_to_send(headline, memory, condition)
    if not reason:
        say(f"nothing sent: {memory.summary} (--send-if {condition})")
        return sent, undelivered
    for target in targets:
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
    server = f"{target.host}:{target.port}"
    # a server's own words are not passed on, nor chained: they may repeat what it was sent
    try:
        with _connected(target) as smtp:
            refused = smtp.send_message(mail)
    except smtplib.SMTPAuthenticationError as error:
        raise _failed(
            target, f"{server} refused the login of {target.user} ({error.smtp_code}): check {target.source}"
        ) from None
    except smtplib.SMTPNotSupportedError:
        raise _failed(
            target,
            f"{server} offers no {'login' if target.tls == 'none' else 'STARTTLS or login'}: check its port and tls",
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise _failed(target, f"{server} refused every recipient ({_codes(error.recipients)}): check to") from None
    except smtplib.SMTPResponseException as error:
        raise _failed(target, f"{server} refused the mail ({error.smtp_code})") from None
    except smtplib.SMTPException as error:
        if isinstance(error.__context__, TimeoutError):  # which smtplib words as a connection that was closed
            raise _failed(target, f"{server} did not answer within {SECONDS:g} seconds") from None
        raise _failed(target, f"{server} broke off ({type(error).__name__})") from None
    except ssl.SSLCertVerificationError as error:
        raise _failed(target, f"the certificate of {server} is not trusted ({error.verify_message})") from error
    except ssl.SSLError as error:
        raise _failed(target, f"{server} does not speak TLS as asked: check its port and tls") from error
    except TimeoutError as error:
        raise _failed(target, f"{server} did not answer within {SECONDS:g} seconds") from error
    except OSError as error:
        raise _failed(target, f"{server} cannot be reached ({error.strerror or type(error).__name__})") from error
    if refused:
        raise _failed(target, f"{server} refused {', '.join(refused)} ({_codes(refused)}); the others have it")


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
            smtp.login(target.user, target.password())
        yield smtp


def _codes(refused: Any) -> str:
    return ", ".join(sorted({str(code) for code, _ in refused.values()}))


def _send_chat(target: Chat, digest: Digest) -> None:
    import apprise

    url = target.url()
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
