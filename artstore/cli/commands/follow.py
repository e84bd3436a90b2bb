"""Aliases that this machine goes along with: `follow`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.daemon import require_daemon, tell_daemon
from artstore.cli.invocation import Invocation
from artstore.cli.params import DURATION
from artstore.errors import UsageError

if TYPE_CHECKING:
    from artstore.cli.documents import FollowItem
    from artstore_daemon.places import Places

_NS = 1e9


@click.command(
    "follow",
    cls=Command,
    examples=[
        ("artstore follow llama/production --to /srv/model", "a link that leads to its files, always whole"),
        ("artstore follow llama/production --hook 'systemctl reload llama'", "and tell who uses it"),
        ("artstore follow llama/production", "have its data here, and the mount show it, once all is here"),
        ("artstore follow", "what is followed"),
        ("artstore follow --remove llama/production", "no more"),
    ],
)
@click.argument("alias", metavar="[ALIAS]", required=False)
@click.option("--to", metavar="LINK", type=click.Path(), help="A symlink that is made to lead to its files.")
@click.option("--prefetch", is_flag=True, help="Have its data here, which is done in any case.")
@click.option(
    "--hook", metavar="COMMAND", help="Run by /bin/sh once it has switched; if it fails, back to the old one."
)
@click.option("--remote", metavar="NAME", help="Ask this remote, not the home.")
@click.option("--poll", metavar="TIME", type=DURATION, default="10s", show_default=True, help="How often to ask.")
@click.option("--remove", is_flag=True, help="Follow it no more; link and files stay.")
@click.option("--now", is_flag=True, help="Try again now what failed.")
@click.pass_obj
def follow_command(
    invocation: Invocation,
    alias: str | None,
    to: str | None,
    prefetch: bool,
    hook: str | None,
    remote: str | None,
    poll: int,
    remove: bool,
    now: bool,
) -> None:
    """Go along with an alias: when it moves, its version comes here whole, and is switched to.

    The daemon does it. A hook gets ARTSTORE_ALIAS, ARTSTORE_OLD, ARTSTORE_NEW and ARTSTORE_PATH, and 5 minutes; when it
    fails this machine stays on the old version, the alias is not touched.
    """
    del prefetch
    require_daemon()
    from artstore_daemon import settings

    if (remove or now) and (to or hook or remote or (remove and now)):
        raise UsageError(f"{'--remove' if remove else '--now'} goes with no other option")
    if alias is None:
        if to or hook or remote or remove or now:
            raise UsageError("which alias?", hint="`artstore follow ALIAS …`")
        _show(invocation, None, removed=False, running=None)
        return
    if remove:
        settings.change_follow(_places(invocation).store, alias, lambda _: None)
        invocation.open_store().drop_followed(alias)
        _show(invocation, alias, removed=True, running=tell_daemon(invocation))
        return
    if now:
        from artstore_daemon.client import Client

        settings.find_follow(_places(invocation).store, alias)
        Client(_places(invocation).answering()).post(f"/v1/follows/{alias}/now")
        _show(invocation, alias, removed=False, running=True)
        return
    store = invocation.open_store()
    spec = settings.FollowSpec(
        alias=alias,
        to=None if to is None else os.path.abspath(to),
        hook=hook,
        remote=remote,
        poll_s=max(poll / _NS, limits.FOLLOW_POLL_S_MIN),
    )
    settings.add_follow(store.path, spec)
    _show(invocation, alias, removed=False, running=tell_daemon(invocation))


def _show(invocation: Invocation, alias: str | None, *, removed: bool, running: bool | None) -> None:
    from artstore.cli.documents import FollowDocument
    from artstore_daemon import lock

    items = [] if removed else [item for item in _items(invocation) if alias in (None, item.alias)]
    is_running = lock.holder(_places(invocation).lock) is not None if running is None else running
    rows = [
        (item.alias, item.to or "the mount", (item.current or "nothing yet")[:8], item.hook or "") for item in items
    ]
    lines = [f"{alias} isn't followed any more"] if removed else [text.printable(line) for line in text.table(rows)]
    invocation.output.document(
        FollowDocument(follows=items, removed=removed, daemon=is_running),
        lines=lambda: lines,
        ids=lambda: [item.alias for item in items],
    )
    if not items and not removed:
        invocation.output.note("nothing is followed: `artstore follow ALIAS --to LINK` begins")
    elif not is_running and not removed:
        invocation.output.note("no daemon runs: `artstore daemon start`")


def _items(invocation: Invocation) -> list[FollowItem]:
    from artstore.cli.documents import FollowItem
    from artstore_daemon import settings

    store = invocation.open_store()
    served = store.followed()
    items: list[FollowItem] = []
    for spec in settings.follows(store.path).values():
        row = served.get(spec.alias)
        items.append(
            FollowItem(
                alias=spec.alias,
                to=spec.to,
                hook=spec.hook,
                remote=spec.remote,
                poll_s=spec.poll_s,
                paused=spec.paused,
                current=None if row is None or row.current is None else row.current.hex(),
                previous=None if row is None or row.previous is None else row.previous.hex(),
            )
        )
    return items


def _places(invocation: Invocation) -> Places:
    from artstore_daemon.places import places_of

    return places_of(invocation.store)
