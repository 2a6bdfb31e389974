"""Everything flowperf can refuse, as one tree, and the names that look like one that was not found."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

__all__ = [
    "AmbiguousNameError", "AnswerError", "ApiError", "ArgumentError", "AuthenticationError", "CredentialsError",
    "DeadlineError", "DeliveryError", "FlowperfError", "NoRowsError", "NotebookError", "OverdueError", "PayloadError",
    "QuotaError", "ScopeError", "StorageError", "TransportError", "UnknownNameError", "suggest", "suggestion",
]  # fmt: skip


# Everything flowperf can refuse, as one tree.
#
# ::
#
#     FlowperfError                    1  any error of flowperf; catch this to catch all
#     ├── ArgumentError (ValueError)   2  an argument, parameter or frame is not usable
#     │   ├── AmbiguousNameError       2  one name fits several things      .candidates
#     │   └── UnknownNameError         2  no such metric, integration, flow .near
#     ├── CredentialsError             3  no key, two keys, a key in the wrong place
#     │   ├── AuthenticationError      3  Klaviyo refused the key (401)     .status .code .pointer .detail
#     │   └── ScopeError               3  the key may not do this (403)     .status .code .pointer .detail .scope
#     ├── QuotaError                   4  Klaviyo's window is spent         .endpoint .retry_at .kept
#     ├── AnswerError                  5  Klaviyo's answer could not be used
#     │   ├── TransportError           5  nothing whole came over the wire  .url
#     │   ├── ApiError                 5  an error status                   .status .code .pointer .detail
#     │   ├── PayloadError             5  an answer of another shape        .place
#     │   └── NoRowsError              5  nothing came where rows were due
#     ├── DeliveryError                6  made, and a message about it did not arrive
#     ├── OverdueError                 5  a report was due and is not there
#     ├── StorageError                 7  a file, ledger or snapshot cannot be read or written    .path
#     ├── DeadlineError                8  the time given for a run is over
#     └── NotebookError                *  a cell failed                     .path .cause_name .traceback
#
# The number is the exit code of the command line; `NotebookError` carries the one of the error that stopped its
# cell. Each message is one sentence or two: what is wrong, where, what to do. No message ever holds a secret. An
# error that comes from another library is raised ``from`` it, so that ``--debug`` shows both.


class FlowperfError(Exception):
    """Base of all errors of this package.

    Attributes
    ----------
    exit_code : int
        What the command line exits with.
    """

    exit_code: int = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # an error that cannot be made of its message alone would break the pool of the worker that raised it
        return _remade, (type(self), self.args), vars(self)


def _remade(kind: type[FlowperfError], args: tuple[Any, ...]) -> FlowperfError:
    """Return an error as it comes out of a pickle; what it carries is set afterwards."""
    return kind.__new__(kind, *args)


class ArgumentError(FlowperfError, ValueError):
    """An argument, a notebook parameter or a given frame cannot be used."""

    exit_code = 2


class AmbiguousNameError(ArgumentError):
    """One name fits several things.

    Attributes
    ----------
    candidates : list of dict
        What the name could have meant, one dict each (``id``, ``name``, ``integration``).
    """

    def __init__(self, message: str, *, candidates: Sequence[dict[str, str]] = ()) -> None:
        super().__init__(message)
        self.candidates = list(candidates)


class UnknownNameError(ArgumentError):
    """No metric, integration, flow or account of that name.

    Attributes
    ----------
    near : list of str
        Names that exist and look alike, best first.
    """

    def __init__(self, message: str, *, near: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.near = list(near)

    @classmethod
    def among(cls, start: str, name: str, known: Collection[object]) -> Self:
        """Return the error for a name that is not known: ``start``, and then what was meant, or else what there is."""
        near = suggest(name, known)
        return cls(f"{start}: {suggestion(near, known)}", near=near)


class _FromKlaviyo(FlowperfError):
    """Facts of one JSON:API error object."""

    @property
    def facts(self) -> dict[str, Any]:
        """What `__init__` takes beside the message."""
        return {name: getattr(self, name) for name in ("status", "code", "pointer", "detail")}

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        pointer: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.pointer, self.detail = status, code, pointer, detail


class CredentialsError(FlowperfError):
    """No key, two keys, or a key where none belongs."""

    exit_code = 3


class AuthenticationError(_FromKlaviyo, CredentialsError):
    """Klaviyo does not know the key or token (401, or a 400 that says so)."""


class ScopeError(_FromKlaviyo, CredentialsError):
    """The key is known but may not do this (403).

    Attributes
    ----------
    scope : str or None
        The missing scope, where Klaviyo or its documentation names it (``"flows:read"``).
    """

    def __init__(self, message: str, *, scope: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.scope = scope


class QuotaError(FlowperfError):
    """A window of Klaviyo's limits is spent for longer than we are willing to wait.

    Attributes
    ----------
    endpoint : str
        Path of the call, such as ``"/api/flow-values-reports"``.
    retry_at : datetime or None
        When the next call is free, aware; None where it is not known.
    kept : int
        Answers of this plan that are safely in the store.
    """

    exit_code = 4

    def __init__(self, message: str, *, endpoint: str, retry_at: datetime | None, kept: int = 0) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.retry_at = retry_at
        self.kept = kept


class AnswerError(FlowperfError):
    """Klaviyo's answer could not be used."""

    exit_code = 5


