"""What can go wrong, grouped by what the caller does about it; one exit code each.

    ArtstoreError
    ├── fix the input
    │   ├── UsageError            2   an argument makes no sense
    │   │   ├── BadName           2   a ref, revision or path is not well formed
    │   │   └── Ambiguous         2   a revision means several things; lists them
    │   ├── NotFound              3   no such store, revision, path
    │   ├── NotPermitted          4   the operating system refuses
    │   ├── BadInput              2   files which can't be committed (changing, unreadable, odd kinds)
    │   └── Unsafe                2   the tree would write outside of its destination, or overwrite what differs
    ├── decide again
    │   └── Conflict              5   a compare-and-swap lost; a tag exists
    ├── repair the store
    │   ├── Corrupt               6   stored bytes do not match their id, or can't be decoded
    │   │   └── Unopened          6   an object of an encrypted remote that can't be opened
    │   └── Erased                6   the content was purged on purpose
    ├── retry later
    │   ├── RemoteError           7   a remote can't be reached
    │   ├── Busy                  8   a lock is held, a session runs
    │   └── NoSpace               9   disk full or over quota
    ├── upgrade
    │   └── NewerFormat           2   written by a newer release
    └── Interrupted             130   Ctrl-C

Assertions are our own bugs and never appear here.
"""

from __future__ import annotations

from collections.abc import Sequence


class ArtstoreError(Exception):
    """Base of all errors of artstore: `exit_code` for the shell, `hint` says what to do next."""

    exit_code = 1
    code = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message if hint is None else f"{message}; {hint}")


class UsageError(ArtstoreError):
    """An argument makes no sense."""

    exit_code = 2
    code = "usage"


class BadName(UsageError):
    """A ref, revision or path is not well formed."""

    code = "bad_name"


class Ambiguous(UsageError):
    """A revision means several things."""

    code = "ambiguous"

    def __init__(self, revision: str, candidates: Sequence[str]) -> None:
        self.candidates = tuple(candidates)
        super().__init__(f"{revision!r} is ambiguous: {', '.join(candidates)}", hint="write one of these in full")


class BadInput(UsageError):
    """Files which can't be committed; `paths` names them."""

    code = "bad_input"

    def __init__(self, message: str, paths: Sequence[bytes] = (), *, hint: str | None = None) -> None:
        self.paths = tuple(paths)
        super().__init__(message, hint=hint)


class Changing(BadInput):
    """Files which changed while they were read; nothing else is wrong."""

    code = "changing"


class Unsafe(UsageError):
    """A tree would write outside of its destination or overwrite something else."""

    code = "unsafe"


class NewerFormat(UsageError):
    """The store, pack or document was written by a newer release."""

    code = "newer_format"


class NotFound(ArtstoreError):
    """There is no such store, revision or path."""

    exit_code = 3
    code = "not_found"


class NotPermitted(ArtstoreError):
    """The operating system refuses."""

    exit_code = 4
    code = "not_permitted"


class Conflict(ArtstoreError):
    """A compare-and-swap was lost, or an immutable name is taken."""

    exit_code = 5
    code = "conflict"


class Corrupt(ArtstoreError):
    """Stored bytes do not match their id, or can't be decoded. `digest` and `pack` tell where, when known."""

    exit_code = 6
    code = "corrupt"

    def __init__(
        self, message: str, *, digest: bytes | None = None, pack: str | None = None, hint: str | None = None
    ) -> None:
        self.digest = digest
        self.pack = pack
        super().__init__(message, hint=hint or "run `artstore check --data`, then `artstore check --repair`")


class Unopened(Corrupt):
    """An object of an encrypted remote can't be opened. `etag`: of what lies there, for who knows what should."""

    code = "unopened"

    def __init__(self, message: str, *, etag: str = "", hint: str | None = None) -> None:
        self.etag = etag
        super().__init__(message, hint=hint)


class Erased(ArtstoreError):
    """The content was purged on purpose and can't come back from here."""

    exit_code = 6
    code = "erased"


class RemoteError(ArtstoreError):
    """A remote can't be reached or refuses.

    `transient`: the same request may succeed later, and nobody knows whether this one took effect; `retry_after_s`:
    how long the remote asked to be left alone, if it did; `overloaded`: it has too much to do, or did not answer in
    time.
    """

    exit_code = 7
    code = "remote"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        transient: bool = False,
        retry_after_s: float | None = None,
        overloaded: bool = False,
    ) -> None:
        self.transient = transient
        self.overloaded = overloaded
        self.retry_after_s = retry_after_s
        super().__init__(message, hint=hint)


class Busy(ArtstoreError):
    """Somebody else holds what is needed; try again later."""

    exit_code = 8
    code = "busy"


class NoSpace(ArtstoreError):
    """The disk is full or the quota is used up; what was committed before is safe."""

    exit_code = 9
    code = "no_space"


class Interrupted(ArtstoreError):
    """The user pressed Ctrl-C; nothing half-done is visible."""

    exit_code = 130
    code = "interrupted"
