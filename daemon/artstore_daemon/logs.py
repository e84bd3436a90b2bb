"""What the daemon has to say: lines of JSON in a file that is turned over, or plain ones for whoever keeps them.

Everything goes through `logging`, as in the library; structlog gives it its form, and hides what must not be read.
"""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_FILE_BYTES_MAX: Final = 4 << 20
_FILES_KEPT: Final = 3
# In the words of AWS, of HTTP and of URLs.
_SECRET: Final = re.compile(
    r"(?i)(secret_access_key|session_token|x-amz-security-token|x-amz-signature|authorization|passw(?:or)?d|token"
    r"|secret|api[-_]?key)(['\"]?\s*[:=]\s*['\"]?)((?:bearer|basic)\s+)?[^\s'\",;&]+"
)
_IN_URL: Final = re.compile(r"(\w+://[^\s/:@]*):[^\s/@]+@")


def to_file(path: str, *, verbose: bool = False) -> None:
    """Keep all in a file, which is turned over before it grows too large."""
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=_FILE_BYTES_MAX, backupCount=_FILES_KEPT, encoding="utf-8"
    )
    _begin(handler, structlog.processors.JSONRenderer(sort_keys=True), verbose=verbose, with_time=True)


def to_stderr(*, verbose: bool = False) -> None:
    """Say all on standard error, without the time: the journal has it, and who reads a terminal needs none."""
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_level=False, pad_event_to=0)
    _begin(logging.StreamHandler(), renderer, verbose=verbose, with_time=False)


def without_secrets(text: str) -> str:
    """A text with what looks like a secret left out."""
    return _IN_URL.sub(r"\1:***@", _SECRET.sub(r"\1\2***", text))


def _begin(handler: logging.Handler, renderer: Any, *, verbose: bool, with_time: bool) -> None:
    # Any: structlog's renderers share no type.
    shared: list[Any] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name]
    if with_time:
        shared.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _hide,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("artstore").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("artstore_daemon").setLevel(logging.DEBUG if verbose else logging.INFO)
    for chatty in ("botocore", "boto3", "urllib3", "s3transfer", "artstore_daemon.http", "watchdog"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _hide(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Any: structlog's own type of an event.
    return {key: without_secrets(value) if isinstance(value, str) else value for key, value in event.items()}
