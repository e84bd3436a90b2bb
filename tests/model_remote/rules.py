"""What the model leaves open: the rules of the protocol, each a switch, and how large a world is explored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """The protocol of DESIGN, "Remote", rule by rule; False takes one out.

    Of a ref's writer:

    - `listed_is_absent`: what gc/state lists is not relied on.
    - `proof`: step 4 is taken; without it, what was planned or uploaded is believed to be there.
    - `proof_after_look`: packs are asked for after the GET of gc/state, not before.
    - `swap_soon`: refs are swapped while that GET is young, else step 4 is taken again.
    - `half`: young is less than `grace`/2, not less than `grace`.
    - `deletions`: a proof outlives that time only while the counter `deletions` stands still; without it, for ever.
    - `renew`: step 6: who was frozen looks again, and sends what is missing.
    - `set_if_match`: a set is replaced with If-Match.
    - `set_proof`: a set that exists is replaced as a ref is, after a proof of what it will name, while that is young.
    - `set_again`: step 4 reads the set after its GET of gc/state, and proves what it names by then.
    - `names_once`: a pack's name is never used again.

    Of a collector:

    - `state_if_match`: gc/state is replaced with If-Match.
    - `read_back`: after a lost reply gc/state is read, and only who finds his own write goes on.
    - `mark_after`: marking begins after the GET of gc/state that gives t0.
    - `drop_marked`: listed packs that are marked leave the list.
    - `since_later`: a listed pack gets its time from a later run's t0, not from the one that lists it.
    - `wait`: it becomes `deleting` only `grace` after that time.
    - `age_by_t0`: `grace` has passed if it had at t0, not if it has when the decision is made.
    - `deleting_first`: packs are deleted after gc/state says so.
    - `old_only`: packs younger than `grace` are not listed.
    - `pins`: packs of pins younger than `grace` are marked.
    - `moves`: packs of an alias's last moves are marked.
    - `now_waits`: under `exclusive`, collection that doesn't wait for `grace` begins `grace`/2 after it was swapped in.
    - `lower_waits`: once `grace` was lowered, packs wait for the former one until that is over.
    - `sets_stay`: the sets of versions that no ref leads to are not deleted, not even with the packs they name.
    """

    listed_is_absent: bool = True
    proof: bool = True
    proof_after_look: bool = True
    swap_soon: bool = True
    half: bool = True
    deletions: bool = True
    renew: bool = True
    set_if_match: bool = True
    set_proof: bool = True
    set_again: bool = True
    names_once: bool = True
    state_if_match: bool = True
    read_back: bool = True
    mark_after: bool = True
    drop_marked: bool = True
    since_later: bool = True
    wait: bool = True
    age_by_t0: bool = True
    deleting_first: bool = True
    old_only: bool = True
    pins: bool = True
    moves: bool = True
    now_waits: bool = True
    lower_waits: bool = True
    sets_stay: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """How much there is: time, faults and the number of runs have no bound.

    - `packs`: names that anything still mentions at a time; one that nothing mentions stands for one never used. `old`
      of them are there at the beginning; pushes bring others if there are `uploads`.
    - `grace`: even, in ticks.
    - `jobs`: what writers do, of "tag", "alias", "repack"; `apart`: each writer but one of them, in that order.
    - `living`: version 0 has a tag at the beginning.
    - `pins`: pushes pin what they upload; pins outlive who died.
    - `lost`: replies to conditional writes, and these writes themselves, may be lost.
    - `freeze`: one writer at a time may be frozen between looking at its clock and the write that follows. Until it has
      taken step 6 nothing is expected of its version; nor does it die, unless `die_frozen`.
    - `repairs`: a repair may list any pack at any time, however young, be it needed or not.
    - `now`: collection may ask for the remote for itself, at any time; it is let go by the run that deletes then, or by
      anybody at any time.
    - `low`: `grace` may be lowered to that at any time, and raised again; 0: it isn't.
    """

    versions: int = 1
    packs: int = 2
    writers: int = 1
    collectors: int = 1
    grace: int = 2
    jobs: tuple[str, ...] = ("tag",)
    freeze: bool = False
    lost: bool = False
    now: bool = False
    living: bool = False
    old: int = 1
    uploads: bool = True
    die_frozen: bool = False
    apart: bool = False
    pins: bool = False
    low: int = 0
    repairs: bool = False

    @property
    def half(self) -> int:
        """Half of `grace`."""
        return self.grace // 2
