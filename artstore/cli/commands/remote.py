"""Places that versions are replicated to: `remote`."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

import click
import msgspec

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Group
from artstore.cli.commands.remote_gc import span
from artstore.cli.commands.remote_home import promote_command, settle_command
from artstore.cli.invocation import Invocation
from artstore.errors import ArtstoreError, NotFound, RemoteError

if TYPE_CHECKING:
    from artstore import MirrorStatus, RemotePlace, Store
    from artstore.cli.documents import RemoteItem

_SCHEMES = ("s3:", "file:")
_ROLES = {"home": "the home", "mirror": "a mirror", "other": "which decides its own names"}
R = TypeVar("R")
_PLACE_OPTIONS = (
    click.option("--endpoint", metavar="URL", help="The service, unless AWS's or named in the environment."),
    click.option("--region", help="The bucket's region."),
    click.option("--profile", help="A profile of the AWS files."),
    click.option("--addressing", type=click.Choice(["path", "virtual"]), help="How the bucket is named in requests."),
    click.option("--ca", metavar="FILE", type=click.Path(), help="Certificates of the service."),
)


class _Given(TypedDict):
    """What these options give."""

    endpoint: str | None
    region: str | None
    profile: str | None
    addressing: str | None
    ca: str | None


def place_options(command: Callable[..., R]) -> Callable[..., R]:
    """The options that say how a remote is reached; the command gets `url` and what they make, `place`.

    No `url`: there is no place, and these options make no sense.
    """

    @functools.wraps(command)
    def run(*args: object, url: str | None, **given: Unpack[_Given]) -> R:
        rest = {key: value for key, value in given.items() if key not in _Given.__annotations__}
        return command(*args, url=url, place=_place(url, given), **rest)

    for option in reversed(_PLACE_OPTIONS):
        run = option(run)
    return run


def is_url(word: str) -> bool:
    """Is it meant for a remote's URL?"""
    return "://" in word or word.startswith(_SCHEMES)


def _place(url: str | None, given: _Given) -> RemotePlace | None:
    if url is None:
        for name in _Given.__annotations__:
            if given.get(name) is not None:
                raise click.UsageError(f"--{name} says how a URL is reached, and there is none")
        return None
    if not is_url(url):
        raise click.UsageError(
            f"{url!r} is no URL of a remote; write s3://BUCKET/PREFIX or file:///FOLDER; "
            f"did you mean file://{os.path.abspath(url)}?"
        )
    from artstore import RemotePlace

    ca = given["ca"]
    return RemotePlace(
        url=url,
        endpoint=given["endpoint"],
        region=given["region"],
        profile=given["profile"],
        addressing=given["addressing"],
        ca=None if ca is None else os.path.abspath(ca),
    )


@click.group(
    "remote",
    cls=Group,
    examples=[
        ("artstore remote add origin s3://models/art", "with the credentials that AWS's tools use"),
        ("artstore remote add nas file:///mnt/nas/art", "a folder on another disk"),
        ("artstore remote check", "try out what it promises"),
    ],
)
def remote_command() -> None:
    """Places that versions are replicated to.

    A bucket of any service that speaks S3, or a folder. The first one added is the home: it decides names. A mirror
    takes copies of it, and becomes home when it is promoted.
    """


@remote_command.command(
    "add",
    examples=[
        ("artstore remote add origin s3://models/art --profile work", "as that profile of ~/.aws/config"),
        ("artstore remote add lab s3://art --endpoint http://10.0.0.5:9000", "a service of your own"),
        ("artstore remote add nas file:///mnt/nas/art", "a folder"),
        ("artstore remote add eu s3://models-eu/art --mirror", "a second region, which takes copies of the home"),
    ],
)
@click.argument("name")
@click.argument("url")
@click.option("--mirror", is_flag=True, help="It takes copies of the home from now on, and decides no names.")
@place_options
@click.pass_obj
def add_command(invocation: Invocation, name: str, url: str, place: RemotePlace, mirror: bool) -> None:
    """Add a remote.

    It is reached at once: an empty bucket, prefix or folder becomes a remote, one that is a remote is used. No secrets
    are kept: credentials come from the environment and the AWS files each time.
    """
    from artstore.cli.documents import RemoteDocument

    store = invocation.open_store(create=True)
    (store.add_mirror if mirror else store.add_remote)(name, place)
    item = next(item for item in _items(store.remotes()) if item.name == name)
    shown = invocation.output.show(item.url)
    invocation.output.document(
        RemoteDocument(remote=item, removed=False),
        lines=lambda: [f"{name} is a remote now, {_ROLES[_role(item)]}: {shown}"],
        ids=lambda: [name],
    )
    invocation.output.note("next: artstore push" if item.mirror else f"next: artstore remote check {name}")


