"""Following one delivery, run, item or change through the tables: what led to it, and what it led to. Read only.

Rows are dictionaries whose keys are the columns; a moment that never comes is None.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from outbox.postgres import Pool
from outbox.retention import HISTORY as HISTORY_KEPT
from outbox.retention import RECEIPTS, RUNS
from schemas.identity import change_id, item_id
from schemas.providers import KINDS

T = TypeVar("T")

Row = dict[str, Any]

TRIES: Final = 20
"""Runs that are shown of one delivery: the last is the one that had seen it and ended well."""
TIMES: Final = 20
"""Receipts that are shown of one delivery: its provider may repeat it, and an account may be connected several times."""
SEEN: Final = 20
"""Deliveries that are shown of one run that was the first to see them."""
SEARCHED: Final = 100_000
"""Receipts of everybody that are looked through for those: the newest before the run, as far back as the run before it."""
LATEST: Final = timedelta(seconds=30)
"""A receipt is at most so much older than its commit: a transaction may last no longer."""
FEW: Final = 100
"""Connections among which a provider's own id is looked for unasked: each may be the one that has it, and there is no index."""
STRAY: Final = timedelta(days=1)
"""A version is at most so far ahead of the moment it was recorded at: by as much as a fail-over set the clock back."""

DELIVERIES = """
select r.delivery_id, r.provider, r.event, r.account, r.received_at, r.accepted_at, r.outcome, r.reason,
    p.detail as parked_detail, r.topic, r.partition, r."offset", r.tenant_id, r.connection_id, r.cursor_id, r.wanted,
    r.subscription_id, r.message, r.trace, c.resource, coalesce(c.done >= r.wanted, false) as synced,
    w.external_id as announces, case when w.id is null then null
        else w.status in ('pending', 'active') and coalesce(w.expires_at > r.accepted_at, true) end as subscription_lives
from receipts r
left join parked p on r.outcome = 'parked' and p.parked_at = r.accepted_at
    and p.source = r.topic || '/' || r.partition || '/' || r."offset"
left join sync_cursors c on c.id = r.cursor_id
left join webhook_subscriptions w on w.id = r.subscription_id
where r.delivery_id = $1 order by r.accepted_at, r."offset", r.match limit $2"""

WAITING = """
select c.id as cursor_id, c.connection_id, c.resource, c.wanted, c.done, c.closed, c.attempts, c.last_error,
    nullif(c.due_at, 'infinity') as due_at, nullif(nullif(c.not_before, '-infinity'), 'infinity') as not_before,
    c.due_at = 'infinity' as halted, case when c.leased_until > now() then c.owner end as leased_by
from sync_cursors c where c.id = $1"""

RUN = """
select r.run_id, r.outcome, r.started_at, r.ended_at, r.detail, r.found_by, r.causation_id, r.tenant_id, r.connection_id,
    r.cursor_id, r.resource, r.wanted, r.created, r.updated, r.deleted, r.rejected,
    r.wanted - b.wanted as deliveries, b.wanted as wanted_before, b.started_at as started_before
from sync_runs r left join lateral (
    select b.wanted, b.started_at from sync_runs b where b.cursor_id = r.cursor_id and b.outcome = 'done'
        and b.ended_at < r.ended_at order by b.ended_at desc limit 1) b on true """
RUN_BY_ID = RUN + "where r.run_id = $1 limit 1"
RUNS_BY_CAUSE = RUN + "where r.causation_id = $1 order by r.ended_at limit $2"
HAD_SEEN = RUN + "where r.cursor_id = $1 and r.ended_at >= $2 and r.wanted >= $3 and "
ENDED_WELL = HAD_SEEN + "r.outcome in ('done', 'closed') order by r.ended_at limit 1"
TRIED = (
    HAD_SEEN
    + """r.outcome not in ('done', 'closed') and r.ended_at < coalesce($4::timestamptz, 'infinity')
order by r.ended_at desc limit $5"""
)

