"""Which account, which key, which address."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.errors
import pytest
from click.testing import CliRunner
from keyring.backend import KeyringBackend
from raw_server import KEY, Clock, reply, report, reset, serving

from flowperf_helpers.account.account import connect
from flowperf_helpers.account.connection import is_sandbox, settings_of
from flowperf_helpers.cli import main
from flowperf_helpers.errors import (
    ArgumentError,
    AuthenticationError,
    CredentialsError,
    TransportError,
    UnknownNameError,
)
from flowperf_helpers.klaviyo import accounts_file
from flowperf_helpers.klaviyo.accounts_file import account_names, read_section
from flowperf_helpers.klaviyo.client import Client
from flowperf_helpers.klaviyo.credentials import looks_like_secret
from flowperf_helpers.klaviyo.settings import AccountSettings, account_settings
from flowperf_helpers.klaviyo.storage import flowperf_home, private_folder
from flowperf_helpers.sandbox import SANDBOX_KEY


def accounts(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    return path


def section(tmp_path: Path, text: str, **environ: str) -> AccountSettings:
    return account_settings("acme", environ=environ, accounts_file=accounts(tmp_path, f"[accounts.acme]\n{text}"))


def test_the_sandbox_needs_no_key() -> None:
    """The embedded account has its own key and address, whatever the environment holds."""
    settings = settings_of("sandbox", environ={"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": "https://example.com"})
    assert ("sandbox", True, "sandbox.invalid") == (settings.name, is_sandbox(settings), settings.host)
    assert {"Authorization": "Klaviyo-API-Key sandbox-key"} == settings.credentials.headers()
    assert "RplOrd" == settings.conversion_metric


@pytest.mark.parametrize("environ", [{}, {"KLAVIYO_API_KEY": " ", "KLAVIYO_ACCESS_TOKEN": ""}])
def test_live_without_a_key_names_both_variables(environ: dict[str, str]) -> None:
    """No key is an error and never becomes the sandbox."""
    with pytest.raises(CredentialsError, match=r"KLAVIYO_API_KEY.*KLAVIYO_ACCESS_TOKEN"):
        account_settings("live", environ=environ)


def test_live_with_two_secrets_is_refused() -> None:
    """A key and a token at once is an error that says so and shows neither."""
    with pytest.raises(CredentialsError, match="both set") as caught:
        account_settings("live", environ={"KLAVIYO_API_KEY": KEY, "KLAVIYO_ACCESS_TOKEN": "token-987654"})
    assert KEY not in str(caught.value)


def test_live_sends_what_it_was_given() -> None:
    """A key goes out as Klaviyo-API-Key, a token as Bearer."""
    key = account_settings("live", environ={"KLAVIYO_API_KEY": f" {KEY}\n"})
    token = account_settings("live", environ={"KLAVIYO_ACCESS_TOKEN": "abc.def"})
    assert {"Authorization": f"Klaviyo-API-Key {KEY}"} == key.credentials.headers()
    assert {"Authorization": "Bearer abc.def"} == token.credentials.headers()
    assert ("https://a.klaviyo.com", "2026-10-15") == (key.base_url, key.revision)


def test_no_secret_shows() -> None:
    """Neither repr, vars, a traceback's locals nor pickle give the key away; the fingerprint is stable and short."""
    settings = account_settings("live", environ={"KLAVIYO_API_KEY": KEY})
    with pytest.raises(TypeError):
        vars(settings.credentials)
    with pytest.raises(CredentialsError, match="account's name"):
        pickle.dumps(settings)
    try:
        settings.credentials.nothing  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert KEY not in repr(settings) + shown
    again = account_settings("live", environ={"KLAVIYO_API_KEY": KEY})
    assert settings.credentials.fingerprint == again.credentials.fingerprint
    assert 16 == len(settings.credentials.fingerprint)
    other = account_settings("live", environ={"KLAVIYO_API_KEY": KEY + "x"})
    assert settings.account_key != other.account_key


@pytest.mark.parametrize("key", ["Klaviyo-API-Key pk_123456", "pk_1\r\nX-Evil: 1", "pk_ä"])
def test_a_key_no_header_can_carry_is_refused(key: str) -> None:
    """Blanks, line breaks and special letters in a key are named, not sent."""
    with pytest.raises(CredentialsError, match="KLAVIYO_API_KEY holds"):
        account_settings("live", environ={"KLAVIYO_API_KEY": key})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765", "http://localhost:1/", "http://[::1]:9", "https://x.example"])
def test_addresses_that_are_taken(url: str) -> None:
    """https anywhere and plain http on this machine, without the slash at the end."""
    got = account_settings("live", environ={"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": url})
    assert url.rstrip("/") == got.base_url