@remote_command.command(
    "list",
    examples=[
        ("artstore remote list", "names and places"),
        ("artstore remote list --ask", "and how far mirrors are behind, who holds one, how long garbage waits"),
    ],
)
@click.option("--ask", is_flag=True, help="Ask each how it stands to the home, and who collects there.")
@click.pass_obj
def list_command(invocation: Invocation, ask: bool) -> int:
    """All remotes.

    Exit 7 if the home was to be asked and can't be.
    """
    from artstore.cli.documents import RemoteListDocument

    store = invocation.open_store()
    items = _items(store.remotes())
    if ask:
        told = {each.name: each for each in store.mirror_status()}
        items = [_asked(item, told[item.name]) if item.name in told else item for item in items]
        items = [_collected(store, item) for item in items]
    if not items:
        invocation.output.note("this store has no remote: `artstore remote add NAME URL` adds one")
    rows = [(item.name, item.url, _role(item), _details(item)) for item in items]
    invocation.output.document(
        RemoteListDocument(remotes=items),
        lines=lambda: [text.printable(line) for line in text.table(rows)],
        ids=lambda: [item.name for item in items],
    )
    return RemoteError.exit_code if items and items[0].error is not None else 0


@remote_command.command(
    "check",
    examples=[
        ("artstore remote check", "the home remote"),
        ("artstore remote check nas --json", "another one"),
    ],
)
@click.argument("name", required=False)
@click.pass_obj
def check_command(invocation: Invocation, name: str | None) -> int:
    """Try out what a remote promises.

    Above all that of several writers of one name exactly one wins; where it fails, one machine alone may write. About
    800 small requests; what they write is deleted. Exit 7 if the remote can't be used.
    """
    from artstore.cli.documents import RemoteCheckDocument, TrialItem

    store = invocation.open_store()
    started = time.monotonic()
    name, findings = store.check_remote(name)
    seconds = time.monotonic() - started
    usable = all(finding.ok or not finding.needed for finding in findings)
    single = not all(finding.ok for finding in findings)
    verdict = "any number of machines may write" if not single else "only one machine may write to it"
    rows = [("ok" if finding.ok else "FAILED", finding.name, finding.told) for finding in findings]
    invocation.output.document(
        RemoteCheckDocument(
            name=name,
            url=store.remotes()[name].url,
            trials=[TrialItem(name=finding.name, ok=finding.ok, told=finding.told) for finding in findings],
            usable=usable,
            single_writer=single,
            seconds=seconds,
        ),
        lines=lambda: [*(text.printable(line) for line in text.table(rows)), f"{name}: {verdict}"],
        ids=lambda: [name],
    )
    return 0 if usable else RemoteError.exit_code


@remote_command.command("remove", examples=[("artstore remote remove nas", "nothing there is touched")])
@click.argument("name")
@click.pass_obj
def remove_command(invocation: Invocation, name: str) -> None:
    """Forget a remote; nothing at it is touched."""
    from artstore.cli.documents import RemoteDocument

    store = invocation.open_store()
    items = {item.name: item for item in _items(store.remotes())}
    if name not in items:
        raise NotFound(f"there is no remote {name!r}", hint="`artstore remote list` shows them")
    store.remove_remote(name)
    invocation.output.document(
        RemoteDocument(remote=items[name], removed=True),
        lines=lambda: [f"{name} is no remote of this store any more"],
        ids=lambda: [name],
    )


remote_command.add_command(promote_command)
remote_command.add_command(settle_command)


def _items(places: dict[str, RemotePlace]) -> list[RemoteItem]:
    from artstore.cli.documents import RemoteItem

    return [
        RemoteItem(
            name=name,
            url=place.url,
            home=number == 0 and place.mirror_of is None,
            mirror=place.mirror_of is not None,
            epoch=place.epoch,
            endpoint=place.endpoint,
            region=place.region,
            profile=place.profile,
            addressing=place.addressing,
            ca=place.ca,
            single_writer=place.single_writer,
        )
        for number, (name, place) in enumerate(places.items())
    ]


def _details(item: RemoteItem) -> str:
    told = {"endpoint": item.endpoint, "region": item.region, "profile": item.profile, "ca": item.ca}
    words = [f"{key} {value}" for key, value in told.items() if value is not None]
    words += ["one writer"] if item.single_writer else []
    if item.behind is not None:
        words.append(f"{text.count(len(item.behind), 'name')} behind" if item.behind else "has all")
    if item.conflicts:
        words.append(
            f"{text.count(len(item.conflicts), 'conflict')}: {', '.join(each.name for each in item.conflicts)}"
        )
    if item.grace_s is not None and item.grace_s != limits.REMOTE_GRACE_S:
        before = "" if item.grace_before_s is None else f", {span(item.grace_before_s)} until that is over"
        words.append(f"garbage waits {span(item.grace_s)}{before}")
    if item.held is not None:
        words.append(f"held by {item.held}")
    return ", ".join([*words, *([item.error] if item.error else [])])


def _collected(store: Store, item: RemoteItem) -> RemoteItem:
    """With what its collection says; a mirror that didn't answer isn't asked once more."""
    if item.error is not None:
        return item
    try:
        told = store.collection_status(item.name)
    except ArtstoreError as error:
        return msgspec.structs.replace(item, error=error.message)
    return msgspec.structs.replace(item, grace_s=told.grace_s, grace_before_s=told.grace_before_s, held=told.held)


def _role(item: RemoteItem) -> str:
    return "home" if item.home else "mirror" if item.mirror else "other"


def _asked(item: RemoteItem, told: MirrorStatus) -> RemoteItem:
    """A mirror as it has answered."""
    from artstore.cli.documents import ConflictItem

    if told.error is not None:
        return msgspec.structs.replace(item, error=told.error)
    conflicts = [ConflictItem(name=each.name, why=each.why) for each in told.conflicts]
    return msgspec.structs.replace(item, behind=told.behind, conflicts=conflicts)
