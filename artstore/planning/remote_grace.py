"""How long collection at a remote waits: what changing `grace` does, and which one is in force. Pure.

Raising it is in force at once. Lowering it isn't: who looked at gc/state before may write a ref for half of the grace
that he saw there. So gc/state goes on to name the former one; a run that finds it gives it a time, as it does with a
listed pack, and only a run that begins one former grace after that judges by the new one. Refs are swapped by the new
one from the first look on, which is shorter.
"""

from __future__ import annotations

from artstore.format.remote import FormerGrace


def change_grace(grace: int, former: FormerGrace | None, *, to: int) -> tuple[int, FormerGrace | None]:
    """What gc/state is to say of both, once it says `to`."""
    in_force = grace if former is None else max(grace, former.grace)
    return (to, None) if to >= in_force else (to, FormerGrace(in_force, None))


def grace_at(grace: int, former: FormerGrace | None, *, read_at: float) -> tuple[int, FormerGrace | None]:
    """The grace (s) by which a run judges that read gc/state at `read_at`, and what it is to say of the former one."""
    if former is None:
        return grace, None
    if former.since is None:
        return former.grace, FormerGrace(former.grace, int(read_at) + 1)  # services tell whole seconds
    return (grace, None) if read_at - former.since >= former.grace else (former.grace, former)