# No index leads from a cursor to its receipts, and none is needed: a run follows what asked for it within seconds.
SAW = """
select r.delivery_id, r.event, r.accepted_at, r.topic, r.partition, r."offset", r.wanted, count(*) over () as altogether
from (select * from receipts where accepted_at between $2 and $3 order by accepted_at desc limit $6) r
where r.cursor_id = $1 and r.wanted > $4 and r.wanted <= $5 order by r.accepted_at, r."offset", r.match limit $7"""

# A run that died left what it had committed, and no row of its own; nor has one that is under way.
WITHOUT_ROW = """
select h.run_id, min(h.recorded_at) as started_at, max(h.recorded_at) as ended_at, min(h.found_by) as found_by,
    min(h.causation_id) as causation_id, h.tenant_id, h.connection_id, c.id as cursor_id, c.resource,
    case when c.leased_until > now() and c.last_start <= min(h.recorded_at) then 'under way' else 'cut short' end as outcome
"""
SINCE = """
from (select * from sync_history where tenant_id = $1 and connection_id = $2 and recorded_at >= $3 and recorded_at < $4
      order by recorded_at desc limit 10000) h
join integration_data_mapping m on m.tenant_id = h.tenant_id and m.item_id = h.item_id and m.cursor_id = $5
join sync_cursors c on c.id = m.cursor_id
where not exists (select from sync_runs r where r.run_id = h.run_id)
group by h.run_id, h.tenant_id, h.connection_id, c.id order by 2 limit $6"""
CUT_SHORT = WITHOUT_ROW + SINCE
OF_CHANGES = (
    WITHOUT_ROW
    + """
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::uuid[])
    h(tenant_id, connection_id, run_id, recorded_at, found_by, causation_id, item_id)
left join integration_data_mapping m on m.tenant_id = h.tenant_id and m.item_id = h.item_id
left join sync_cursors c on c.id = m.cursor_id
group by h.run_id, h.tenant_id, h.connection_id, c.id order by 2"""
)

HISTORY = """
select h.item_id, h.version, h.prev_version, h.kind, h.action, h.changed, h.external_id, h.recorded_at, h.found_by,
    h.run_id, h.causation_id, h.tenant_id, h.connection_id"""
OF_A_RUN = (
    HISTORY
    + """, count(*) over () as altogether from sync_history h
where h.tenant_id = $1 and h.connection_id = $2 and h.recorded_at between $3 and $4 and h.run_id = $5
order by h.recorded_at, h.version, h.item_id limit $6"""
)
OF_A_LOST_RUN = (
    HISTORY
    + """, count(*) over () as altogether from sync_history h
where h.run_id = $1 order by h.recorded_at, h.version, h.item_id limit $2"""
)
VERSION = (
    HISTORY
    + """ from sync_history h where h.tenant_id = $1 and h.connection_id = $2 and h.recorded_at between $3 and $4
    and h.item_id = $5 and h.version = $6 order by h.recorded_at desc limit 1"""
)

ITEM_BY_ID = """
select t.tenant_id from (select distinct tenant_id from user_profiles) t
where exists (select from integration_data_mapping m where m.tenant_id = t.tenant_id and m.item_id = $1)"""
ITEMS = """
select m.item_id, m.tenant_id, m.connection_id, m.cursor_id, m.kind, m.external_id, m.version, m.deleted, m.part_of,
    m.updated_at, coalesce(m.snapshot ->> 'title', m.snapshot ->> 'name') as name
from integration_data_mapping m join unnest($1::uuid[], $2::uuid[]) i(tenant_id, item_id) using (tenant_id, item_id)"""

# A batch of a lane stands in its topic row after row, of one kind: what stands before a row in it are those with lower numbers.
PLACES = """
select o.item_id, o.version, o.lane, o.seq, p.topic, p.partition, p.published_at,
    p.first_offset + (select count(*) from outbox b
        where b.lane = o.lane and b.kind = o.kind and b.seq >= p.first_seq and b.seq < o.seq) as "offset",
    l.head, l.published, case when l.leased_until > now() then l.owner end as relay
from unnest($1::uuid[], $2::bigint[]) c(item_id, version)
join outbox o on o.item_id = c.item_id and o.version = c.version
join outbox_lanes l on l.lane = o.lane
left join lateral (
    select * from outbox_published p where p.lane = o.lane and p.kind = o.kind and p.last_seq >= o.seq
    order by p.last_seq, p.published_at limit 1) p on p.first_seq <= o.seq"""