@pytest.mark.parametrize(
    "url",
    ["http://a.klaviyo.com", "http://127.0.0.1.example.com", "ftp://x", "a.klaviyo.com", "https://u:p@x", "https://x/api",
     "https://x?y", "https://x:99999", "https://"],
)  # fmt: skip
def test_addresses_that_are_refused(url: str) -> None:
    """Plain http to the network, other schemes, and anything after the host."""
    with pytest.raises(ArgumentError, match="KLAVIYO_BASE_URL"):
        account_settings("live", environ={"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": url})


@pytest.mark.parametrize("revision", ["2026", "2026-13-01", "latest", "2026-10-15\nx: y", "20261015"])
def test_a_revision_is_a_date(revision: str) -> None:
    """Anything else is refused before it is sent."""
    with pytest.raises(ArgumentError, match="KLAVIYO_REVISION"):
        settings_of("sandbox", environ={"KLAVIYO_REVISION": revision})


def test_a_section_as_the_interface_draws_it(tmp_path: Path) -> None:
    """All keys of interface.md are read."""
    got = section(
        tmp_path,
        'api_key_env = "ACME_KLAVIYO_KEY"\nintegration = "YourIntegration"\nconversion_metric = "Placed Order"\n'
        'timezone = "Europe/Copenhagen"\nbase_url = "https://a.klaviyo.com"\nattribution_days = 30\n',
        ACME_KLAVIYO_KEY=KEY,
    )
    expected = ("acme", "YourIntegration", "Placed Order", "Europe/Copenhagen", 30)
    assert expected == (got.name, got.integration, got.conversion_metric, got.timezone, got.attribution_days)
    assert {"Authorization": f"Klaviyo-API-Key {KEY}"} == got.credentials.headers()


def test_events_and_targets_of_a_section_are_kept(tmp_path: Path) -> None:
    """Dates are read as TOML writes them or as text, and come out as ISO texts."""
    path = tmp_path / "accounts.toml"
    path.write_text(
        '[defaults]\nholidays = "DK"\n[accounts.acme]\napi_key_env = "K"\ntargets = {weekly_revenue = 120000}\n'
        'events = [{date = 2026-11-27, text = "Black Friday"}, {date = "2026-12-24", text = "Closed"}]\n'
    )
    got = account_settings("acme", environ={"K": "pk_x"}, accounts_file=path)
    assert ["2026-11-27", "2026-12-24"] == [event["date"] for event in got.events]
    assert {"weekly_revenue": 120000} == dict(got.targets)
    assert "DK" == got.holidays


def test_the_file_lies_in_the_working_folder_or_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accounts.toml here, or FLOWPERF_ACCOUNTS."""
    path = accounts(tmp_path, '[accounts.acme]\naccess_token_env = "T"\n[accounts.beta]\napi_key_env = "K"\n')
    assert {"Authorization": "Bearer tok"} == account_settings(
        "acme", environ={"FLOWPERF_ACCOUNTS": str(path), "T": "tok"}
    ).credentials.headers()
    monkeypatch.chdir(tmp_path)
    assert ["acme", "beta"] == account_names(environ={})
    with pytest.raises(CredentialsError, match="from K, which is not set"):
        account_settings("beta", environ={})


def test_an_unknown_account_names_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt account is an error of arguments with the names that look alike."""
    path = accounts(tmp_path, '[accounts.acme]\napi_key_env = "K"\n')
    with pytest.raises(UnknownNameError, match="acme") as caught:
        account_settings("acmee", accounts_file=path)
    assert ["acme"] == caught.value.near
    monkeypatch.chdir(tmp_path / "..")
    with pytest.raises(UnknownNameError, match=r"accounts\.toml") as caught:
        account_settings("Sandbox", environ={})
    assert ["sandbox"] == caught.value.near


def test_a_section_that_is_named_by_a_key_is_not_suggested(tmp_path: Path) -> None:
    """A key that was put where a name belongs is in no message about another name."""
    path = accounts(tmp_path, f'[accounts.{KEY}]\napi_key_env = "K"\n')
    for name in (KEY[:-1], "pk", "acme"):
        with pytest.raises(UnknownNameError) as caught:
            account_settings(name, accounts_file=path)
        assert KEY not in f"{caught.value}{caught.value.near}"


