"""The account's zone, currency and clock: settings first, else one question, asked when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from flowperf_helpers.credentials import AccountSettings
from flowperf_helpers.discovery import Wire, fetch_account_facts
from flowperf_helpers.errors import ArgumentError, ScopeError

__all__ = ["Facts"]


class Facts:
    """What an account says of itself, asked at most once.

    Parameters
    ----------
    settings : AccountSettings
        Its ``timezone`` comes before Klaviyo's.
    wire : Wire
        To ask with.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, settings: AccountSettings, wire: Wire, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.clock = clock
        self._wire = wire
        self._asked: dict[str, str | None] | ScopeError | None = None

    @property
    def timezone(self) -> ZoneInfo:
        """The account's zone.

        Raises
        ------
        ScopeError
            No setting, and the key may not read the account (``accounts:read``).
        ArgumentError
            A zone that this machine does not know.
        """
        name = self.settings.timezone or self._facts()["timezone"]
        try:
            return ZoneInfo(str(name))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ArgumentError(
                f"Account {self.settings.name} has the time zone {name!r}, which is not known here: set timezone for "
                'it in accounts.toml, as "Europe/Copenhagen".'
            ) from error

    @property
    def currency(self) -> str | None:
        """ISO code of the account's money, None where the key may not ask for it."""
        try:
            return self._facts()["currency"]
        except ScopeError:
            return None

    def now(self) -> pd.Timestamp:
        """Return the moment on the account's clock."""
        return pd.Timestamp(self.clock(), unit="s", tz="UTC").as_unit("us").tz_convert(self.timezone)

    def _facts(self) -> dict[str, str | None]:
        if self._asked is None:
            try:
                self._asked = fetch_account_facts(self._wire)
            except ScopeError as refusal:
                self._asked = refusal
        if isinstance(self._asked, ScopeError):
            cause = self._asked
            raise ScopeError(
                f"The key of account {self.settings.name} may not read the account's time zone (scope accounts:read): "
                "set timezone for it in accounts.toml, or give connect(..., timezone=...).",
                scope=cause.scope or "accounts:read",
                status=cause.status,
                code=cause.code,
                pointer=cause.pointer,
                detail=cause.detail,
            ) from cause
        return self._asked