CONNECTED = """
select tenant_id, provider, account from integration_connections where $1::uuid is null or id = $1 limit $2"""

ELSEWHERE = """
select 'connection' from integration_connections where id = $1
union all select 'subscription' from webhook_subscriptions where id = $1 limit 1"""


@dataclass(slots=True)
class Trail:
    """What belongs to an id. `found` says what the id is the id of; `left_off` counts changes beyond the most asked for.

    A run's `outcome` is that of its row, or `cut short` or `under way` where it has none: then it is known from its first
    to its last change only. `saw` are the deliveries that one that ended well was the first to see, `saw_left_off` counts
    those beyond `SEEN`.

    A change's `state` is `published` (its `topic`, `partition` and `offset` say where, unless that was not noted),
    `waiting` (in its lane, whose `relay` publishes it) or `dropped` (the outbox no longer holds it).
    """

    found: list[str] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)
    left_off: int = 0
    items: list[Row] = field(default_factory=list)


async def follow(pool: Pool, sought: str, most: int, connection_id: UUID | None = None) -> Trail:
    """Everything that belongs to a delivery, run, item or change, or to whatever they name as their cause.

    An item may be named as its provider names it, where its connection is given or there are only a `FEW`. At most `most`
    changes of each run, or of an item. Raises LookupError, which says what was searched, when nothing has
    this id.
    """
    sought = sought.encode(errors="replace").decode().replace("\0", "")
    trail = Trail()
    await _of_a_delivery(pool, trail, sought, most)
    item, version = _item_and_version(sought)
    if version is not None and item is not None:
        await _of_a_change(pool, trail, item, version)
    elif item is not None:
        await _of_a_run(pool, trail, item, most)
        await _of_an_item(pool, trail, item, most)
    if not trail.found:
        await _of_a_cause(pool, trail, sought, most)
    if not trail.found:
        await _of_an_external_id(pool, trail, sought, most, connection_id)
    if not trail.found and item is not None:
        await _of_a_lost_run(pool, trail, item, most)
    if not trail.found:
        raise LookupError(await _nothing(pool, sought, item))
    await _lead_back(pool, trail)
    await _add_seen(pool, trail)
    await _add_items(pool, trail)
    await _add_places(pool, trail)
    return trail


def _item_and_version(sought: str) -> tuple[UUID | None, int | None]:
    """An item or run id, with a version where it is a change's."""
    item, dot, version = sought.partition(".")
    try:
        uuid = UUID(item)
    except ValueError:
        return None, None
    if not dot:
        return uuid, None
    known = version.isascii() and version.isdigit() and len(version) < len(str(1 << 63))
    return (uuid, int(version)) if known else (None, None)


async def _nothing(pool: Pool, sought: str, uuid: UUID | None) -> str:
    what = await pool.fetchval(ELSEWHERE, uuid)
    if what == "connection":
        return f"{sought} is a connection: lifeos connections show {sought}"
    if what == "subscription":
        return f"{sought} is a subscription: lifeos watches list shows it"
    return (
        f"nothing has the id {sought}: searched receipts (kept {RECEIPTS.keep.days} days), runs ({RUNS.keep.days} days), "
        f"items and changes ({HISTORY_KEPT.keep.days} days), by their own ids, by what caused "
        f"them, and by a provider's own ids (beyond {FEW} connections only with --connection)"
    )


# From one thing to the next ------------------------------------------------------------------------------------------


async def _of_a_delivery(pool: Pool, trail: Trail, sought: str, most: int) -> None:
    receipts = await _rows(pool, DELIVERIES, sought, TIMES)
    if not receipts:
        return
    trail.found.append("delivery")
    trail.deliveries += receipts
    for receipt in receipts:
        if receipt["outcome"] == "wanted":
            await _add_runs_of(pool, trail, receipt, most)


