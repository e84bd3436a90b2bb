"""The daemon: `daemon`."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any, cast

import click

from artstore.cli import text
from artstore.cli.command import Group
from artstore.cli.invocation import Invocation
from artstore.errors import Busy, Corrupt, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.cli.documents import DaemonDocument, DaemonStateItem
    from artstore_daemon.places import Places

_NS = 1e9
_STATUS_S = 5.0  # that a daemon may take to tell how it stands
_LINES_DEFAULT = 50
_SYSTEMD_USERS, _LINGER = "/run/systemd/users", "/var/lib/systemd/linger"
PACKAGES = ("hypercorn", "jeepney", "starlette", "structlog", "trio", "watchdog")


@click.group(
    "daemon",
    cls=Group,
    examples=[
        ("artstore watch add ~/runs/llama --push origin", "what it is to do"),
        ("artstore daemon start", "in the background"),
        ("artstore daemon status", "how it stands"),
    ],
)
def daemon_command() -> None:
    """Watches folders, pushes, and follows aliases in the background.

    One runs for each store. What it is to do, `artstore watch` and `artstore follow` say.
    """


@daemon_command.command("start", examples=[("artstore daemon start", "returns when it is ready")])
@click.option("--tcp", is_flag=True, help="Answer on a port of 127.0.0.1, too, to who has the token.")
@click.pass_obj
def start_command(invocation: Invocation, tcp: bool) -> None:
    """Start it in the background.

    Under systemd, `systemctl --user enable --now artstore-daemon` does, at each login.
    """
    require_daemon()
    from artstore_daemon import service

    places = _places(invocation)
    process = service.start(places, service.Options(tcp=tcp, passphrase=invocation.asks_passphrase))
    _show(invocation, _document(places), [f"it runs, process {process}; it logs to {places.log}"])
    for warning in warnings():
        invocation.output.note(warning)


@daemon_command.command("stop", examples=[("artstore daemon stop", "within 10 seconds")])
@click.pass_obj
def stop_command(invocation: Invocation) -> None:
    """End it. What is under way ends, or is gone on with next time."""
    require_daemon()
    from artstore_daemon import service

    places = _places(invocation)
    ended = service.stop(places)
    _show(invocation, _document(places, whatever_config=True), ["it has ended" if ended else "it doesn't run"])


@daemon_command.command(
    "run",
    examples=[
        ("artstore daemon run", "in the foreground, as service managers want it"),
        ("artstore daemon run -v", "and tell more"),
    ],
)
@click.option("--tcp", is_flag=True, help="Answer on a port of 127.0.0.1, too, to who has the token.")
@click.option("--log", metavar="FILE", type=click.Path(dir_okay=False), help="Log to a file; else to stderr.")
@click.pass_obj
def run_command(invocation: Invocation, tcp: bool, log: str | None) -> int:
    """Be the daemon until SIGTERM or Ctrl-C. SIGHUP: look at the config again."""
    require_daemon()
    from artstore_daemon import service

    options = service.Options(log=log, tcp=tcp, verbose=invocation.verbose > 0, passphrase=invocation.asks_passphrase)
    return service.run(_places(invocation), options)


@daemon_command.command("status", examples=[("artstore daemon status --json", "for programs")])
@click.pass_obj
def status_command(invocation: Invocation) -> int:
    """How it stands. Exit 8 if it doesn't run."""
    require_daemon()
    from artstore_daemon import lock

    places = _places(invocation)
    document = _document(places)
    if document.running:
        process = f"process {document.process}" if document.process else lock.said(places.lock)
        lines = [f"it runs, {process}; it logs to {places.log}"]
    else:
        lines = ["it doesn't run: `artstore daemon start` starts it"]
    lines += [f"watches {name}" for name in document.watches]
    lines += [f"follows {name}" for name in document.follows]
    _show(invocation, document, lines)
    return 0 if document.running else Busy.exit_code


@daemon_command.command("logs", examples=[("artstore daemon logs -n 200", "its last words")])
@click.option(
    "-n", "lines", metavar="N", type=click.IntRange(1), default=_LINES_DEFAULT, show_default=True, help="So many lines."
)
@click.pass_obj
def logs_command(invocation: Invocation, lines: int) -> None:
    """The end of its log. A daemon under systemd logs to the journal: `journalctl --user -u artstore-daemon`."""
    require_daemon()
    places = _places(invocation)
    said: list[str] = []
    for path in (places.log, f"{places.log}.1"):  # the one before, if this one was turned over a moment ago
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                said = file.read().splitlines() + said
        except FileNotFoundError as error:
            if not said and path == places.log:
                raise NotFound(f"there is no log at {path}", hint="it has not run in the background yet") from error
        if len(said) >= lines:
            break
    for line in said[-lines:]:
        invocation.output.line(line)


