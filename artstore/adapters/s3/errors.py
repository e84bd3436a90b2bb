"""What a service's refusals mean to a caller: one table from its codes and botocore's exceptions to ours."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Final, cast

import botocore.exceptions as foreign
import urllib3.exceptions

from artstore.errors import ArtstoreError, NoSpace, NotFound, NotPermitted, RemoteError

_CREDENTIALS: Final = "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile: --profile"
CERTIFICATES: Final = "name the file of the service's certificates: --ca FILE, or AWS_CA_BUNDLE"
_CLOCK: Final = "set this machine's clock"
_REGION: Final = "name the bucket's region: --region"
# By what was done: the right it takes, as policies call it.
_RIGHTS: Final[dict[str, str]] = {
    "read": "s3:GetObject",
    "look at": "s3:GetObject",
    "look for": "s3:GetObject, and s3:ListBucket of its name",
    "list": "s3:ListBucket",
    "write": "s3:PutObject",
    "delete": "s3:DeleteObject",
}
_CODES: Final[dict[str, tuple[type[ArtstoreError], str | None]]] = {
    "NoSuchBucket": (NotFound, "create the bucket, or correct the URL: `artstore remote list`"),
    "AccessDenied": (NotPermitted, None),  # what is to be done depends on what was: see `_RIGHTS`
    "AllAccessDisabled": (NotPermitted, "ask who owns the bucket"),
    "AccountProblem": (NotPermitted, "ask who owns the account"),
    "UserSuspended": (NotPermitted, "ask who runs the service"),
    "InvalidAccessKeyId": (NotPermitted, _CREDENTIALS),
    "SignatureDoesNotMatch": (NotPermitted, _CREDENTIALS),
    "InvalidToken": (NotPermitted, _CREDENTIALS),
    "ExpiredToken": (NotPermitted, "sign in again"),
    "TokenRefreshRequired": (NotPermitted, "sign in again"),
    "RequestTimeTooSkewed": (NotPermitted, _CLOCK),
    "PermanentRedirect": (RemoteError, _REGION),
    "AuthorizationHeaderMalformed": (RemoteError, _REGION),
    "IllegalLocationConstraintException": (RemoteError, _REGION),
    "NotImplemented": (RemoteError, "does this service know conditional writes? docs/remote.md, Services"),
    "QuotaExceeded": (NoSpace, "ask for more room at the remote"),
    "InsufficientStorage": (NoSpace, "ask for more room at the remote"),
}
_BY_STATUS: Final[dict[int, str]] = {401: "AccessDenied", 403: "AccessDenied", 507: "InsufficientStorage"}
_TRANSIENT_CODES: Final = frozenset(
    {
        "ConditionalRequestConflict",
        "OperationAborted",
        "BadDigest",
        "XAmzContentSHA256Mismatch",
    }
)
_OVERLOADED_CODES: Final = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestThrottled",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "TooManyRequests",
        "TooManyRequestsException",
        "ServiceUnavailable",
        "RequestTimeout",
    }
)
_OVERLOADED_STATUS: Final = frozenset({408, 429, 503})
_TRANSIENT_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_DIGITS_MAX: Final = 9
_ABSENT: Final = frozenset({"NoSuchKey", "404"})
_HIDDEN: Final = frozenset({"AccessDenied", "400", "403"})
_LOST: Final = frozenset({"PreconditionFailed", "412"})
_BROKEN: Final = (
    foreign.HTTPClientError,
    foreign.ResponseStreamingError,
    foreign.IncompleteReadError,
    urllib3.exceptions.HTTPError,
)
_TIMEOUTS: Final = (foreign.ReadTimeoutError, foreign.ConnectTimeoutError, urllib3.exceptions.TimeoutError)


def is_absent(error: foreign.ClientError) -> bool:
    """There is no such object."""
    return _code(error) in _ABSENT


def is_lost(error: foreign.ClientError) -> bool:
    """The object isn't as it should have been for a write."""
    return _code(error) in _LOST


def is_unchanged(error: foreign.ClientError) -> bool:
    """The object is as it was when it was last read."""
    return _code(error) == "304"


def is_hidden(error: foreign.ClientError) -> bool:
    """The object may not be there: who may not list the bucket is refused what is missing as if it were there.

    Or the service did refuse, and an answer without a body, as those of HEAD, can't say why.
    """
    return _code(error) in _HIDDEN


@contextmanager
def translating(doing: str, url: str, bucket: str) -> Generator[None, None, None]:
    """Within it every error of botocore becomes one of ours. `doing`: a verb, as in "can't read"."""
    try:
        yield
    except foreign.ClientError as error:
        raise _refused(error, doing, url, bucket) from error
    except (foreign.NoCredentialsError, foreign.PartialCredentialsError, foreign.CredentialRetrievalError) as error:
        raise NotPermitted(f"can't {doing} {url}: {error}", hint=_CREDENTIALS) from error
    except (foreign.ProfileNotFound, foreign.TokenRetrievalError, foreign.SSOError) as error:
        raise NotPermitted(f"can't {doing} {url}: {error}", hint="see `aws configure list-profiles`") from error
    except foreign.SSLError as error:
        raise RemoteError(f"can't {doing} {url}: {error}", hint=CERTIFICATES) from error
    except _BROKEN as error:
        raise RemoteError(
            f"can't {doing} {url}: {error}",
            hint="is the network there, and the endpoint right?",
            transient=True,
            overloaded=isinstance(error, _TIMEOUTS),
        ) from error
    except foreign.ConnectionError as error:
        raise RemoteError(
            f"can't {doing} {url}: {error}",
            hint="is the network there?",
            transient=True,
            overloaded=isinstance(error, _TIMEOUTS),
        ) from error
    except (foreign.BotoCoreError, ValueError) as error:  # a name or an endpoint that makes no sense
        raise RemoteError(f"can't {doing} {url}: {error}", hint="see `artstore remote list`") from error


def _refused(error: foreign.ClientError, doing: str, url: str, bucket: str) -> ArtstoreError:
    code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = error.response.get("Error", {}).get("Message") or f"status {status}"
    message = f"can't {doing} {url}: {code}, {said}"
    if code == "NoSuchBucket":
        message = f"there is no bucket {bucket} for {url}"
    known = _CODES.get(code)
    overloaded = code in _OVERLOADED_CODES or status in _OVERLOADED_STATUS
    if known is None and (overloaded or code in _TRANSIENT_CODES or status in _TRANSIENT_STATUS):
        return RemoteError(
            message,
            hint="try again later",
            transient=True,
            retry_after_s=_retry_after_s(error),
            overloaded=overloaded,
        )
    kind, hint = known or _CODES.get(_BY_STATUS.get(status, ""), (RemoteError, None))
    if kind is NotPermitted and hint is None:
        hint = f"it takes {_RIGHTS.get(doing, 'more rights')}: docs/remote.md, Rights"
    return kind(message, hint=hint)


def _code(error: foreign.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _retry_after_s(error: foreign.ClientError) -> float | None:
    """RFC 9110, section 10.2.3: seconds, or a moment by the service's own clock."""
    headers = cast("dict[str, str]", error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return float(told[:_DIGITS_MAX])
    try:
        now = parsedate_to_datetime(headers["date"])
        return max(0.0, (parsedate_to_datetime(told) - now).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None
