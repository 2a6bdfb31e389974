"""The report comes to its readers: mail over real SMTP, webhooks over real HTTP, and nothing is lost when they fail."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from headlines import CLICKS_DOWN, COMPLAINTS, STOPPED, WINNER, headline
from lab_driver import chromium

from flowperf_helpers.errors import ArgumentError, CredentialsError, DeliveryError, FlowperfError, UnknownNameError
from flowperf_helpers.report.digest import check_condition, make_digest, reason_to_send
from flowperf_helpers.report.html import templates_folder
from flowperf_helpers.report.memory import remember
from flowperf_helpers.report.run import send as sending
from flowperf_helpers.report.run.execute import read_notebook, stock_notebook
from flowperf_helpers.report.run.send import find_targets, post, send

FLOWPERF = Path(sys.executable).parent / "flowperf"
PASSWORD = "swordfish-42-and-a-half"
TOKEN = "T0KENsecretPATH0987654321"
WEEK = headline("2026-W47", STOPPED, COMPLAINTS, WINNER, sandbox=True)
BEFORE = headline("2026-W46", WINNER, CLICKS_DOWN, sandbox=True)
MAIL = """
[send.mail]
host = "127.0.0.1"
port = {port}
from = "flowperf <reports@example.com>"
to = ["boss@example.com", "Ada <ada@example.com>"]
"""
HOOK = '\n[send.webhook]\nurl_env = "HOOK"\n'


class Inbox:
    """Keeps what an SMTP server is given; refuses who it is told to."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        self.refused = refused
        self.mails: list[EmailMessage] = []
        self.to: list[list[str]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return f"550 no such mailbox, and {PASSWORD} is what I was told"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        self.to.append(list(envelope.rcpt_tos))
        return "250 OK"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that no machine trusts until it is told to."""
    return trustme.CA()


@pytest.fixture
def mail_server() -> Iterator[Callable[..., tuple[Inbox, int]]]:
    """Start SMTP servers on loopback."""
    running = []

    def start(refused: tuple[str, ...] = (), **settings: Any) -> tuple[Inbox, int]:
        inbox = Inbox(refused)
        controller = Controller(inbox, hostname="127.0.0.1", port=_free_port(), **settings)
        controller.start()
        running.append(controller)
        return inbox, controller.port

    yield start
    for controller in running:
        controller.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


@pytest.fixture
def hook() -> Iterator[Callable[..., tuple[list[dict[str, Any]], str]]]:
    """Start HTTP servers on loopback that answer every POST with a status."""
    running = []

    def start(status: int = 200, *, wait: float = 0.0, context: ssl.SSLContext | None = None) -> Any:
        got: list[dict[str, Any]] = []
        released = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                released.wait(wait)
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Keep the test output clean."""

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread, released))
        return got, f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/{TOKEN}"

    yield start
    for server, thread, released in running:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write accounts.toml and point to it."""

    def write(text: str) -> None:
        path = tmp_path / "accounts.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("FLOWPERF_ACCOUNTS", str(path))

    return write


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Stand for the report's page."""
    path = tmp_path / "report.html"
    path.write_text("<!doctype html><title>the page</title>", encoding="utf-8")
    return path


def _server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def _trust(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))


def _digest(mail: bool = True, **changes: Any) -> Any:
    told = {**WEEK, **changes}
    memory = remember(told, [BEFORE])
    reason = reason_to_send(told, memory, "always")
    return make_digest(told, memory, reason=reason, report_name="weekly-acme-2026-W47.html", mail=mail)


def _sent(names: list[str], page: Path, condition: str = "always") -> tuple[list[str], list[str]]:
    targets = find_targets(names, account="sandbox")
    say: list[str] = []
    memory = remember(WEEK, [BEFORE])
    return post(targets, WEEK, memory, condition=condition, report=page, report_name="weekly-x.html", say=say.append)


# --- mail ----------------------------------------------------------------------------------------------------------


