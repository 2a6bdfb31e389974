"""An account whose texts bring their orders within hours and whose emails take days, asked every morning."""

from __future__ import annotations

import numpy as np
import pandas as pd

SHARES = {
    "sms": np.array([0.9, 0.97, 0.99, 1.0, 1.0, 1.0]),
    "email": np.array([0.3, 0.55, 0.75, 0.88, 0.96, 1.0]),
}
"""Share of a day's orders that are in, by whole days since its end."""


def two_channels(
    rng: np.random.Generator, *, days: int = 21, texts: float = 60.0, texts_now: float = 180.0, emails: float = 60.0
) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Draw an account whose last week has another mix of channels than the weeks before.

    Returns
    -------
    history : DataFrame
        One row per channel, day and morning on which it was asked.
    week : DataFrame
        The last seven days as they stand on the last morning.
    final : float
        What the week will end at.
    """
    first = pd.Timestamp("2026-09-01", tz="UTC")
    rows, final = [], 0.0
    for channel, share in SHARES.items():
        arrives = np.diff(share, prepend=0.0)
        for day in range(days):
            new = day >= days - 7
            orders = rng.poisson(emails if channel == "email" else texts_now if new else texts)
            known = np.cumsum(rng.multinomial(orders, arrives))
            final += orders * new
            start = first + pd.Timedelta(days=day)
            for age in range(min(days - day, 12)):
                asked = start + pd.Timedelta(days=1 + age, hours=6)
                rows.append((channel, start, start + pd.Timedelta(days=1), asked, float(known[min(age, 5)])))
    names = ["send_channel", "interval_start", "interval_end", "fetched_at", "conversions"]
    history = pd.DataFrame(rows, columns=names)
    now = history["fetched_at"].max()
    week = history[(history["fetched_at"] == now) & (history["interval_start"] >= first + pd.Timedelta(days=days - 7))]
    week = week.drop(columns="fetched_at").reset_index(drop=True)
    week.attrs = {"fetched_at": str(now)}
    return history, week, final
