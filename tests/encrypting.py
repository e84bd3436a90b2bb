"""The tests of everything, on stores that are encrypted: `pytest --encrypted`.

Whatever makes a store in this process without saying more makes an encrypted one, whose passphrase is cheap to try and
stands in the environment, so that programs that are started find it, too. All of one test have the same keys, and share
remotes. A test that looks at bytes as nobody has
sealed them says so: `@pytest.mark.plain("why")`.
"""

from __future__ import annotations

import pytest

from artstore import Store, wiring
from artstore.format import keyring
from artstore.format.keyring import Unlocked
from artstore.ports import Remote
from artstore.store.sealed import SealedRemote
from artstore.testing import sealing
from artstore.testing.planted import Planter
from artstore.testing.sealing import CHEAP, PASSPHRASE, unlocked

OPTION = "--encrypted"
_make = wiring.init


def begin(patch: pytest.MonkeyPatch) -> None:
    """From now on stores are encrypted."""
    for variable in ("FILE", "COMMAND"):
        patch.delenv(f"ARTSTORE_PASSPHRASE_{variable}", raising=False)
    patch.setenv("ARTSTORE_PASSPHRASE", PASSPHRASE.decode())
    opened = unlocked()

    def init(path: str | None, *, group: str | None = None, unlocked: Unlocked | None = None) -> str:
        return _make(path, group=group, unlocked=unlocked or opened)

    patch.setattr(wiring, "init", init)
    patch.setattr(Planter, "sealing", sealing)
    for function in (keyring.new_ring, keyring.add_slot):
        defaults = function.__kwdefaults__
        assert defaults is not None
        patch.setitem(defaults, "cost", CHEAP)


def skip(items: list[pytest.Item]) -> None:
    """Leave out what can't be asked of an encrypted store."""
    for item in items:
        mark = item.get_closest_marker("plain")
        if mark is not None:
            item.add_marker(pytest.mark.skip(reason=f"not of encrypted stores: {mark.args[0]}"))


def as_seen_by(store: Store, remote: Remote) -> Remote:
    """A remote as this store sees it: opened, if it is encrypted."""
    chain = store.context.keychain
    return remote if chain is None else SealedRemote(remote, chain)
