"""Name and options → settings, client, store and clock of an account. Asks nothing of anybody.

The one place of the package that knows the embedded account.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from requests.adapters import BaseAdapter

from flowperf_helpers.account.discovery import Getter
from flowperf_helpers.account.store import MAX_AGE, Store
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.klaviyo.client import Client
from flowperf_helpers.klaviyo.credentials import PRIVATE_KEY, Credentials
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.settings import AccountSettings, account_settings, is_loopback, revision_of
from flowperf_helpers.klaviyo.storage import flowperf_home, private_folder
from flowperf_helpers.klaviyo.transport import WSGIAdapter

__all__ = ["TRAVELS", "Connection", "KeptLists", "is_sandbox", "latest_now", "open_account", "settings_of", "title_of"]

TRAVELS = (
    "FLOWPERF_HOME", "FLOWPERF_MAX_ANSWER_MB", "FLOWPERF_MAX_WAIT", "FLOWPERF_PACING", "FLOWPERF_SANDBOX_NOW",
    "FLOWPERF_SANDBOX_VARIANT", "KLAVIYO_REVISION",
)  # fmt: skip
"""What of an environment the sandbox's copy in another process needs; none of it is a secret."""

_SANDBOX_URL = "http://sandbox.invalid"
"""Address of the embedded account: a name that no network can resolve (RFC 2606), served in this process only."""

T = TypeVar("T")


def settings_of(
    name: str, *, environ: Mapping[str, str] = os.environ, accounts_file: Path | None = None
) -> AccountSettings:
    """Return the settings of an account: of ``"sandbox"``, or what `account_settings` finds.

    Raises
    ------
    ArgumentError, CredentialsError, UnknownNameError
        See `flowperf_helpers.klaviyo.settings.account_settings`; the sandbox needs no key.
    """
    if name != "sandbox":
        return account_settings(name, environ=environ, accounts_file=accounts_file)
    from flowperf_helpers.sandbox import SANDBOX_KEY

    key = Credentials(SANDBOX_KEY, scheme=PRIVATE_KEY, source="the sandbox")
    revision = revision_of(environ)
    return AccountSettings(name, _SANDBOX_URL, revision, key, conversion_metric="RplOrd", is_embedded=True)


def is_sandbox(settings: AccountSettings) -> bool:
    """Tell whether the numbers are invented: the embedded account's, also where it, or a fleet like it, is served."""
    if settings.is_embedded or not is_loopback(urlsplit(settings.base_url).hostname):
        return settings.is_embedded
    from flowperf_helpers.sandbox import SANDBOX_KEY, SANDBOX_TOKEN

    return settings.credentials.opens(SANDBOX_KEY, SANDBOX_TOKEN)


def title_of(settings: AccountSettings) -> str:
    """Return the name that a page shows: the account's, or the sandbox's shop."""
    if not settings.is_embedded:
        return settings.name
    from flowperf_helpers.sandbox import SHOP

    return SHOP


def latest_now(name: str) -> datetime:
    """Return the latest that it can be on the clock of an account, whose zone is not known before it is asked."""
    if name != "sandbox":
        return datetime.now(UTC) + timedelta(hours=14)
    from flowperf_helpers.sandbox import SANDBOX_NOW

    return SANDBOX_NOW


@dataclass(frozen=True)
class Connection:
    """The parts an `Account` stands on."""

    client: Client
    store: Store
    clock: Callable[[], float]


class KeptLists:
    """GET answers of one account, out of the store while they are young.

    Parameters
    ----------
    client, store
        Of the account.
    refresh : bool
        Ask once anew, in the life of this object, what the store holds.
    """

    def __init__(self, client: Client, store: Store, *, refresh: bool = False) -> None:
        self._client = client
        self._store = store
        self._refresh = refresh
        self._asked: set[str] = set()
        self._from_store = False

    def get(self, path: str, params: dict[str, str] | None = None) -> list[bytes]:
        """Return the bodies of all pages."""
        question = path, self._client.settings.revision, params or {}
        if not self._refresh or repr(question) in self._asked:
            kept = self._store.find_list(*question)
            if kept is not None:
                self._from_store = True
                return kept
        pages = self._client.get(path, params)
        self._asked.add(repr(question))
        self._store.keep_list(*question, pages)
        return pages

    def look_up(self, find: Callable[[Getter], T]) -> T:
        """Return what is found in lists; what kept ones do not hold is looked for in lists asked anew, once."""
        self._from_store = False
        try:
            return find(self)
        except ArgumentError:
            if not self._from_store:
                raise
            return find(KeptLists(self._client, self._store, refresh=True))


