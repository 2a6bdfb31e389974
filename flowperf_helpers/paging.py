"""From one page to the next: which address or cursor follows, and what is refused. No network here.

Contract, section I: ``links.next`` is followed verbatim until it is null or missing, on the same host only; reports
take its ``page_cursor`` and the same body again. A cursor that comes twice would never end and costs quota.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from flowperf_helpers.errors import PayloadError

__all__ = ["MAX_PAGES", "Pages"]

MAX_PAGES = 1000
_PLACE = "/links/next"
_ADDRESS = re.compile(r"[\x21-\x7e]+")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}
    return parts.scheme, parts.hostname, parts.port or usual.get(parts.scheme)


class Pages:
    """The way through the pages of one answer.

    Parameters
    ----------
    base_url : str
        Scheme and host that every link has to keep.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._seen: set[str] = set()

    def next_url(self, body: dict[str, Any], current: str) -> str | None:
        """Return the address of the page after ``current``, None after the last.

        Raises
        ------
        PayloadError
            The link is not an address, leads to another host, or was followed before.
        """
        link = _next_link(body)
        return None if link is None else self._once(self._own(current, link))

    def next_cursor(self, body: dict[str, Any]) -> str | None:
        """Return the ``page_cursor`` of a report's next page, None after the last.

        Raises
        ------
        PayloadError
            As `next_url`, and where the link holds no cursor.
        """
        link = _next_link(body)
        if link is None:
            return None
        query = parse_qs(urlsplit(self._own(self._base_url, link)).query)
        values = query.get("page_cursor") or query.get("page[cursor]")
        if not values:
            raise PayloadError(
                "The link to the report's next page holds no page_cursor: the report is not whole and was not used.",
                place=_PLACE,
            )
        return self._once(values[0])

    def is_own(self, url: str) -> bool:
        """Tell whether an address has our scheme, host and port, so that the key may go there."""
        # what stands before an @ or after a backslash is read as the host by some and not by others
        if "\\" in url or "@" in url.split("?")[0]:
            return False
        try:
            return _origin(url) == _origin(self._base_url)
        except ValueError:
            return False

    def own_target(self, current: str, link: str) -> str | None:
        """Return the address a link at ``current`` leads to, None where it is not one of our host."""
        if not _ADDRESS.fullmatch(link):
            return None
        try:
            url = urljoin(current, link)
        except ValueError:
            return None
        return url if self.is_own(url) else None

    def _own(self, current: str, link: str) -> str:
        url = self.own_target(current, link)
        if url is None:
            raise PayloadError(
                "The link to the next page of Klaviyo's answer does not lead to "
                f"{urlsplit(self._base_url).netloc}: the key was not sent there, and the answer was not used; check "
                "KLAVIYO_BASE_URL, or a proxy on the way.",
                place=_PLACE,
            )
        return url

    def _once(self, mark: str) -> str:
        if mark in self._seen or len(self._seen) >= MAX_PAGES:
            raise PayloadError(
                f"The pages of the answer lead in a circle: the same cursor came again after {len(self._seen) + 1} "
                "pages, and the answer was not used.",
                place=_PLACE,
            )
        self._seen.add(mark)
        return mark


def _next_link(body: dict[str, Any]) -> str | None:
    links = body.get("links")
    link = links.get("next") if isinstance(links, dict) else None
    if isinstance(link, dict):  # JSON:API allows a link object
        link = link.get("href")
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise PayloadError(
            "The link to the next page is not a text: the answer is not whole and was not used.", place=_PLACE
        )
    return link