def require_daemon() -> None:
    """NotFound, with what to install, if what it needs is missing."""
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise NotFound(
                f"what the daemon needs is missing: {name} is not installed", hint="pip install 'artstore[daemon]'"
            )


def tell_daemon(invocation: Invocation) -> bool:
    """Have a running daemon look at the config; whether there is one."""
    import signal

    from artstore_daemon import lock

    path = _places(invocation).lock
    holder = lock.holder(path)
    if holder is None:
        return False
    try:
        if not holder:
            raise PermissionError
        os.kill(holder, signal.SIGHUP)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is noted all the same
        who = lock.said(path) or "which is just starting"
        invocation.output.note(f"the daemon ({who}) can't be told from here: it heeds this once it is started again")
    return True


def warnings() -> list[str]:
    """What people who start one learn too late."""
    import pwd

    if not os.getuid() or not os.path.isdir(_SYSTEMD_USERS):
        return []
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in containers, where nobody logs out
        return []
    if os.path.exists(os.path.join(_LINGER, user)):
        return []
    return [f"it may be ended when you log out: `loginctl enable-linger {user}` keeps it"]


def _places(invocation: Invocation) -> Places:
    from artstore_daemon.places import places_of

    return places_of(invocation.store)


def _document(places: Places, *, whatever_config: bool = False) -> DaemonDocument:
    """How a daemon stands. `whatever_config`: one that makes no sense is passed over."""
    from artstore.cli.documents import DaemonDocument
    from artstore_daemon import lock, settings

    holder = lock.holder(places.lock)
    watches: list[str] = []
    follows: list[str] = []
    try:
        watches, follows = list(settings.watches(places.store)), list(settings.follows(places.store))
    except Corrupt:
        if not whatever_config:
            raise
    return DaemonDocument(
        running=holder is not None,
        process=holder,
        log=places.log,
        socket=places.answering(),
        watches=watches,
        follows=follows,
    )


def _show(invocation: Invocation, document: DaemonDocument, lines: list[str]) -> None:
    invocation.output.document(document, lines=lambda: lines, ids=lambda: [str(document.process or "")])


def told_by_daemon(store: str) -> dict[str, Any] | None:
    """How the daemon of a store stands, as its API tells; None if none answers."""
    from artstore.errors import ArtstoreError
    from artstore_daemon.client import Client
    from artstore_daemon.places import places_of

    try:
        return cast("dict[str, Any]", Client(places_of(store).answering(), timeout_s=_STATUS_S).get("/v1/status"))
    except (ArtstoreError, OSError):
        return None


def daemon_state(store: str) -> DaemonStateItem | None:
    """How the daemon of a store stands, in short; None if none answers."""
    from artstore.cli.documents import DaemonStateItem

    told = told_by_daemon(store)
    if told is None:
        return None
    pushes = [push for watch in told["watches"] for push in watch["pushes"]]
    standing = [(watch["artifact"], watch) for watch in told["watches"]]
    standing += [(follow["alias"], follow) for follow in told["follows"]]
    standing += [(f"{w['artifact']} to {push['remote']}", push) for w in told["watches"] for push in w["pushes"]]
    moments = sorted(item["next"] for _, item in standing if item["next"] is not None)
    return DaemonStateItem(
        process=told["process"],
        quiet=told["quiet"],
        watches=[watch["artifact"] for watch in told["watches"]],
        follows=[follow["alias"] for follow in told["follows"]],
        pending=[watch["artifact"] for watch in told["watches"] if watch["pending"]],
        waiting=sum(push["waiting"] for push in pushes),
        errors=[f"{name}: {item['error']}" for name, item in standing if item["error"]],
        remarks=[f"{watch['artifact']}: {watch['why']}" for watch in told["watches"] if watch["why"]],
        next=text.time(int(moments[0] * _NS)) if moments else None,
    )


def daemon_rows(state: DaemonStateItem | None, show: Callable[[str], str]) -> list[tuple[str, str]]:
    """The same as rows of `status`."""
    if state is None:
        return [("daemon", "not running")]
    said = [f"process {state.process}", f"watches {len(state.watches)}, follows {len(state.follows)}"]
    said += [f"pending: {', '.join(state.pending)}"] if state.pending else []
    said += [f"{text.count(state.waiting, 'name')} to push"] if state.waiting else []
    said += [f"next at {state.next}"] if state.next else []
    trouble = [("trouble", show(error)) for error in state.errors]
    return [("daemon", "; ".join(said)), *trouble, *(("watch", show(remark)) for remark in state.remarks)]