def open_account(
    name: str,
    *,
    variant: str | None = None,
    now: datetime | Callable[[], datetime] | None = None,
    sandbox: Mapping[str, Any] | None = None,
    home: str | Path | None = None,
    adapter: BaseAdapter | None = None,
    clock: Callable[[], float] | None = None,
    sleep: Callable[[float], None] | None = None,
    pacing: bool | RateLimiter | None = None,
    seconds: float | None = None,
    max_age: timedelta = MAX_AGE,
    attribution_days: int | None = None,
    timezone: str | None = None,
    accounts_file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Connection:
    """Return the parts of an account; `flowperf_helpers.connect` says what the options mean.

    Raises
    ------
    ArgumentError
        Options of the sandbox for a real account, or values that nothing can be made of.
    CredentialsError
        A real account without a key.
    """
    environ = os.environ if environ is None else environ
    settings = settings_of(name, environ=environ, accounts_file=None if accounts_file is None else Path(accounts_file))
    given: dict[str, Any] = {"timezone": timezone, "attribution_days": attribution_days}
    settings = replace(settings, **{key: value for key, value in given.items() if value is not None})
    folder = flowperf_home(environ) if home is None else private_folder(Path(home).expanduser().absolute())
    account_key, app = settings.account_key, None
    if settings.is_embedded and adapter is None:
        variant = variant or environ.get("FLOWPERF_SANDBOX_VARIANT")
        app, world = _mounted(variant, now, dict(sandbox or {}))
        adapter, account_key = WSGIAdapter(app), f"{account_key}-{world}"
        clock = clock or (lambda: app.now().timestamp())
    elif variant is not None or now is not None or sandbox:
        raise ArgumentError(f"variant, now and sandbox are for the embedded account, and {name!r} is another.")
    frozen = environ.get("FLOWPERF_SANDBOX_NOW", "").strip() if is_sandbox(settings) else ""
    if frozen and clock is None:
        clock = _standing_still(frozen)
    limited = app is None or bool((sandbox or {}).get("enforce_limits"))
    clock, sleep = clock or time.time, sleep or time.sleep
    limiter = pacing if isinstance(pacing, RateLimiter) else None
    if limiter is None and limited:
        # the sandbox's windows run on the real clock, whatever day it shows
        ticks = time.time if app is not None or frozen else clock
        limiter = RateLimiter.from_environment(
            folder,
            host=settings.host,
            fingerprint=settings.credentials.fingerprint,
            environ=environ if pacing is None else {**environ, "FLOWPERF_PACING": "on" if pacing else "off"},
            clock=ticks,
            sleep=sleep,
        )
    client = Client(settings, limiter=limiter, adapter=adapter, clock=clock, sleep=sleep, seconds=seconds)
    store = Store(
        folder, account_key=account_key, clock=clock, max_age=max_age, attribution_days=settings.attribution_days
    )
    return Connection(client, store, clock)


def _standing_still(moment: str) -> Callable[[], float]:
    """Return the clock of a served sandbox, as ``FLOWPERF_SANDBOX_NOW`` freezes it for whoever asks it."""
    try:
        seconds = datetime.fromisoformat(moment).timestamp()
    except ValueError as error:
        raise ArgumentError(
            f"FLOWPERF_SANDBOX_NOW is not a moment such as 2026-11-23T06:00:00+01:00: {moment[:40]!r}."
        ) from error
    return lambda: seconds


def _mounted(variant: str | None, now: Any, options: dict[str, Any]) -> tuple[Any, str]:
    """Return the embedded account and a name for its world: another world's answers are another account's.

    Its clock stands still unless ``now`` says otherwise, so that a report shows the same today and in a year.
    """
    from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app

    options |= {"variant": variant or "default"}
    try:
        app = sandbox_app(now=SANDBOX_NOW if now is None else now, **options)
    except (TypeError, ValueError, KeyError) as error:
        raise ArgumentError(f"The sandbox cannot be set up so: {error}") from error
    code = hashlib.blake2b(digest_size=6)
    for file in sorted((Path(__file__).parents[1] / "sandbox").iterdir()):
        if file.suffix in (".py", ".toml"):  # not what an editor leaves there
            code.update(file.read_bytes())
    chosen = "-".join(f"{key}={value}" for key, value in sorted(options.items()) if key != "enforce_limits")
    return app, f"{chosen}-{code.hexdigest()}"
