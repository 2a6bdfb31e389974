"""One request over HTTP and the next link it names."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from flowperf_helpers.errors import PayloadError, TransportError
from flowperf_helpers.klaviyo.connections import Exchange, LeavableAdapter
from flowperf_helpers.klaviyo.credentials import Credentials
from flowperf_helpers.klaviyo.settings import AccountSettings, is_loopback

__all__ = [
    "MAX_PAGES",
    "WHOLE_ANSWER",
    "BrokenError",
    "HTTPTransport",
    "Pages",
    "Received",
]


# From one page to the next: which address or cursor follows, and what is refused. No network here.
#
# ``links.next`` is followed verbatim until it is null or missing, on the same host only;
# reports take its ``page_cursor`` and the same body again. A cursor that comes twice would never end and costs
# quota.

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


# One request over HTTP: the only file that speaks it. What breaks on the way becomes one of our errors.
#
# Connect and read timeouts on every call, one deadline for the whole of it, and a limit to what is read; redirects
# only on the same host, as the key goes along; a ``.netrc`` file or a proxy's address never replaces the key.

MEDIA_TYPE = "application/vnd.api+json"
WHOLE_ANSWER = 300.0
"""Seconds in which a whole answer has to arrive, from the look-up of the host's name to the last byte."""
MAX_HOPS = 3


class Received(NamedTuple):
    """A whole answer of any status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class BrokenError(Exception):
    """Nothing whole arrived, and another attempt may do better; ``error`` is what to raise if there is none."""

    def __init__(self, error: TransportError) -> None:
        super().__init__(str(error))
        self.error = error


class _KeyAuth(AuthBase):
    """Sets our header last, so that neither a .netrc file nor an address can replace it."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._credentials.headers())
        return request