@pytest.mark.parametrize(
    "text",
    [f'api_key_env = "{KEY}"', f'integration = "{KEY}"', 'api_key_env = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4"',
     f'base_url = "https://x/{KEY}"', f'api_key = "{KEY}"', f'[accounts.acme.oauth]\nclient_secret = "{KEY}"',
     'access_token = "x"', f'"{KEY}" = 1', f'integration = ["{KEY}"]'],
)  # fmt: skip
def test_a_key_in_the_file_is_refused(tmp_path: Path, text: str) -> None:
    """What looks like a key is refused with where it belongs, and is not repeated."""
    with pytest.raises(CredentialsError, match="environment variable or the system's keyring") as caught:
        section(tmp_path, text, K="x")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("text", ["YourIntegration", "ACME_KLAVIYO_KEY_FOR_THE_MAIN_STORE_2026", "Europe/Copenhagen",
                                  "https://a.klaviyo.com", "Placed Order", "01HZXJ0V3K8Q"])  # fmt: skip
def test_names_are_no_keys(text: str) -> None:
    """Ordinary values pass."""
    assert not looks_like_secret(text)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [('api_key_env = "K"\ncolour = "red"', ArgumentError, "unknown colour.*valid are api_key_env"),
     ('api_key_env = "K"\nintegratoin = "x"', ArgumentError, "did you mean integration"),
     ('api_key_env = "K"\nkeyring = "a/b"', CredentialsError, "exactly one"),
     ('integration = "x"', CredentialsError, "exactly one"),
     ('api_key_env = "not a name"', ArgumentError, "environment variable"),
     ("api_key_env = 3", ArgumentError, "text"),
     ('keyring = "nouser"', ArgumentError, "service/user"),
     ('api_key_env = "K"\ntimezone = "Mars/Base"', ArgumentError, "Mars/Base"),
     ('api_key_env = "K"\nattribution_days = 91', ArgumentError, "1 to 90"),
     ('api_key_env = "K"\nevents = [{date = "soon", text = "Sale"}]', ArgumentError, "write 2026-11-27"),
     ('api_key_env = "K"\nevents = [{date = 2026-11-27}]', ArgumentError, "events is a list such as"),
     ('api_key_env = "K"\ntargets = {weekly_revenue = 0}', ArgumentError, "above 0"),
     ('api_key_env = "K"\ntargets = {orders = 5}', ArgumentError, "weekly_revenue = 120000"),
     ('api_key_env = "K"\nholidays = "Denmark"', ArgumentError, r"a country such as .DK.*'Denmark' is neither"),
     ('api_key_env = "K"\nholidays = "US-XX"', ArgumentError, "or a part of one such as .US-CA.*'US-XX' is neither"),
     ('api_key_env = "K"\nholidays = ""', ArgumentError, "holidays"),
     ('api_key_env = "K"\nbase_url = "http://x.example"', ArgumentError, "base_url is plain http"),
     ('oauth = "x"', ArgumentError, r"accounts\.acme\.oauth"),
     ('[accounts.acme.oauth]\nclient_id_env = "I"', CredentialsError, "lacks client_secret_env, refresh_token_env"),
     ('api_key_env = "K\n', ArgumentError, "not valid TOML at line 2")],
)  # fmt: skip
def test_what_a_section_may_not_hold(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    """Unknown keys, several or no sources of the key, values of another kind: each has its sentence."""
    with pytest.raises(error, match=says):
        section(tmp_path, text, K="x")


@pytest.mark.parametrize("text", ["[account.x]", "", "[defaults]\n", "[accounts]\n", "x = [", "accounts = 3"])
def test_what_the_file_may_not_hold(tmp_path: Path, text: str) -> None:
    """Other tables, no account, and a text that is not TOML."""
    with pytest.raises(ArgumentError):
        account_names(accounts(tmp_path, text))


@pytest.mark.parametrize("name", ["a b", "../x", "é"])
def test_what_an_account_may_not_be_called(tmp_path: Path, name: str) -> None:
    """A name that no file could carry is refused with its line, when the account is asked for."""
    path = accounts(tmp_path, f'[accounts.fine]\napi_key_env = "K"\n[accounts."{name}"]\napi_key_env = "K"\n')
    assert ["fine", name] == account_names(path)
    with pytest.raises(ArgumentError, match=r"line 3, .*letters, digits"):
        account_settings(name, environ={"K": "x"}, accounts_file=path)


def test_a_reserved_name_is_refused(tmp_path: Path) -> None:
    """A section cannot take the place of the embedded account or of the environment's."""
    path = accounts(tmp_path, '[accounts.live]\napi_key_env = "K"\n')
    with pytest.raises(ArgumentError, match=r"line 1, .*flowperf's own"):
        read_section("live", path)


def test_defaults_stand_under_every_section(tmp_path: Path) -> None:
    """What [defaults] says holds where a section says nothing else; tags add up."""
    path = accounts(
        tmp_path,
        '[defaults]\nconversion_metric = "Placed Order"\nattribution_days = 7\ntags = ["eu"]\n'
        '[accounts.a]\napi_key_env = "K"\n[accounts.b]\napi_key_env = "K"\nattribution_days = 3\ntags = ["v2", "eu"]\n',
    )
    a, b = (account_settings(name, environ={"K": "x"}, accounts_file=path) for name in "ab")
    assert ("Placed Order", 7, ("eu",)) == (a.conversion_metric, a.attribution_days, a.tags)
    assert ("Placed Order", 3, ("eu", "v2")) == (b.conversion_metric, b.attribution_days, b.tags)


@pytest.mark.parametrize(
    ("text", "line"),
    [('api_key_env = "K"\ncolour = 1', 6), ('api_key_env = "K"\ntags = "eu"', 6), ('api_key_env = "K"\ntags = [1]', 6),
     (f'conversion_metric = "x"\nbase_url = "https://x/{KEY}"', 6), ('attribution_days = 0\napi_key_env = "K"', 5),
     ('integration = "x"', 4), ('keyring = "x"', 5), ('api_key_env = "K\n', 5), ("= 3", 5),
     ('api_key_env = "K"\n[accounts.bad.oauth]\nclient_id_env = "I"', 6),
     ('api_key_env = "K"\n[accounts.bad]\napi_key_env = "K"', 6)],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    """Whatever is wrong in a section is said with the line it stands on, and the account beside it stays usable."""
    before = '# shops\n[accounts.good]\napi_key_env = "K"\n[accounts.bad]\n'
    path = accounts(tmp_path, f'{before}{text}\n[accounts.last]\napi_key_env = "K"\n')
    with pytest.raises((ArgumentError, CredentialsError), match=rf"line {line}\b") as caught:
        account_settings("bad", environ={"K": "x"}, accounts_file=path)
    assert KEY not in str(caught.value)
    for name in ("good", "last"):
        assert "K" == account_settings(name, environ={"K": "x"}, accounts_file=path).credentials.source


def test_a_thousand_sections_are_read_once(tmp_path: Path) -> None:
    """A file of a thousand sections is parsed once, however many of them are asked for."""
    path = accounts(tmp_path, "".join(f'[accounts.a{i}]\napi_key_env = "K"\n' for i in range(1000)))
    parsed = accounts_file._parsed.cache_info().misses
    assert 1000 == sum(read_section(name, path)["api_key_env"] == "K" for name in account_names(path))
    assert 1 == accounts_file._parsed.cache_info().misses - parsed


def test_a_missing_file_that_was_named(tmp_path: Path) -> None:
    """FLOWPERF_ACCOUNTS that leads nowhere says where it leads."""
    with pytest.raises(ArgumentError, match="nowhere"):
        account_settings("acme", environ={"FLOWPERF_ACCOUNTS": str(tmp_path / "nowhere.toml")})


def test_the_home_is_the_owners(tmp_path: Path) -> None:
    """FLOWPERF_HOME is made with what is missing above it, for its owner only."""
    home = flowperf_home({"FLOWPERF_HOME": str(tmp_path / "a" / "b")})
    assert tmp_path / "a" / "b" == home
    assert [0o700, 0o700] == [stat.S_IMODE(path.stat().st_mode) for path in (home, home.parent)]
    assert home == private_folder(home)


class Rings(KeyringBackend):
    """A keyring of this test's own."""

    priority = 99  # type: ignore[assignment]

    def __init__(self, *, locked: bool = False) -> None:
        self.kept: dict[str, str] = {}
        self.locked = locked

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        return self.kept.get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        self.kept[f"{service}/{username}"] = password


@pytest.fixture
def rings() -> Iterator[Rings]:
    before, own = keyring.get_keyring(), Rings()
    keyring.set_keyring(own)
    yield own
    keyring.set_keyring(before)


def test_a_key_from_the_keyring(tmp_path: Path, rings: Rings) -> None:
    """A key in the system's keyring is found by service and user."""
    rings.kept["my/service/acme"] = "pk_fromthekeyring"
    got = section(tmp_path, 'keyring = "my/service/acme"')
    assert {"Authorization": "Klaviyo-API-Key pk_fromthekeyring"} == got.credentials.headers()


def test_a_keyring_that_is_empty_or_locked(tmp_path: Path, rings: Rings) -> None:
    """An empty place is named with the way to fill it, a locked keyring with the other way."""
    with pytest.raises(CredentialsError, match="keyring set klaviyo acme"):
        section(tmp_path, 'keyring = "klaviyo/acme"')
    rings.locked = True
    with pytest.raises(CredentialsError, match="unlock it"):
        section(tmp_path, 'keyring = "klaviyo/acme"')


def test_no_keyring_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the optional library is missing, the message says how to install it."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(CredentialsError, match=r"flowperf\[keyring\]"):
        section(tmp_path, 'keyring = "klaviyo/acme"')


OAUTH = '[accounts.acme.oauth]\nclient_id_env = "ID"\nclient_secret_env = "SECRET"\nrefresh_token_env = "REFRESH"\n'


def oauth_settings(tmp_path: Path, url: str, refresh: str = "first-refresh") -> AccountSettings:
    environ = {"ID": "app", "SECRET": "app-secret", "REFRESH": refresh, "KLAVIYO_BASE_URL": url}
    environ["FLOWPERF_HOME"] = str(tmp_path / "home")
    return account_settings("acme", environ=environ, accounts_file=accounts(tmp_path, OAUTH))


def token(name: str, **more: object) -> bytes:
    return reply({"access_token": name, "token_type": "Bearer", "expires_in": 3600, "scope": "flows:read"} | more)


def test_oauth_gets_keeps_and_uses_tokens(tmp_path: Path) -> None:
    """A refresh token buys an access token by HTTP Basic; both are kept for the owner and used by the next run."""
    with serving(token("access-1", refresh_token="second-refresh"), reply(report())) as server:
        url = server.url
        settings = oauth_settings(tmp_path, server.url)
        Client(settings).post("/api/flow-values-reports", {})
        Client(oauth_settings(tmp_path, server.url)).post("/api/flow-values-reports", {})
    asked, first, second = server.requests
    assert asked.startswith("POST /oauth/token ")
    assert "Authorization: Basic YXBwOmFwcC1zZWNyZXQ=" in asked
    assert "grant_type=refresh_token&refresh_token=first-refresh" in asked
    assert all("Authorization: Bearer access-1" in request for request in (first, second))
    kept = tmp_path / "home" / "tokens" / "acme.json"
    assert "second-refresh" == json.loads(kept.read_text())["refresh_token"]
    assert 0o600 == stat.S_IMODE(kept.stat().st_mode)
    assert settings.credentials.fingerprint == oauth_settings(tmp_path, url).credentials.fingerprint
    renewed = oauth_settings(tmp_path, url, refresh="another-authorisation")
    assert settings.credentials.fingerprint != renewed.credentials.fingerprint
    assert renewed.credentials.needs_refresh()


def test_oauth_renews_once_after_a_401(tmp_path: Path) -> None:
    """A token that Klaviyo no longer takes is renewed once and the call is made again."""
    refused = reply({"errors": [{"code": "authentication_failed"}]}, status="401 Unauthorized")
    with serving(token("old"), reply(report()), refused, token("new"), reply(report())) as server:
        client = Client(oauth_settings(tmp_path, server.url), backoff=0.01)
        client.get("/api/metrics")
        answer = client.post("/api/flow-values-reports", {})
    assert 2 == answer.requests
    assert "Authorization: Bearer new" in server.requests[-1]


def test_oauth_renews_only_once(tmp_path: Path) -> None:
    """A fresh token that is refused ends in the error of authentication, without a second renewal."""
    refused = reply({"errors": [{"code": "authentication_failed"}]}, status="401 Unauthorized")
    with serving(token("fresh"), refused) as server, pytest.raises(AuthenticationError):
        Client(oauth_settings(tmp_path, server.url)).post("/api/flow-values-reports", {})
    assert 2 == len(server.requests)


def test_oauth_that_was_revoked(tmp_path: Path) -> None:
    """invalid_grant names the variable of the refresh token and shows no secret."""
    with (
        serving(reply({"error": "invalid_grant"}, status="400 Bad Request")) as server,
        pytest.raises(AuthenticationError, match="REFRESH") as caught,
    ):
        Client(oauth_settings(tmp_path, server.url)).get("/api/metrics")
    assert ("invalid_grant", 400) == (caught.value.code, caught.value.status)
    assert "first-refresh" not in str(caught.value)


def test_oauth_endpoint_that_answers_html(tmp_path: Path) -> None:
    """A token endpoint that answers something else is an error of transport."""
    with serving(reply(raw=b"<html>", status="503 Busy")) as server, pytest.raises(TransportError, match="503"):
        Client(oauth_settings(tmp_path, server.url)).get("/api/metrics")


def test_a_damaged_token_file_falls_back_to_the_refresh_token_given(tmp_path: Path) -> None:
    """A token file that is no JSON is not the end: the refresh token of the environment is used again."""
    private_folder(tmp_path / "home" / "tokens")
    (tmp_path / "home" / "tokens" / "acme.json").write_text('{"refresh_')
    with serving(token("access-1"), reply({"data": []})) as server:
        Client(oauth_settings(tmp_path, server.url)).get("/api/metrics")
    assert "refresh_token=first-refresh" in server.requests[0]


def test_oauth_kept_in_the_keyring(tmp_path: Path, rings: Rings) -> None:
    """A bare refresh token in the keyring is used, and what comes back is kept there and nowhere else."""
    rings.kept["klaviyo/acme"] = "bare-refresh"
    text = OAUTH.replace('refresh_token_env = "REFRESH"', 'keyring = "klaviyo/acme"')
    with serving(token("access-1", refresh_token="rotated"), reply({"data": []})) as server:
        environ = {"ID": "app", "SECRET": "s", "KLAVIYO_BASE_URL": server.url, "FLOWPERF_HOME": str(tmp_path / "h")}

        def settings() -> AccountSettings:
            return account_settings("acme", environ=environ, accounts_file=accounts(tmp_path, text))

        first = settings()
        Client(first).get("/api/metrics")
        again = settings()
        assert not again.credentials.needs_refresh()
    assert "refresh_token=bare-refresh" in server.requests[0]
    assert "rotated" == json.loads(rings.kept["klaviyo/acme"])["refresh_token"]
    assert first.credentials.fingerprint == again.credentials.fingerprint
    assert [] == list((tmp_path / "h").rglob("*.json"))


def test_oauth_renewed_by_another_process_is_taken(tmp_path: Path) -> None:
    """Of two that need a token, one asks and the other takes what it got."""
    with serving(token("shared"), reply({"data": []})) as server:
        first, second = oauth_settings(tmp_path, server.url), oauth_settings(tmp_path, server.url)
        Client(first).get("/api/metrics")
        Client(second).get("/api/metrics")
    assert 1 == sum("/oauth/token" in request for request in server.requests)
    assert "Bearer shared" in server.requests[-1]


def test_no_refresh_token_at_all(tmp_path: Path) -> None:
    """A variable that is not set is named."""
    with pytest.raises(CredentialsError, match="from REFRESH, which is not set"):
        oauth_settings(tmp_path, "https://x.example", refresh="")


@pytest.mark.parametrize("name", ["client01", "shop24", "a1", "2026-shop-of-the-year-number-1"])
@pytest.mark.parametrize(
    "text",
    ['api_key_env = "K"\nintegration = "Shop24"', 'access_token_env = "K"\nconversion_metric = "Placed Order 2"',
     'api_key_env = "client01_private_key_of_klaviyo"\nbase_url = "https://klaviyo-proxy24.shops.example"'],
)  # fmt: skip
def test_digits_in_names_are_no_secret(tmp_path: Path, name: str, text: str) -> None:
    """An account, variable, address or integration whose name holds a number is an ordinary one."""
    path = accounts(tmp_path, f"[accounts.{name}]\n{text}\n")
    environ = {"K": KEY, "client01_private_key_of_klaviyo": KEY}
    assert name == account_settings(name, environ=environ, accounts_file=path).name


def test_an_oauth_section_with_a_digit_in_its_name(tmp_path: Path) -> None:
    """[accounts.a1.oauth] is read like any other."""
    path = accounts(tmp_path, OAUTH.replace("accounts.acme", "accounts.a1"))
    environ = {"ID": "app", "SECRET": "s", "REFRESH": "r", "FLOWPERF_HOME": str(tmp_path)}
    assert "REFRESH" == account_settings("a1", environ=environ, accounts_file=path).credentials.source


BAD_SECTIONS = [
    f'[accounts.bad]\napi_key = "{KEY}"\n', '[accounts.bad]\ncolour = 1\n', '[accounts.bad]\n',
    '[accounts."a b"]\napi_key_env = "K"\n', '[accounts.sandbox]\napi_key_env = "K"\n', "[accounts]\nbad = 3\n",
    f'[accounts.bad]\n"{KEY}" = 1\n',
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_SECTIONS)
def test_a_bad_section_leaves_the_others_usable(tmp_path: Path, bad: str) -> None:
    """What is wrong with one account is told to those who ask for it, and to nobody else."""
    path = accounts(tmp_path, f'{bad}[accounts.shop24]\napi_key_env = "K"\n')
    assert "K" == account_settings("shop24", environ={"K": KEY}, accounts_file=path).credentials.source
    if "accounts.bad" in bad or "bad = 3" in bad:
        assert ["bad", "shop24"] == account_names(path)
        with pytest.raises((ArgumentError, CredentialsError)) as caught:
            account_settings("bad", environ={"K": KEY}, accounts_file=path)
        assert KEY not in str(caught.value)


def test_twenty_accounts_in_one_shell_loop(tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """client01 to client20 of one file open, each with its own key and base address: by the command, and in a loop."""
    names = [f"client{n:02d}" for n in range(1, 21)]
    path = accounts(
        tmp_path,
        "".join(
            f'[accounts.{name}]\napi_key_env = "{name.upper()}_KLAVIYO_KEY"\nbase_url = "{sandbox_url}"\n'
            for name in names
        ),
    )
    keys = {f"{name.upper()}_KLAVIYO_KEY": SANDBOX_KEY for name in names}
    assert names == account_names(path)
    opened = [account_settings(name, environ=keys, accounts_file=path) for name in names]
    assert [(f"{name.upper()}_KLAVIYO_KEY", sandbox_url) for name in names] == [
        (settings.credentials.source, settings.base_url) for settings in opened
    ]
    monkeypatch.chdir(tmp_path)
    for name in names:
        done = CliRunner().invoke(main, ["discover", "--account", name, "--format", "csv"], env=keys)
        assert 0 == done.exit_code, done.output
        assert "RplOrd" in done.output
    names = names[::19]
    loop = (
        'for n in 01 20; do "$0" discover --account "client$n" --format csv > "client$n.csv" '
        '|| { echo "client$n ended with $?" >&2; exit 1; }; done'
    )
    looped = subprocess.run(
        ["bash", "-c", loop, str(Path(sys.executable).parent / "flowperf")],
        cwd=tmp_path, env={**os.environ, **keys}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "") == (looped.returncode, "\n".join(line for line in looped.stderr.splitlines() if "ended" in line))
    found = {name: (tmp_path / f"{name}.csv").read_text() for name in names}
    assert all("RplOrd" in text for text in found.values()), looped.stderr


BAD_TOKENS = [
    {"access_token": "line\nbreak-secret"}, {"access_token": "tok", "refresh_token": "sec\r\nret"},
    {"access_token": ["a"]}, {"access_token": 7}, {"access_token": "tök"}, {"access_token": "a b"},
    {"access_token": "tok", "refresh_token": {"a": 1}}, {"access_token": "tok", "expires_in": "soon"},
    {"access_token": "tok", "expires_in": -5}, {"access_token": "tok", "expires_in": 1e300},
    {"access_token": "tok", "expires_in": [1]}, {"access_token": "tok", "scope": 7},
    {"access_token": "tok", "expires_in": 10**400},
]  # fmt: skip


@pytest.mark.parametrize("answer", BAD_TOKENS, ids=range(len(BAD_TOKENS)))
def test_a_token_answer_is_checked_before_it_is_kept(tmp_path: Path, answer: dict[str, object]) -> None:
    """What no header can carry, or no clock can count, is neither kept, sent nor shown, and the next run works."""
    with serving(reply(answer | {"token_type": "Bearer"}), token("good"), reply({"data": []})) as server:
        with pytest.raises(TransportError, match="token endpoint") as caught:
            Client(oauth_settings(tmp_path, server.url), attempts=1).get("/api/metrics")
        shown = "".join(traceback.format_exception(caught.value))
        assert not any(word in shown for word in ("secret", "sec\r", "break", "10000000000"))
        assert [] == list((tmp_path / "home").rglob("*.json"))
        Client(oauth_settings(tmp_path, server.url)).get("/api/metrics")
    assert "Bearer good" in server.requests[-1]


@pytest.mark.parametrize("body", [b"[1]", b"7", b'"x"', b"null", b'{"access_token":' * 5000, b"\xff"])
def test_a_token_answer_of_any_shape(tmp_path: Path, body: bytes) -> None:
    """A token endpoint that answers another kind of JSON, or none, is an error of transport."""
    with serving(reply(raw=body)) as server, pytest.raises(TransportError, match="token endpoint"):
        Client(oauth_settings(tmp_path, server.url), attempts=1).get("/api/metrics")


@pytest.mark.parametrize(
    "damage",
    [{"access_token": "line\nbreak"}, {"refresh_token": "a b"}, {"expires_at": 10**400}, {"expires_at": "x"}],
    ids=range(4),
)
def test_a_kept_token_that_cannot_be_used(tmp_path: Path, damage: dict[str, object]) -> None:
    """A token file whose content no header can carry is as if it were not there."""
    with serving(token("first"), reply({"data": []}), token("second"), reply({"data": []})) as server:
        Client(oauth_settings(tmp_path, server.url)).get("/api/metrics")
        kept = tmp_path / "home" / "tokens" / "acme.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | damage))
        Client(oauth_settings(tmp_path, server.url)).get("/api/metrics")
    assert "refresh_token=first-refresh" in server.requests[2]
    assert "Bearer second" in server.requests[3]


def test_a_refusal_of_the_token_endpoint_shows_no_secret(tmp_path: Path) -> None:
    """A token endpoint that repeats the refresh token as its error gets it into neither message nor code."""
    with (
        serving(reply({"error": "bad first-refresh\n"}, status="400 Bad Request")) as server,
        pytest.raises(AuthenticationError) as caught,
    ):
        Client(oauth_settings(tmp_path, server.url)).get("/api/metrics")
    assert "first-refresh" not in f"{caught.value} {caught.value.code}"


@pytest.mark.parametrize("status", ["503 Busy", "502 Bad", "429 Slow"])
def test_one_failure_of_the_token_endpoint_is_asked_again(tmp_path: Path, status: str) -> None:
    """A token endpoint that is busy once does not end the run; the seconds it asks for are waited."""
    clock = Clock()
    steps = [reply(raw=b"<html>", status=status, Retry_After="7"), token("good"), reply({"data": []})]
    with serving(*steps) as server:
        Client(oauth_settings(tmp_path, server.url), clock=clock, sleep=clock.sleep).get("/api/metrics")
    assert "Bearer good" in server.requests[-1]
    assert [7.0] == clock.slept


def test_a_token_endpoint_that_hangs_up_is_asked_again(tmp_path: Path) -> None:
    """A connection that breaks before the new token is there is not the end of the run."""
    clock = Clock()
    with serving(reset, token("good"), reply({"data": []})) as server:
        Client(oauth_settings(tmp_path, server.url), clock=clock, sleep=clock.sleep).get("/api/metrics")
    assert "Bearer good" in server.requests[-1]


def test_a_busy_token_endpoint_after_a_401(tmp_path: Path) -> None:
    """A renewal that fails once after a 401 is tried again rather than taken for done."""
    clock = Clock()
    refused = reply({"errors": [{"code": "authentication_failed"}]}, status="401 Unauthorized")
    busy = reply(raw=b"", status="503 Busy")
    good = reply({"data": []})
    with serving(token("old"), good, refused, busy, refused, token("new"), good) as server:
        client = Client(oauth_settings(tmp_path, server.url), clock=clock, sleep=clock.sleep)
        client.get("/api/metrics")
        client.get("/api/metrics")
    assert "Bearer new" in server.requests[-1]


def test_an_account_shows_no_secret() -> None:
    """An account that was given its environment shows its key in no attribute, and does not travel with it."""
    account = connect("live", environ={"KLAVIYO_API_KEY": KEY})
    seen: set[int] = set()

    def shown(thing: object, depth: int = 6) -> Iterator[str]:
        if id(thing) in seen or not depth:
            return
        seen.add(id(thing))
        yield repr(thing)
        inside = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple) else ()
        for inner in [*inside, *getattr(thing, "__dict__", {}).values()]:
            yield from shown(inner, depth - 1)

    assert not [text for text in shown(account) if KEY in text]
    assert len(seen) > 20
    with pytest.raises(CredentialsError, match="by name") as caught:
        pickle.dumps(account)
    assert KEY not in str(caught.value)


def test_the_sandbox_travels_without_the_callers_environment(tmp_path: Path) -> None:
    """A copy of the sandbox's account keeps its home and leaves every key behind."""
    environ = {"KLAVIYO_API_KEY": KEY, "FLOWPERF_HOME": str(tmp_path), "FLOWPERF_SANDBOX_VARIANT": "quiet"}
    account = connect("sandbox", environ=environ)
    data = pickle.dumps(account)
    assert KEY.encode() not in data
    assert str(tmp_path).encode() in data
    assert account.flows().equals(pickle.loads(data).flows())


@pytest.mark.parametrize("name", ["live", "sandbox", KEY])
def test_a_key_in_the_wrong_place_is_not_repeated(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key given as revision, address or name of an account is refused without being shown."""
    monkeypatch.chdir(tmp_path)
    for environ in ({"KLAVIYO_REVISION": KEY}, {"KLAVIYO_API_KEY": "k", "KLAVIYO_BASE_URL": KEY}):
        if name == "sandbox" and "KLAVIYO_REVISION" not in environ:
            continue
        with pytest.raises((ArgumentError, UnknownNameError)) as caught:
            account_settings(name, environ=environ)
        assert KEY[:20] not in "".join(traceback.format_exception(caught.value)).split("Error: ", 1)[1]