def test_the_headlines_by_hand_fit_the_schema() -> None:
    """What these tests send is what a report's JSON file may hold."""
    schema = json.loads((templates_folder() / "headline.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(WEEK, schema, format_checker=jsonschema.FormatChecker())


def test_a_mail_arrives_with_text_html_chart_and_report(
    mail_server: Any, accounts: Callable[[str], None], page: Path
) -> None:
    """Everybody gets one mail: small, readable without pictures, its chart inside, the page attached."""
    inbox, port = mail_server()
    accounts(MAIL.format(port=port))
    assert (["mail"], []) == _sent(["mail"], page)
    (mail,) = inbox.mails
    assert [["boss@example.com", "ada@example.com"]] == inbox.to
    assert mail["Subject"].startswith(
        "[SANDBOX] Acme Outdoor, week 47: €97,064 so far, €8,000 less than the week before"
    )
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    (attached,) = mail.iter_attachments()
    assert ("weekly-x.html", page.read_text()) == (attached.get_filename(), attached.get_content())
    attached.clear()
    assert len(mail.as_bytes()) <= 60_000
    related = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert f"cid:{related[0]['Content-ID'].strip('<>')}" in html
    assert related[0].get_content().startswith(b"\x89PNG")
    assert "<style" not in html
    assert not re.search(r"(src|href|url\()[=\"'(]*https?:", html)
    for words in (
        "SANDBOX",
        "€97,064",
        "77,675",
        "6.54 %",
        "has sent nothing since Tuesday",
        "The flows brought money",
    ):
        assert words in re.sub(r"\s+", " ", text), words
        assert words in re.sub(r"\s+", " ", html), words
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_published_report_is_linked_instead_of_attached(
    mail_server: Any, accounts: Callable[[str], None], page: Path
) -> None:
    """With a link the mail carries no page, and the link leads to it."""
    inbox, port = mail_server()
    accounts(MAIL.format(port=port) + 'link = "https://reports.example.com/flows/"\n')
    assert (["mail"], []) == _sent(["mail"], page)
    (mail,) = inbox.mails
    assert [] == list(mail.iter_attachments())
    for kind in ("plain", "html"):
        assert "https://reports.example.com/flows/weekly-x.html" in mail.get_body((kind,)).get_content()  # type: ignore[union-attr, arg-type]


def test_login_over_tls_with_a_certificate_that_is_trusted(
    mail_server: Any, accounts: Any, page: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STARTTLS and login work where the machine trusts the server's authority, and only there."""
    context = _server_context(authority)
    inbox, port = mail_server(tls_context=context, require_starttls=True, authenticator=_login, auth_required=True)
    accounts(MAIL.format(port=port) + 'tls = "starttls"\npassword_env = "SMTP_SECRET"\n')
    monkeypatch.setenv("SMTP_SECRET", PASSWORD)
    sent, undelivered = _sent(["mail"], page)
    assert [] == sent == inbox.mails
    assert "certificate" in undelivered[0]
    _trust(authority, tmp_path, monkeypatch)
    assert (["mail"], []) == _sent(["mail"], page)
    assert 1 == len(inbox.mails)


def test_a_wrong_password_is_told_without_it(
    mail_server: Any, accounts: Any, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused login names the variable and no secret."""
    inbox, port = mail_server(authenticator=_login, auth_require_tls=False)
    accounts(MAIL.format(port=port) + 'password_env = "SMTP_SECRET"\n')
    monkeypatch.setenv("SMTP_SECRET", "another-" + TOKEN)
    sent, (why,) = _sent(["mail"], page)
    assert [] == sent == inbox.mails
    assert "535" in why
    assert "SMTP_SECRET" in why
    assert TOKEN not in why


@pytest.mark.parametrize(
    ("refused", "arrived", "words"),
    [(("boss@example.com",), 1, "refused boss@example.com"), (("boss@example.com", "ada@example.com"), 0, "every")],
)
def test_refused_recipients_are_told(
    mail_server: Any, accounts: Any, page: Path, refused: tuple[str, ...], arrived: int, words: str
) -> None:
    """Who does not get the mail is named; the server's own words are not repeated."""
    inbox, port = mail_server(refused)
    accounts(MAIL.format(port=port))
    _, (why,) = _sent(["mail"], page)
    assert arrived == len(inbox.mails)
    assert words in why
    assert "550" in why
    assert PASSWORD not in why


def test_a_server_without_starttls_gets_no_mail(mail_server: Any, accounts: Any, page: Path) -> None:
    """Asked for TLS, nothing goes out in the open."""
    inbox, port = mail_server()
    accounts(MAIL.format(port=port) + 'tls = "starttls"\n')
    _, (why,) = _sent(["mail"], page)
    assert "STARTTLS" in why
    assert [] == inbox.mails


def test_silent_and_missing_mail_servers(accounts: Any, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is given up after a while, one that is not there at once."""
    monkeypatch.setattr(sending, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        accounts(MAIL.format(port=silent.getsockname()[1]))
        _, (why,) = _sent(["mail"], page)
    assert "did not answer" in why
    accounts(MAIL.format(port=_free_port()))
    _, (why,) = _sent(["mail"], page)
    assert "cannot be reached" in why


# --- webhooks ------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_title_and_lines(hook: Any, accounts: Any, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says the same as the mail, in lines."""
    got, url = hook()
    accounts(HOOK)
    monkeypatch.setenv("HOOK", url)
    assert (["webhook"], []) == _sent(["webhook"], page)
    (message,) = got
    assert message["title"].startswith("[SANDBOX] Acme Outdoor, week 47")
    lines = message["message"].splitlines()
    assert "New this week: “Back in Stock” has sent nothing since Tuesday." in lines
    assert "Still so, second week: Variation “Three alternatives” wins in “Browse Abandonment”." in lines
    assert "Not found any more: Click rate of “Abandoned Checkout” fell." in lines


@pytest.mark.parametrize(
    ("status", "wait", "query", "words"),
    [(500, 0.0, "", "refused it (500)"), (404, 0.0, "", "refused it (404)"), (200, 20.0, "?rto=0.3", "in time")],
)
def test_a_webhook_that_fails_is_told_without_its_address(
    hook: Any, accounts: Any, page: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any,
    status: int, wait: float, query: str, words: str,
) -> None:  # fmt: skip
    """Refusals and time-outs are sentences; the address, which is a secret, is in no message, log or output."""
    _, url = hook(status, wait=wait)
    accounts(HOOK)
    monkeypatch.setenv("HOOK", url + query)
    with caplog.at_level(logging.DEBUG):
        sent, (why,) = _sent(["webhook"], page)
    assert [] == sent
    assert words in why
    assert TOKEN not in why + caplog.text + "".join(capfd.readouterr())


def test_a_webhook_s_certificate_is_checked(
    hook: Any, accounts: Any, page: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate of an unknown authority gets no message, a trusted one does."""
    got, url = hook(context=_server_context(authority))
    accounts(HOOK)
    monkeypatch.setenv("HOOK", url)
    _, (why,) = _sent(["webhook"], page)
    assert "certificate" in why
    assert [] == got
    _trust(authority, tmp_path, monkeypatch)
    assert (["webhook"], []) == _sent(["webhook"], page)
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{_free_port()}/{TOKEN}")
    _, (why,) = _sent(["webhook"], page)
    assert "cannot be reached" in why


def test_slack_s_own_address_speaks_slack_s_shape(
    hook: Any, authority: trustme.CA, accounts: Any, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address copied from Slack is posted to as Slack wants it, over TLS that is checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.slack.com").configure_cert(context)
    got, url = hook(context=context)
    port = int(url.split(":")[2].split("/")[0])
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, number, *rest, **more: look_up("127.0.0.1", port, *rest, **more)
    )
    _trust(authority, tmp_path, monkeypatch)
    accounts('[send.slack]\nurl_env = "HOOK"\n')
    monkeypatch.setenv("HOOK", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    assert (["slack"], []) == _sent(["slack"], page)
    (message,) = got
    assert "Back in Stock" in json.dumps(message, ensure_ascii=False)
    assert {"attachments"} <= set(message)


# --- what a message says -------------------------------------------------------------------------------------------


def test_names_steer_neither_a_mail_nor_a_chat() -> None:
    """A flow named like a tag, a mention or a link is words, and a shop's line break adds no header."""
    wild = (
        "stopped",
        "UbBis6",
        "recipients",
        None,
        "“<img src=x> <!channel> @everyone [pay](https://evil.example)” stopped.",
    )
    told = headline("2026-W47", wild, title="Acme\r\nBcc: all@example.com")
    digest = make_digest(told, remember(told, []), reason="", report_name="x.html")
    assert "<img src=x>" not in digest.html
    assert "\n" not in digest.subject
    assert not set("<>[]") & set(digest.chat)
    assert "@everyone" not in digest.chat


def test_a_first_week_and_a_week_without_money_are_messages_too() -> None:
    """Where nothing is known the message says so instead of a zero."""
    bare = headline("2026-W47", value=None, previous=None)
    bare["weeks"] = bare["weeks"][-1:]
    digest = make_digest(bare, remember(bare, []), reason="", report_name="x.html")
    assert digest.subject.startswith("Acme Outdoor, week 47: 77,675")
    assert b"" == digest.chart
    assert "cid:" not in digest.html
    assert "What moved, in one sentence." in digest.text


@pytest.mark.parametrize(
    ("condition", "signals", "value", "sent"),
    [
        ("always", (), 100.0, True),
        ("signal", (WINNER,), 100.0, True),  # the fallen click rate of the week before has ended
        ("signal", (WINNER, CLICKS_DOWN), 100.0, False),
        ("signal", (WINNER, CLICKS_DOWN, STOPPED), 100.0, True),
        ("change:10", (), 91.0, False),
        ("change:10", (), 89.0, True),
        ("change:10", (), 111.0, True),
        ("change:10", (), None, True),
    ],
)
def test_a_message_is_sent_only_when_it_matters(condition: str, signals: Any, value: float | None, sent: bool) -> None:
    """News is what is new or has ended; a change that nobody knows is not a change of nothing."""
    told = headline("2026-W47", *signals, value=value, previous=None if value is None else 100.0)
    if value is None:
        told["numbers"] = told["numbers"][:1]
    assert sent == bool(reason_to_send(told, remember(told, [BEFORE]), condition))


@pytest.mark.parametrize("condition", ["never", "change", "change:", "change:ten", "change:-5", ""])
def test_an_unknown_condition_is_refused(condition: str) -> None:
    """A condition that would never be met is an error, not silence."""
    with pytest.raises(ArgumentError, match="--send-if"):
        check_condition(condition)


@pytest.mark.browser
def test_the_digest_is_readable_at_phone_width_and_without_pictures(tmp_path: Path) -> None:
    """At 390 pixels nothing is cut, and without the chart its words stand in its place."""
    path = tmp_path / "digest.html"
    path.write_text(_digest().html, encoding="utf-8")
    with chromium() as view:
        view.set_viewport_size({"width": 390, "height": 800})
        view.goto(path.as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= 390
        assert "Conversion value by week" in view.locator("img").get_attribute("alt")
        assert view.locator("h1").is_visible()


# --- targets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "error", "words"),
    [
        (MAIL.format(port=25), "slack", UnknownNameError, "slack"),
        (MAIL.format(port=25), "mial", UnknownNameError, "mail"),
        ("[send.mail]\nhost = 'mx.example.com'\n", "mail", ArgumentError, "from and to"),
        (MAIL.format(port=0), "mail", ArgumentError, "port"),
        (MAIL.format(port=25) + "tsl = 'none'\n", "mail", ArgumentError, "did you mean tls"),
        (MAIL.format(port=25) + "user = 'me'\n", "mail", CredentialsError, "password_env"),
        (MAIL.format(port=25) + "password_env = 'SMTP_SECRET'\n", "mail", CredentialsError, "SMTP_SECRET"),
        (MAIL.format(port=25) + f"password = '{PASSWORD}'\n", "mail", CredentialsError, "password"),
        (MAIL.format(port=25).replace("boss@example.com", "boss"), "mail", ArgumentError, "to is not"),
        ("[send.hook]\nurl = 'https://example.com/x'\n", "hook", ArgumentError, "url_env"),
        ("[send.hook]\nlink = 'https://example.com/x'\n", "hook", CredentialsError, "url_env"),
        ("[send.hook]\nurl_env = 'NOT_SET'\n", "hook", CredentialsError, "NOT_SET"),
        ("[send.hook]\nurl_env = 'PLAIN'\n", "hook", ArgumentError, "plain http"),
        ("[send.hook]\nurl_env = 'WORDS'\n", "hook", ArgumentError, "no address"),
        ("send = 'mail'\n", "mail", ArgumentError, "sections"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused_before_the_report(
    accounts: Any, monkeypatch: pytest.MonkeyPatch, text: str, name: str, error: type[FlowperfError], words: str
) -> None:
    """What is missing is said before anything runs; no secret is repeated."""
    monkeypatch.setenv("PLAIN", f"http://example.com/{TOKEN}")
    monkeypatch.setenv("WORDS", TOKEN)
    accounts(text)
    with pytest.raises(error, match=re.escape(words)) as found:
        find_targets([name], account="sandbox")
    assert TOKEN not in str(found.value)
    assert PASSWORD not in str(found.value)


def test_an_account_s_own_targets_overlay_those_of_all(accounts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One server for all accounts, and each account's own readers."""
    monkeypatch.setenv("ACME_KEY", "pk_not_a_real_key")
    accounts(
        MAIL.format(port=2525)
        + '[accounts.acme]\napi_key_env = "ACME_KEY"\n[accounts.acme.send.mail]\nto = "acme@example.com"\n'
        + '[accounts.acme.send.ops]\nhost = "mx.example.com"\nfrom = "a@example.com"\nto = "b@example.com"\n'
    )
    acme, ops = find_targets(["mail", "ops"], account="acme")
    (shared,) = find_targets(["mail"], account="sandbox")
    assert ["acme@example.com"] == [to.addr_spec for to in acme.to]  # type: ignore[union-attr]
    assert (2525, 2) == (acme.port, len(shared.to))  # type: ignore[union-attr]
    assert "starttls" == ops.tls  # type: ignore[union-attr]


def test_a_failure_that_nobody_thought_of_loses_nothing(mail_server: Any, accounts: Any, tmp_path: Path) -> None:
    """The other targets get theirs, whatever happens to the first."""
    inbox, port = mail_server()
    accounts(
        MAIL.format(port=port)
        + MAIL.format(port=port).replace("send.mail", "send.second")
        + 'link = "https://example.com"\n'
    )
    sent, (why,) = _sent(["mail", "second"], tmp_path / "not-there.html")
    assert ["second"] == sent
    assert "FileNotFoundError" in why
    assert 1 == len(inbox.mails)


# --- the command ---------------------------------------------------------------------------------------------------


def _copy(path: Path) -> Path:
    """Write a notebook that saves a headline by hand instead of asking anybody."""
    cells = [
        c
        for c in read_notebook(stock_notebook("05_weekly_report.ipynb"))["cells"]
        if "parameters" in c["metadata"].get("tags", [])
    ]
    save = (
        "import json, pathlib\n"
        f"folder = pathlib.Path(bundle)\n(folder / 'headline.json').write_text({json.dumps(json.dumps(WEEK))})\n"
        "(folder / 'data.parquet').write_bytes(b'x')\n(folder / 'data.xlsx').write_bytes(b'x')"
    )
    made = [
        nbformat.v4.new_code_cell("".join(cells[0]["source"]), metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(save),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), path)
    return path


@pytest.mark.notebook
def test_a_report_that_does_not_arrive_is_made_told_to_the_operator_and_ends_with_6(
    mail_server: Any, hook: Any, accounts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command leaves the files, sends what it can, tells the operator what not, ends with 6 and shows no secret."""
    inbox, port = mail_server()
    _, url = hook(503)
    accounts(MAIL.format(port=port) + MAIL.format(port=port).replace("send.mail", "send.ops") + HOOK)
    monkeypatch.setenv("HOOK", url)
    copied = str(_copy(tmp_path / "mine.ipynb"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine-sandbox-2026-W46.json").write_text(json.dumps(BEFORE), encoding="utf-8")
    where = ["--send", "mail", "--send", "webhook", "--operator", "ops"]
    command = [str(FLOWPERF), "weekly", "--notebook", copied, "--out", "out", *where]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert 6 == done.returncode, done.stderr
    page = (tmp_path / "out" / "mine-sandbox-2026-W47.html").read_text(encoding="utf-8")
    assert re.search("Since the last report.*Still so.*second week.*Not found any more", page, re.DOTALL)
    assert "mine-sandbox-2026-W46.html" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "out/mine-sandbox-2026-W47.html" in done.stdout
    assert "503" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    report, told = inbox.mails
    assert "[SANDBOX]" in report["Subject"]
    assert "exit code 6" in told["Subject"]
    assert "webhook was not delivered" in told.get_content()
    assert TOKEN not in told.as_string()


def test_a_run_that_fails_is_told_to_the_operator(mail_server: Any, accounts: Any, tmp_path: Path) -> None:
    """A run that ends with an error is news for whoever looks after it, and keeps its exit code."""
    inbox, port = mail_server()
    accounts(MAIL.format(port=port))
    command = [str(FLOWPERF), "weekly", "--week", "2030-W01", "--out", "out", "--operator", "mail"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert 2 == done.returncode
    (told,) = inbox.mails
    assert "lies in the future" in re.sub(r"\s+", " ", told.get_content())


def test_a_message_s_error_is_an_error_of_flowperf(accounts: Any, page: Path) -> None:
    """In Python a message that does not arrive is a DeliveryError with exit code 6."""
    accounts(MAIL.format(port=_free_port()))
    (target,) = find_targets(["mail"], account="sandbox")
    with pytest.raises(DeliveryError, match="mail") as found:
        send(target, _digest(), report=page)
    assert 6 == found.value.exit_code
