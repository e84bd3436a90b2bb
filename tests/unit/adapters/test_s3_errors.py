"""What a service's refusals mean: which go away, which ask for less, and how long to wait."""

from __future__ import annotations

from typing import Any

import botocore.exceptions as foreign
import pytest
import urllib3.exceptions

from artstore.adapters.s3.errors import translating
from artstore.errors import RemoteError


def refusal(code: str, status: int, **headers: str) -> foreign.ClientError:
    """As botocore raises it."""
    response: Any = {  # Any: botocore's own type has fields that nobody reads here
        "Error": {"Code": code, "Message": "told"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return foreign.ClientError(response, "PutObject")


def translated(error: Exception) -> RemoteError:
    with pytest.raises(RemoteError) as caught, translating("write", "s3://b/k", "b"):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "transient", "overloaded"),
    [
        (refusal("SlowDown", 503), True, True),
        (refusal("503", 503), True, True),
        (refusal("TooManyRequests", 429), True, True),
        (refusal("RequestLimitExceeded", 400), True, True),
        (refusal("RequestTimeout", 400), True, True),
        (foreign.ReadTimeoutError(endpoint_url="x"), True, True),
        (foreign.ConnectTimeoutError(endpoint_url="x"), True, True),
        (urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("x"), "x", "late"), True, True),
        (refusal("InternalError", 500), True, False),
        (refusal("ConditionalRequestConflict", 409), True, False),
        (foreign.ConnectionClosedError(endpoint_url="x"), True, False),
        (foreign.IncompleteReadError(actual_bytes=1, expected_bytes=2), True, False),
        (foreign.EndpointConnectionError(endpoint_url="x"), True, False),
        (refusal("InvalidArgument", 400), False, False),
        (refusal("PermanentRedirect", 301), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_asks_for_less(error: Exception, transient: bool, overloaded: bool) -> None:
    """A service that is overloaded would get as many requests as before; a broken cable would make a push slow."""
    told = translated(error)
    assert (told.transient, told.overloaded) == (transient, overloaded)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 120 "}, 120.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 30.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:07 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT"}, None),
        ({"retry-after": "soon", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": "-5", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": "9" * 400}, 999_999_999.0),
        ({}, None),
    ],
)
def test_how_long_a_service_asks_to_be_left_alone(headers: dict[str, str], seconds: float | None) -> None:
    """It would be asked again at once; or, by this machine's wrong clock, next year."""
    assert translated(refusal("SlowDown", 503, **headers)).retry_after_s == seconds