async def _add_runs_of(pool: Pool, trail: Trail, receipt: Row, most: int) -> None:
    """The runs that had seen a delivery, up to the first that ended well; what its cursor waits for where none has."""
    seen = (receipt["cursor_id"], receipt["accepted_at"], receipt["wanted"])
    ended = await _rows(pool, ENDED_WELL, *seen)
    tries = await _rows(pool, TRIED, *seen, ended[0]["ended_at"] if ended else None, TRIES)
    runs = [*reversed(tries), *ended]
    until = runs[-1]["started_at"] if ended else datetime.now(UTC) + STRAY
    window = (receipt["tenant_id"], receipt["connection_id"], receipt["accepted_at"], until)
    lost = await _rows(pool, CUT_SHORT, *window, receipt["cursor_id"], TRIES)
    for run in [_uncounted(run) for run in lost] + runs:
        await _add_run(pool, trail, run, most)
    if not ended:
        trail.waiting += await _rows(pool, WAITING, receipt["cursor_id"])


def _uncounted(run: Row) -> Row:
    """A run without a row, as one with it."""
    unknown = ("detail", "wanted", "created", "updated", "deleted", "rejected", "deliveries")
    return run | dict.fromkeys((*unknown, "wanted_before", "started_before"))


async def _of_a_run(pool: Pool, trail: Trail, run_id: UUID, most: int) -> None:
    for run in await _rows(pool, RUN_BY_ID, run_id):
        trail.found.append("run")
        await _add_run(pool, trail, run, most)


async def _of_a_cause(pool: Pool, trail: Trail, sought: str, most: int) -> None:
    for run in await _rows(pool, RUNS_BY_CAUSE, sought, TRIES):
        trail.found = ["cause"]
        await _add_run(pool, trail, run, most)


async def _add_run(pool: Pool, trail: Trail, run: Row, most: int) -> None:
    if any(run["run_id"] == known["run_id"] for known in trail.runs):
        return
    trail.runs.append(run)
    window = (run["tenant_id"], run["connection_id"], run["started_at"], run["ended_at"])
    _add_changes(trail, await _rows(pool, OF_A_RUN, *window, run["run_id"], most))


async def _of_a_lost_run(pool: Pool, trail: Trail, run_id: UUID, most: int) -> None:
    """By its changes alone. There is no index for that, so it is looked for last."""
    rows = await _rows(pool, OF_A_LOST_RUN, run_id, most)
    if rows:
        trail.found.append("run")
        _add_changes(trail, rows)


async def _of_an_item(pool: Pool, trail: Trail, uuid: UUID, most: int) -> None:
    """Its newest changes, followed back from version to version."""
    for (tenant_id,) in await pool.fetch(ITEM_BY_ID, uuid):
        trail.found.append("item")
        for row in await _rows(pool, ITEMS, [tenant_id], [uuid]):
            version = row["version"]
            for _ in range(most):
                change = await _version(pool, row, version) if version is not None else None
                if change is None:
                    break
                _add_changes(trail, [change])
                version = change["prev_version"]


async def _of_an_external_id(pool: Pool, trail: Trail, sought: str, most: int, connection_id: UUID | None) -> None:
    """The items that a provider calls so: their ids follow from it, so that they are found without having been noted."""
    asked = await pool.fetch(CONNECTED, connection_id, FEW + 1)
    if len(asked) > FEW:
        return
    named = [
        (tenant, item_id(tenant, provider, account, kind, sought))
        for tenant, provider, account in asked
        for kind in KINDS
    ]
    for row in await pool.fetch(ITEMS, [tenant for tenant, _ in named], [item for _, item in named]):
        await _of_an_item(pool, trail, row["item_id"], most)


async def _of_a_change(pool: Pool, trail: Trail, uuid: UUID, version: int) -> None:
    for (tenant_id,) in await pool.fetch(ITEM_BY_ID, uuid):
        for row in await _rows(pool, ITEMS, [tenant_id], [uuid]):
            if change := await _version(pool, row, version):
                trail.found.append("change")
                _add_changes(trail, [change])