class HTTPTransport:
    """The connections of one account.

    Parameters
    ----------
    settings : AccountSettings
        Address, revision, key and the most bytes of an answer.
    adapter : requests adapter, optional
        Replaces the network.
    timeout : tuple of float
        Seconds to connect, and between two pieces of an answer.
    whole : float
        Seconds in which a whole answer has to arrive.
    seconds : float, optional
        Seconds from now on after which nothing is asked any more.
    """

    def __init__(
        self,
        settings: AccountSettings,
        *,
        adapter: BaseAdapter | None,
        timeout: tuple[float, float],
        whole: float = WHOLE_ANSWER,
        seconds: float | None = None,
    ) -> None:
        self.settings = settings
        self.timeout = timeout
        self.whole = whole
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._is_network = adapter is None
        self._pages = Pages(settings.base_url)
        self._session = requests.Session()
        self._session.auth = _KeyAuth(settings.credentials)
        # proxies of the environment are for addresses outside this machine
        self._session.trust_env = adapter is None and not is_loopback(urlsplit(settings.base_url).hostname)
        self._session.headers.update(
            {"revision": settings.revision, "accept": MEDIA_TYPE, "user-agent": f"flowperf/{_version()}"}
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, LeavableAdapter())
        if adapter is not None:
            self._session.mount(settings.base_url, adapter)

    @property
    def time_left(self) -> float | None:
        """Seconds until the end of the run, None where it has none."""
        return None if self._ends is None else self._ends - time.monotonic()

    def out_of_time(self, endpoint: str) -> TransportError:
        """Return the error for a run that has reached its end."""
        return TransportError(
            f"The time given for the run was over before {endpoint} was answered: give it more, or try again later.",
            url=f"{self.settings.base_url}{endpoint}",
        )

    def send(
        self,
        method: str,
        url: str,
        endpoint: str,
        data: bytes | None,
        *,
        before: Callable[[], int | None],
        after: Callable[[int | None], None],
    ) -> Received:
        """Send one request, and again where the same host redirects it.

        Parameters
        ----------
        method, url, endpoint, data
            What to send; ``endpoint`` is for messages.
        before, after : callable
            Called around each single send; what ``before`` returns is given to ``after``.

        Raises
        ------
        BrokenError
            No connection, a timeout, a reset, a body cut short.
        TransportError
            A certificate that is not accepted, an answer beyond the limit, an unusable address, the run's end.
        """
        headers = {"content-type": MEDIA_TYPE} if data is not None else {}
        for _ in range(MAX_HOPS + 1):
            prepared = self._session.prepare_request(requests.Request(method, url, data=data, headers=headers))
            if method == "GET":
                prepared.url = url  # verbatim: a cursor is not ours to spell anew
            row = before()
            try:
                received = self._transmit(prepared, endpoint)
            finally:
                after(row)
            may_follow = received.status in (307, 308) or (method == "GET" and received.status in (301, 302))
            target = self._pages.own_target(url, received.headers.get("Location") or "") if may_follow else None
            if target is None or target == url:
                break
            url = target
        return received

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _transmit(self, prepared: requests.PreparedRequest, endpoint: str) -> Received:
        """Send once and read the whole body; what goes wrong on the wire is worth another attempt, mostly."""
        address = f"{self.settings.base_url}{endpoint}"
        left = self.time_left
        if left is not None and left <= 0:
            raise self.out_of_time(endpoint)
        try:
            options: Any = self._session.merge_environment_settings(prepared.url or address, {}, True, None, None)
            if isinstance(options["verify"], str) and not Path(options["verify"]).exists():
                raise TransportError(
                    "The certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names cannot be read: "
                    "correct its path.",
                    url=address,
                )
            # not the session itself: it reads the body of a redirect to its end before anybody can look at it
            adapter = self._session.get_adapter(prepared.url or address)

            def exchange() -> Received:
                with adapter.send(prepared, timeout=self.timeout, **options) as response:
                    return Received(response.status_code, response.headers, self._body(response, address))

            if not self._is_network:
                return exchange()
            return Exchange().run(exchange, self.whole if left is None else min(self.whole, left))
        except requests.exceptions.SSLError as error:
            raise TransportError(
                f"The certificate of {self.settings.host} was not accepted: check the clock, or "
                "REQUESTS_CA_BUNDLE where a company's proxy reads along.",
                url=address,
            ) from error
        except requests.exceptions.ProxyError as error:
            raise BrokenError(
                TransportError(f"The proxy on the way to {self.settings.host} failed: check HTTPS_PROXY.", url=address)
            ) from error
        except requests.exceptions.Timeout as error:
            raise BrokenError(
                TransportError(f"{self.settings.host} did not answer {endpoint} in time: try again.", url=address)
            ) from error
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            raise BrokenError(
                TransportError(f"The answer of {endpoint} broke off or came garbled: try again.", url=address)
            ) from error
        except requests.exceptions.ConnectionError as error:
            raise BrokenError(TransportError(self._no_connection(), url=address)) from error
        except requests.exceptions.RequestException as error:
            raise TransportError(f"{endpoint} could not be asked: check KLAVIYO_BASE_URL.", url=address) from error
        except (ValueError, OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            # what the libraries below do not translate: headers and lengths that mean nothing
            raise BrokenError(
                TransportError(f"The answer of {endpoint} broke off or came garbled: try again.", url=address)
            ) from error

    def _body(self, response: requests.Response, address: str) -> bytes:
        """Read a body of any status, unpacked, up to the limit."""
        limit = self.settings.max_answer
        chunks, size = [], 0
        for chunk in response.iter_content(1 << 16):
            size += len(chunk)
            if size > limit:
                raise TransportError(
                    f"The answer of {urlsplit(address).path} (status {response.status_code}) is larger than "
                    f"{limit / 1e6:g} MB and was left: ask for less, or raise FLOWPERF_MAX_ANSWER_MB.",
                    url=address,
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def _no_connection(self) -> str:
        host = self.settings.host
        if is_loopback(urlsplit(self.settings.base_url).hostname):
            return f"Nothing answers at {host} on this machine, or it hung up: is the server running?"
        return (
            f"No connection to {host}, or it hung up: check the network. A blocklist against trackers (in a router, a "
            "Pi-hole or an ad blocker) can lead this name to 0.0.0.0; allow it there."
        )

    def post_form(self, url: str, form: str, user: tuple[str, str]) -> Received:
        """Post a form with HTTP Basic, as the token endpoint wants it.

        Raises
        ------
        BrokenError, TransportError
            As `send`.
        """
        request = requests.Request(
            "POST",
            url,
            data=form,
            auth=HTTPBasicAuth(*user),
            headers={"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
        )
        return self._transmit(self._session.prepare_request(request), urlsplit(url).path)


def _version() -> str:
    try:
        return version("flowperf")
    except PackageNotFoundError:  # run from a bare checkout
        return "0"
