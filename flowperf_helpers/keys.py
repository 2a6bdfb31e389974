"""One secret, held so that it reaches the header of a request and nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import NoReturn

from flowperf_helpers.errors import CredentialsError

__all__ = [
    "BEARER",
    "PRIVATE_KEY",
    "Credentials",
    "Keyring",
    "PostForm",
    "fingerprint_of",
    "is_bare",
    "looks_like_secret",
    "without_keys",
]

PRIVATE_KEY = "Klaviyo-API-Key"
BEARER = "Bearer"

PostForm = Callable[[str, str, tuple[str, str]], tuple[int, bytes]]
"""Posts a form: (address, urlencoded body, (user, password) for HTTP Basic) -> (status, body)."""

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_PREFIXED = re.compile(
    r"\b[ps]k_[A-Za-z0-9_-]{6,}|\b(?:Bearer|Klaviyo-API-Key)\s+\S+|\beyJ[A-Za-z0-9_-]{8,}", re.IGNORECASE
)
_LONG = re.compile(r"[A-Za-z0-9+/_=.~-]{28,}")
_CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[0-9])[A-Za-z]")
_CHANGES = 6
"""So many changes between small letters, capitals and digits make a long text random; names with a number have one."""


def fingerprint_of(secret: str) -> str:
    """Return a short name for a secret from which it cannot be found again: 16 hexadecimal digits, always the same."""
    return hashlib.blake2b(secret.encode(), digest_size=8, salt=b"flowperf", person=b"fingerprint").hexdigest()


def is_bare(secret: object) -> bool:
    """Tell whether a header can carry a secret: a text without blanks, line breaks and special letters."""
    return isinstance(secret, str) and _PRINTABLE.fullmatch(secret) is not None


def looks_like_secret(text: str) -> bool:
    """Tell whether a text could be a key or token: Klaviyo's ``pk_``, a bearer header, a JWT, or long and random.

    >>> looks_like_secret("pk_0123456789abcdef"), looks_like_secret("client01_private_key_of_klaviyo")
    (True, False)
    """
    if _PREFIXED.search(text):
        return True
    return any(
        len(_CHANGE.findall(long)) >= _CHANGES and any(c.isdigit() for c in long) and any(c.islower() for c in long)
        for long in _LONG.findall(text)
    )


def without_keys(text: str) -> str:
    """Return a text of a stranger's without what looks like one of Klaviyo's keys, for messages."""
    return _PREFIXED.sub("[secret]", text)


class Credentials:
    """A private key or a bearer token.

    It shows its fingerprint only: in ``repr``, in a traceback's locals, in ``vars``; it refuses to be pickled, as a
    copy would leave this process with the secret in it.

    Parameters
    ----------
    secret : str
        The key or token.
    scheme : {"Klaviyo-API-Key", "Bearer"}
        Word before it in the ``Authorization`` header (contract, section G).
    source : str
        Where it came from, for error messages: ``"KLAVIYO_API_KEY"``.

    Raises
    ------
    CredentialsError
        The secret holds blanks, line breaks or letters no header can carry.
    """

    __slots__ = ("_reveal", "fingerprint", "scheme", "source")

    def __init__(self, secret: str, *, scheme: str, source: str, fingerprint: str | None = None) -> None:
        if secret and not is_bare(secret):
            raise CredentialsError(
                f"{source} holds blanks, line breaks or special letters: it takes the bare key or token only."
            )
        self._reveal: Callable[[], str] = lambda: secret
        self.scheme = scheme
        self.source = source
        self.fingerprint = fingerprint or fingerprint_of(secret)

    def headers(self) -> dict[str, str]:
        """Return the ``Authorization`` header: the one place where the secret comes out."""
        return {"Authorization": f"{self.scheme} {self._reveal()}"}

    def scrub(self, text: str) -> str:
        """Return a text without this secret, and without anything that looks like Klaviyo's keys."""
        for secret in self._secrets():
            if len(secret) >= 4:
                text = text.replace(secret, "[secret]")
        return without_keys(text)

    def _secrets(self) -> list[str]:
        return [self._reveal()]

    def needs_refresh(self) -> bool:
        """Tell whether a refresh is due before the next call; a key or a given token is never refreshed."""
        return False

    def refresh(self, post_form: PostForm) -> bool:
        """Get a new token and tell whether there is one; a key or a given token has none."""
        return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.scheme} from {self.source}, fingerprint {self.fingerprint})"

    def __reduce__(self) -> NoReturn:
        raise CredentialsError("Credentials do not leave the process that read them: pass the account's name instead.")


class Keyring:
    """One place in the system's keyring.

    Parameters
    ----------
    place : str
        ``"service/user"``, split at the last slash.
    account : str
        For messages.

    Raises
    ------
    CredentialsError
        From here when the library is not installed; from the methods when no keyring answers.
    """

    def __init__(self, place: str, *, account: str) -> None:
        self._service, _, self._user = place.rpartition("/")
        self._account = account
        self.place = place
        try:
            import keyring
            import keyring.errors
        except ImportError as error:
            raise CredentialsError(
                f"Account {account} keeps its key in a keyring and the keyring library is not installed: "
                'pip install "flowperf[keyring]".'
            ) from error
        self._library = keyring

    def get(self) -> str | None:
        """Return what is kept there, None where nothing is."""
        try:
            return (self._library.get_password(self._service, self._user) or "").strip() or None
        except self._library.errors.KeyringError as error:
            raise CredentialsError(
                f"No keyring answers for account {self._account} ({self.place}): unlock it, or use api_key_env instead."
            ) from error

    def put(self, secret: str) -> None:
        """Keep another secret there."""
        try:
            self._library.set_password(self._service, self._user, secret)
        except self._library.errors.KeyringError as error:
            raise CredentialsError(
                f"The keyring did not take the new token of account {self._account} ({self.place}): unlock it."
            ) from error

    def require(self) -> str:
        """Return what is kept there, and refuse an empty place."""
        secret = self.get()
        if not secret:
            raise CredentialsError(
                f"The keyring holds nothing for account {self._account}: put its key there with "
                f"`keyring set {self._service} {self._user}`."
            )
        return secret
