"""The one lease: a row is owned until a moment of the database's clock, under an epoch that grows with every owner.

A lease tells who should work; the fence decides who may commit. A holder that was stopped and wakes after its lease has
gone to another finds its epoch stale and commits nothing, however long it slept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from asyncpg import LockNotAvailableError

from outbox.postgres import Connection, Pool
from schemas.providers import PROVIDERS, Provider

LEASE: Final = timedelta(seconds=5)
RENEW_SECONDS: Final = 1.5
EACH: Final = 4
"""One account with hundreds of resources, none of which answers, must not keep the places of all others."""
LOOKED_AT: Final = 5_000
"""Due rows among which a claim chooses: more of one account's than that would hide those of others behind them."""
WHOSE: Final = "tenant_id, connection_id"
PATIENCE_MS: Final = 750
"""How long a statement about many leased rows waits for one that somebody else keeps locked."""


class FenceLost(RuntimeError):
    """Another owner has taken over. Nothing of this transaction may be committed."""


@dataclass(frozen=True, slots=True)
class Leasable:
    """A table whose rows are leased: it has the columns `owner`, `epoch` and `leased_until`.

    `ready` says which free rows may be claimed, `order` which first. `log_name` is what logs call the key. `whose` are the
    columns that say to whom a row belongs; at most `EACH` rows of one owner are claimed at a time.
    """

    table: str
    key: str
    key_type: str
    ready: str
    order: str
    log_name: str
    whose: str | None = None

    def of(self, provider: Provider) -> "Leasable":
        """Its rows of one provider, where it has the column: whose rows are due first must not be a matter of whose API hangs."""
        assert provider in PROVIDERS
        return replace(self, ready=f"provider = '{provider}' and {self.ready}")


CURSORS: Final = Leasable(
    "sync_cursors", "id", "uuid", ready="due_at <= now()", order="due_at", log_name="cursor_id", whose=WHOSE
)
LANES: Final = Leasable("outbox_lanes", "lane", "smallint", ready="true", order="lane", log_name="lane")


class Held(NamedTuple):
    """A lease that was claimed: the row's key and the epoch under which its holder commits."""

    key: Any
    epoch: int


# The names below come from literals and nowhere else.
CLAIM = """
with free as (
    select {key} from {table} where {ready} and leased_until < now()
    order by {order} limit $2 for update skip locked)
update {table} t set owner = $1, epoch = t.epoch + 1, leased_until = now() + $3
from free where t.{key} = free.{key}
returning t.{key}, t.epoch"""

CLAIM_SOME_OF_EACH = """
with due as materialized (
    select {key}, {order}, {whose} from {table} where {ready} and leased_until < now() order by {order} limit {looked_at}),
busy as (
    select {whose}, count(*) as rows from {table}
    where ({whose}) in (select {whose} from due) and leased_until >= now() group by {whose}),
ranked as (
    select {key}, coalesce(busy.rows, 0) + row_number() over (partition by {whose} order by {order}) as nth
    from due left join busy using ({whose})),
free as (
    select t.{key} from {table} t join ranked r using ({key}) where r.nth <= {each} and {ready} and leased_until < now()
    order by t.{order} limit $2 for update of t skip locked)
update {table} t set owner = $1, epoch = t.epoch + 1, leased_until = now() + $3
from free where t.{key} = free.{key}
returning t.{key}, t.epoch"""

# Whoever works under a lease, or takes numbers from a lane, locks its row meanwhile. Those locks are short, so waiting is
# right: passing over a busy row would in the end lose its lease. But one that is kept long must not cost the others theirs.
RENEW = """
with patience as materialized (select set_config('lock_timeout', $5, true)),
mine as (
    select t.{key} from patience, {table} t join unnest($2::{key_type}[], $3::bigint[]) h(key, epoch)
        on t.{key} = h.key and t.epoch = h.epoch
    where t.owner = $1 order by t.{key} for no key update of t)
update {table} t set leased_until = now() + $4 from mine where t.{key} = mine.{key}
returning t.{key}, t.epoch"""

RENEW_FREE = """
with held as (
    select t.{key}, t.epoch from {table} t join unnest($2::{key_type}[], $3::bigint[]) h(key, epoch)
        on t.{key} = h.key and t.epoch = h.epoch
    where t.owner = $1),
mine as (
    select t.{key} from {table} t join held using ({key}, epoch)
    where t.owner = $1 for no key update of t skip locked),
renewed as (update {table} t set leased_until = now() + $4 from mine where t.{key} = mine.{key})
select {key}, epoch from held"""

RELEASE = """
with mine as (
    select t.{key} from {table} t join unnest($2::{key_type}[], $3::bigint[]) h(key, epoch)
        on t.{key} = h.key and t.epoch = h.epoch
    where t.owner = $1 order by t.{key} for update of t)
update {table} t set owner = null, leased_until = '-infinity' from mine where t.{key} = mine.{key}"""

RELEASE_ALL = """
with mine as (select {key} from {table} where owner = $1 order by {key} for update)
update {table} t set owner = null, leased_until = '-infinity' from mine where t.{key} = mine.{key}"""

FENCE = "select 1 from {table} where {key} = $1 and epoch = $2 for no key update"


def _sql(template: str, what: Leasable) -> str:
    return template.format(
        table=what.table,
        key=what.key,
        key_type=what.key_type,
        ready=what.ready,
        order=what.order,
        whose=what.whose,
        each=EACH,
        looked_at=LOOKED_AT,
    )


async def claim(pool: Pool, what: Leasable, owner: str, most: int, lease: timedelta = LEASE) -> list[Held]:
    """Takes at most `most` free rows that are ready, in order; rows that others are just taking are passed over."""
    statement = CLAIM if what.whose is None else CLAIM_SOME_OF_EACH
    rows = await pool.fetch(_sql(statement, what), owner, most, lease)
    return [Held(row[0], row[1]) for row in rows]


async def renew(pool: Pool, what: Leasable, owner: str, held: Iterable[Held], lease: timedelta = LEASE) -> list[Held]:
    """Prolongs what is still ours and returns it; what is missing from the answer has gone to another.

    A row that somebody keeps locked is returned, and is not prolonged before the next time.
    """
    keys, epochs = _columns(held)
    try:
        rows = await pool.fetch(_sql(RENEW, what), owner, keys, epochs, lease, str(PATIENCE_MS))
    except LockNotAvailableError:
        rows = await pool.fetch(_sql(RENEW_FREE, what), owner, keys, epochs, lease)
    return [Held(row[0], row[1]) for row in rows]


async def release(pool: Pool, what: Leasable, owner: str, held: Iterable[Held]) -> None:
    """Gives back what is still ours, so that another may claim it at once."""
    keys, epochs = _columns(held)
    await pool.execute(_sql(RELEASE, what), owner, keys, epochs)


async def release_all(pool: Pool, what: Leasable, owner: str) -> None:
    """Gives back everything, what a claim that was cut short has taken too: an owner's name is its own for ever."""
    await pool.execute(_sql(RELEASE_ALL, what), owner)


async def fence(connection: Connection, what: Leasable, held: Held) -> None:
    """Locks the row for this transaction if it is still ours. Raises `FenceLost`."""
    if await connection.fetchval(_sql(FENCE, what), held.key, held.epoch) is None:
        raise FenceLost(f"{what.table} {held.key}: epoch {held.epoch} is over")


def _columns(held: Iterable[Held]) -> tuple[Sequence[Any], Sequence[int]]:
    rows = list(held)
    return [row.key for row in rows], [row.epoch for row in rows]
