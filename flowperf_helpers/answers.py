"""What came back for one question, as bytes with their provenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer:
    """All pages of one answer.

    Attributes
    ----------
    pages : tuple of bytes
        JSON bodies as Klaviyo sent them, in order.
    revision : str
        The revision that served the last page.
    fetched_at : datetime
        When it was asked, aware, UTC.
    requests : int
        Sends it took, retries included; 0 from the store.
    from_store : bool
        Whether it was read from a snapshot.
    """

    pages: tuple[bytes, ...]
    revision: str
    fetched_at: datetime
    requests: int = 0
    from_store: bool = False
