"""Frames as the reports give them, made by hand for the numbers' tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.frames.catalog import STATISTICS


def frame_of(**columns: Any) -> pd.DataFrame:
    """Give columns their promised dtypes: counts Int64, other statistics float64, texts str."""
    frame = pd.DataFrame(columns)
    for name in frame.columns:
        if name in STATISTICS:
            values = pd.array(frame[name].to_numpy(dtype=float, na_value=np.nan), dtype="Float64")
            frame[name] = (
                values.astype("Int64") if STATISTICS[name].is_count else values.to_numpy(float, na_value=np.nan)
            )
        elif name.endswith(("_id", "_name")) or name in ("send_channel", "variation", "currency"):
            frame[name] = frame[name].astype("str")
    return frame


def messages(
    delivered: list[int], clicks: list[int], *, flow: str = "F1", ids: list[str] | None = None, bounced: int = 0
) -> pd.DataFrame:
    """One row per e-mail of a flow with a click rate over delivered."""
    n = len(delivered)
    d, c = np.asarray(delivered, dtype=float), np.asarray(clicks, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = c / d
    return frame_of(
        flow_id=[flow] * n, flow_name=[f"Flow {flow}"] * n, flow_message_id=ids or [f"m{i}" for i in range(n)],
        flow_message_name=[f"Mail {i}" for i in range(n)], send_channel=["email"] * n,
        recipients=d + bounced, delivered=d, clicks_unique=c, click_rate=rate,
    )  # fmt: skip