async def _version(pool: Pool, item: Row, version: int) -> Row | None:
    """The change that made this version. A version is the microsecond it was recorded at, or a later one."""
    try:
        at = datetime.fromtimestamp(version // 1_000_000, UTC) + timedelta(microseconds=version % 1_000_000)
    except (ValueError, OverflowError, OSError):
        return None
    window = (item["tenant_id"], item["connection_id"], at - STRAY, at)
    rows = await _rows(pool, VERSION, *window, item["item_id"], version)
    return rows[0] if rows else None


def _add_changes(trail: Trail, rows: Sequence[Row]) -> None:
    if rows:
        trail.left_off += rows[0].get("altogether", len(rows)) - len(rows)
    known = {change["change_id"] for change in trail.changes}
    for row in rows:
        row.pop("altogether", None)
        change = {"change_id": change_id(row["item_id"], row["version"])} | row
        if change["change_id"] not in known:
            trail.changes.append(change)


async def _rows(pool: Pool, statement: str, *arguments: object) -> list[Row]:
    return [dict(row) for row in await pool.fetch(statement, *arguments)]


# What stands around it -----------------------------------------------------------------------------------------------


async def _lead_back(pool: Pool, trail: Trail) -> None:
    """From changes to their runs, and from runs to the deliveries that caused them."""
    known = {run["run_id"] for run in trail.runs}
    for run_id in _once(change["run_id"] for change in trail.changes if change["run_id"] not in known):
        trail.runs += await _rows(pool, RUN_BY_ID, run_id) or await _without_row(pool, trail, run_id)
    told = {delivery["delivery_id"] for delivery in trail.deliveries}
    for cause in _once(thing["causation_id"] for thing in (*trail.runs, *trail.changes)):
        if cause not in told:
            receipts = await _rows(pool, DELIVERIES, cause, TIMES)
            ours = {run["cursor_id"] for run in trail.runs} - {None}
            trail.deliveries += [receipt for receipt in receipts if not ours or receipt["cursor_id"] in ours]


async def _without_row(pool: Pool, trail: Trail, run_id: UUID) -> list[Row]:
    """A run as its changes tell of it."""
    changes = [change for change in trail.changes if change["run_id"] == run_id]
    names = ("tenant_id", "connection_id", "run_id", "recorded_at", "found_by", "causation_id", "item_id")
    rows = await _rows(pool, OF_CHANGES, *([change[name] for change in changes] for name in names))
    return [_uncounted(row) for row in rows[:1]]


async def _add_seen(pool: Pool, trail: Trail) -> None:
    """What each run was the first to see: one run is for many deliveries, and names one of them as its cause."""
    for run in trail.runs:
        before, since = run.pop("wanted_before"), run.pop("started_before")
        run |= {"saw": [], "saw_left_off": 0}
        if run["outcome"] in ("done", "closed"):
            since = since or run["started_at"] - RECEIPTS.keep
            reach = (since - LATEST, run["started_at"], before or 0, run["wanted"])
            rows = await _rows(pool, SAW, run["cursor_id"], *reach, SEARCHED, SEEN)
            run["saw_left_off"] = rows[0]["altogether"] - len(rows) if rows else 0
            run["saw"] = [{name: row[name] for name in row if name != "altogether"} for row in rows]


def _once(things: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(things))


async def _add_items(pool: Pool, trail: Trail) -> None:
    named = _once((change["tenant_id"], change["item_id"]) for change in trail.changes)
    trail.items += await _rows(pool, ITEMS, [tenant for tenant, _ in named], [item for _, item in named])


async def _add_places(pool: Pool, trail: Trail) -> None:
    """Where each change stands in the outbox and in its topic; and from here on, the order in which they were committed."""
    ids = [change["item_id"] for change in trail.changes]
    rows = await _rows(pool, PLACES, ids, [change["version"] for change in trail.changes])
    places = {(row["item_id"], row["version"]): row for row in rows}
    for change in trail.changes:
        place = places.get((change["item_id"], change["version"]))
        change |= place or dict.fromkeys(
            ("lane", "seq", "topic", "partition", "published_at", "offset", "head", "published", "relay")
        )
        change["state"] = _state(place)
    trail.changes.sort(key=lambda change: (change["recorded_at"], change["seq"] or 0))


def _state(place: Row | None) -> str:
    if place is None:
        return "dropped"
    return "published" if place["topic"] or place["seq"] <= place["published"] else "waiting"
