"""Secrets: a private key or an OAuth token, held so that it reaches the header of a request and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

import filelock
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient

from flowperf_helpers.errors import AuthenticationError, CredentialsError, TransportError
from flowperf_helpers.klaviyo.storage import private_folder, storage_error, write_private

__all__ = [
    "BEARER", "EARLY", "PRIVATE_KEY", "Credentials", "Keyring", "OAuthCredentials", "PostForm", "TokenKeeper",
    "fingerprint_of", "is_bare", "looks_like_secret", "token_file", "without_keys",
]  # fmt: skip


# One secret, held so that it reaches the header of a request and nothing else.

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
        Word before it in the ``Authorization`` header.
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

    def opens(self, *public: str) -> bool:
        """Tell whether this is one of some keys that are not a secret, or begins with one and a dash."""
        return any(secret == key or secret.startswith(f"{key}-") for secret in self._secrets() for key in public)

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
        """Get a new token and return whether there is one; a key or a given token has none."""
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


# OAuth: a refresh token in, access tokens out, the newest kept where the next run finds it.
#
# Klaviyo (https://developers.klaviyo.com/en/docs/set_up_oauth) may or may not rotate the refresh token,
# so whatever comes back is kept. The bytes are made and read by oauthlib; the client sends them.

EARLY = 30.0
"""Seconds before its end at which an access token is renewed, as Klaviyo's own client does."""

LONGEST = 366 * 86400.0
"""Seconds of the longest life of an access token that is believed; Klaviyo's live an hour."""

Tokens = dict[str, str | float]


class TokenKeeper:
    """Keeps the newest tokens of one account by two functions: in a file (`token_file`) or a keyring."""

    def __init__(self, load: Callable[[], str | None], save: Callable[[str], None]) -> None:
        self._load = load
        self._save = save

    def tokens(self, seed: str | None) -> Tokens:
        """Return the kept tokens, or the seed where nothing is kept or it belongs to another seed.

        Parameters
        ----------
        seed : str or None
            The refresh token the user gave; None where the keeper itself holds it, bare.
        """
        text = self._load() or ""
        try:
            kept = json.loads(text) if text.startswith("{") else None
        except (ValueError, RecursionError):
            kept = None
        if _is_usable(kept) and (seed is None or kept["lineage"] == fingerprint_of(seed)):
            return kept
        token = seed or (text if not text.startswith("{") else "")
        return {"refresh_token": token, "lineage": fingerprint_of(token)} if token else {}

    def keep(self, tokens: Tokens) -> None:
        """Keep tokens for the next run."""
        self._save(json.dumps(tokens))


def _is_usable(kept: Any) -> TypeGuard[Tokens]:
    """Tell whether kept tokens can go into a header and a form; what was kept damaged is as if it were not there."""
    if not isinstance(kept, dict) or not isinstance(kept.get("lineage"), str) or not is_bare(kept.get("refresh_token")):
        return False
    if "access_token" not in kept:
        return True
    end = kept.get("expires_at")
    is_moment = isinstance(end, int | float) and not isinstance(end, bool) and abs(end) < 1e12
    return is_moment and is_bare(kept["access_token"])


def token_file(path: Path) -> TokenKeeper:
    """Return the keeper of tokens in a file of FLOWPERF_HOME that only its owner can read."""

    def read() -> str | None:
        try:
            return path.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        except OSError as error:
            raise storage_error(path, error, "read") from error

    return TokenKeeper(read, lambda text: write_private(path, text.encode()))