class TransportError(AnswerError):
    """Nothing whole came over the wire: no connection, a timeout, a reset, a body cut short.

    Attributes
    ----------
    url : str
        What was asked, without query and credentials.
    """

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class ApiError(_FromKlaviyo, AnswerError):
    """An error status that none of the other classes describes better."""


class PayloadError(AnswerError):
    """An answer whose shape is not the documented one.

    Attributes
    ----------
    place : str
        Where in the body, as a JSON pointer (``"/data/attributes/results/3/statistics/clicks"``).
    """

    def __init__(self, message: str, *, place: str) -> None:
        super().__init__(message)
        self.place = place


class NoRowsError(AnswerError):
    """A whole answer without a row, where rows were due."""


class OverdueError(FlowperfError):
    """A report was due and is not where it belongs."""

    exit_code = 5


class DeliveryError(FlowperfError):
    """The report is made and a message about it did not arrive."""

    exit_code = 6


class StorageError(FlowperfError):
    """The ledger, a snapshot or an output file could not be read or written.

    Attributes
    ----------
    path : Path
        The file or folder.
    """

    exit_code = 7

    def __init__(self, message: str, *, path: str | Path) -> None:
        super().__init__(message)
        self.path = Path(path)


class DeadlineError(FlowperfError):
    """The time given for a run is over; the message names what was made by then."""

    exit_code = 8


class NotebookError(FlowperfError):
    """A cell of a notebook run failed.

    Attributes
    ----------
    path : Path or str
        The notebook as far as it got; a text where it is an address.
    cause_name : str
        Class name of the error inside the kernel.
    traceback : str
        As the kernel printed it, without colours; empty where no cell failed.
    """

    def __init__(
        self, message: str, *, path: str | Path, cause_name: str, exit_code: int = 1, traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.path: Path | str = Path(path)
        self.cause_name = cause_name
        self.exit_code = exit_code
        self.traceback = traceback


# A name that was not found → the names that look like it.


def suggest(name: str, known: Iterable[object], *, count: int = 3) -> list[str]:
    """Return known names that resemble ``name``: other case or spaces first, then similar spelling.

    Examples
    --------
    >>> suggest("your integration", ["Shopify", "YourIntegration", "API"])
    ['YourIntegration']
    """
    names = list(dict.fromkeys(k for k in known if isinstance(k, str) and k))
    wanted = _plain(name)
    same = [k for k in names if _plain(k) == wanted]
    inside = [k for k in names if wanted and (wanted in _plain(k) or (len(_plain(k)) > 3 and _plain(k) in wanted))]
    plain = {_plain(k): k for k in reversed(names)}
    similar = [plain[p] for p in difflib.get_close_matches(wanted, plain, n=count, cutoff=0.6)]
    return list(dict.fromkeys([*same, *similar, *inside]))[:count]


def suggestion(near: Iterable[str], known: Iterable[object], *, count: int = 12) -> str:
    """Return the end of a sentence: what was probably meant, or else what there is."""
    close = [repr(n) for n in near]
    if close:
        return f"did you mean {' or '.join(close)}?"
    names = sorted({k for k in known if isinstance(k, str) and k})
    if not names:
        return "the account has none."
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return f"there are {', '.join(map(repr, names[:count]))}{more}."


def _plain(name: str) -> str:
    return "".join(ch for ch in name.casefold() if ch.isalnum())