class OAuthCredentials(Credentials):
    """Access tokens that renew themselves from a refresh token.

    The fingerprint comes from the client and the *first* refresh token, so a rotated token keeps its quota and its
    snapshots, and a new authorisation starts afresh.

    Parameters
    ----------
    client_id, client_secret : str
        Of the OAuth app.
    seed : str or None
        Refresh token given by the user; None where the keeper holds it.
    keeper : TokenKeeper
        Where new tokens go.
    lock : Path
        File that keeps two processes from renewing at once.
    token_url : str
        ``https://a.klaviyo.com/oauth/token``.
    source : str
        Where the refresh token came from, for messages.
    clock : callable
        Seconds.
    """

    __slots__ = ("_client", "_clock", "_guard", "_keeper", "_lock", "_seed", "_tokens", "token_url")

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        seed: str | None,
        keeper: TokenKeeper,
        lock: Path,
        token_url: str,
        source: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        tokens = keeper.tokens(seed)
        if not tokens:
            raise CredentialsError(
                f"{source} holds no refresh token: authorise the app and put its refresh token there."
            )
        name = fingerprint_of(f"{client_id}:{tokens['lineage']}")
        super().__init__("", scheme=BEARER, source=source, fingerprint=name)
        self._client = lambda: (client_id, client_secret)
        self._seed = lambda: seed
        self._keeper = keeper
        self._lock = lock
        self._guard = threading.Lock()
        self._clock = clock
        self.token_url = token_url
        self._hold(tokens)

    def _hold(self, tokens: Tokens) -> None:
        self._tokens = lambda: tokens
        self._reveal = lambda: str(tokens.get("access_token", ""))

    def _secrets(self) -> list[str]:
        tokens = self._tokens()
        return [*self._client(), str(tokens.get("refresh_token", "")), str(tokens.get("access_token", ""))]

    def _is_fresh(self, tokens: Tokens) -> bool:
        end = tokens.get("expires_at")
        return bool(tokens.get("access_token")) and isinstance(end, int | float) and self._clock() < end - EARLY

    def needs_refresh(self) -> bool:
        """Return whether there is no access token, or one that ends within half a minute."""
        return not self._is_fresh(self._tokens())

    def refresh(self, post_form: PostForm) -> bool:
        """Get a new access token, or take the one another process has just got.

        Raises
        ------
        AuthenticationError
            Klaviyo refused the refresh token or the app.
        TransportError
            The token endpoint did not answer like one.
        StorageError, CredentialsError
            The new tokens could not be kept.
        """
        private_folder(self._lock.parent)
        with self._guard, filelock.FileLock(self._lock, timeout=120, mode=0o600):
            kept = self._keeper.tokens(self._seed())
            if kept.get("access_token") != self._tokens().get("access_token") and self._is_fresh(kept):
                self._hold(kept)
                return True
            tokens = self._ask(post_form, kept or self._tokens())
            self._hold(tokens)
            self._keeper.keep(tokens)
        return True

    def _ask(self, post_form: PostForm, old: Tokens) -> Tokens:
        client = WebApplicationClient(self._client()[0])
        form = client.prepare_refresh_body(refresh_token=str(old["refresh_token"]))
        status, body = post_form(self.token_url, form, self._client())
        try:
            got = client.parse_request_body_response(body.decode("utf-8", "replace"))
            access, refresh = got["access_token"], got.get("refresh_token") or old["refresh_token"]
            lifetime = float(got.get("expires_in") or 0.0)
        except OAuth2Error as error:
            if error.error == "missing_token" or status >= 500:
                raise self._unusable(status) from None
            code = self._shown(error.error)
            raise AuthenticationError(
                f"Klaviyo refused to renew the access token ({code}): the app was uninstalled, "
                f"its token revoked or unused for 90 days, or {self.source} or the client's id and secret are wrong. "
                "Authorise the app again and put the new refresh token there.",
                status=status,
                code=code,
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise self._unusable(status) from None
        # what no header can carry would be kept, and would stop this run and the next ones
        if not (200 <= status < 300 and is_bare(access) and is_bare(refresh) and 0 <= lifetime <= LONGEST):
            raise self._unusable(status)
        return {
            "lineage": old["lineage"],
            "refresh_token": refresh,
            "access_token": access,
            "expires_at": self._clock() + lifetime,
        }

    def _shown(self, code: object) -> str:
        """Return the endpoint's word for its refusal, fit for a message."""
        return self.scrub("".join(c if c.isprintable() else " " for c in str(code)))[:80]

    def _unusable(self, status: int) -> TransportError:
        return TransportError(
            f"The token endpoint answered {status} and no token that can be used: try again later.", url=self.token_url
        )
