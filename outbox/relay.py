"""The relay: outbox rows to `changes.*`, in the order of their lanes.

It reads what follows `published` in the lanes it holds, sends it, waits for every acknowledgement and moves `published`
under its epoch. Whatever happens in between, the next reader starts from `published`: rows may be sent again, never
skipped, and a first occurrence is always in order.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import orjson
from asyncpg import LockNotAvailableError

from outbox import lease
from outbox.failpoint import reach
from outbox.hint import CHANNEL
from outbox.kafka import Acknowledged, KafkaError, KafkaUnavailable, Producer, Record
from outbox.lease import LANES, LEASE, PATIENCE_MS, RENEW_SECONDS, Held
from outbox.postgres import TRANSIENT, UNAVAILABLE, Pool, Row, connection
from schemas import topics, tracing
from schemas.settings import KafkaSettings
from schemas.telemetry import LANES_HELD, OUTBOX_BEHIND, PRODUCER_REBUILDS, PUBLISHED, RELAY_CYCLE

log = logging.getLogger(__name__)

ROWS: Final = 5_000
"""Rows of one cycle, shared by the lanes that are behind."""
LEAST: Final = 20
"""Rows of one lane in a cycle, however many lanes are behind."""
BYTES: Final = 16 << 20
"""Bytes of one cycle, shared likewise: what it holds in memory is bounded whatever a row weighs. One row always fits."""
SEND_SECONDS: Final = 10.0
"""After so long without an acknowledgement the producer is thrown away."""
BUSY_SECONDS: Final = 0.005
IDLE_SECONDS: Final = 1.0
STAYS_BUSY: Final = 10
"""Empty looks, a few milliseconds apart, after which the relay goes to sleep."""
STUCK_SECONDS: Final = 3.0
"""So long the relay leaves a lane alone that a writer keeps locked, since it would only send the same rows again."""

READ = """
with behind as (
    select l.lane, l.published, count(*) over () as lanes
    from unnest($1::smallint[]) mine(lane) join outbox_lanes l using (lane) where l.head > l.published)
select o.lane, o.seq, o.kind, o.item_id, o.headers, o.value
from behind b cross join lateral (
    select o.*, sum(octet_length(o.value)) over (order by o.seq) - octet_length(o.value) as bytes_before
    from outbox o where o.lane = b.lane and o.seq > b.published
    order by o.seq limit greatest($3, $2 / b.lanes)) o
where o.bytes_before < $4 / b.lanes
order by o.lane, o.seq"""

# A writer locks its lanes from its last statement to its commit, so waiting for them is right. One that stands still in
# between must not hold up the other lanes: after `PATIENCE_MS` those are advanced without its own.
ADVANCE = """
with patience as materialized (select set_config('lock_timeout', $12, true)),
done as (select * from unnest($2::smallint[], $3::bigint[], $4::bigint[]) d(lane, epoch, published)),
mine as (
    select l.lane from patience, outbox_lanes l join done d on l.lane = d.lane and l.epoch = d.epoch
    where l.owner = $1 and l.published < d.published order by l.lane for no key update of l),
moved as (
    update outbox_lanes l set published = d.published from done d join mine using (lane) where l.lane = d.lane
    returning l.lane),
noted as (
    insert into outbox_published (lane, first_seq, last_seq, kind, topic, partition, first_offset)
    select n.* from unnest($5::smallint[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::int[], $11::bigint[])
        n(lane, first_seq, last_seq, kind, topic, partition, first_offset)
    where n.lane in (select lane from moved))
select lane from moved"""
ADVANCE_FREE = ADVANCE.replace("for no key update of l", "for no key update of l skip locked")

PRESENT = """
insert into outbox_relays (owner, seen_until) values ($1, now() + $2)
on conflict (owner) do update set seen_until = excluded.seen_until"""
SHARE = "select ceil(256.0 / greatest(1, count(*)))::int from outbox_relays where seen_until > now()"
LEAVE = "delete from outbox_relays where owner = $1 or seen_until < now() - interval '1 minute'"
ENDING = """
select extract(epoch from min(leased_until) - now())::float8 from outbox_lanes where owner <> $1 and leased_until > now()"""
BEHIND = "select coalesce(sum(head - published), 0)::bigint from outbox_lanes"


class Noted(NamedTuple):
    """Rows `first_seq` to `last_seq` of one lane and kind stand from `first_offset` on, one after the other."""

    lane: int
    first_seq: int
    last_seq: int
    kind: str
    topic: str
    partition: int
    first_offset: int


class Relay:
    """One relay process. Any number may run: each takes its share of the lanes, and takes over from one that dies.

    `read` and `advance` are other statements only where a test proves that it would notice.
    """

    def __init__(
        self, pool: Pool, dsn: str, settings: KafkaSettings, owner: str, *, read: str = READ, advance: str = ADVANCE
    ) -> None:
        self._pool = pool
        self._dsn = dsn
        self._settings = settings
        self._owner = owner
        self._read = read
        self._advancing = advance
        self._held: dict[int, int] = {}
        self._stuck: dict[int, float] = {}
        self._portion = 1
        self._producer: Producer | None = None
        self._partitions: dict[str, int] = {}
        self._hinted = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends `run` after the cycle that is under way."""
        self._stopping.set()
        self._hinted.set()

    async def run(self) -> None:
        """Relays until `stop`, then gives its lanes back. Raises what none of its tasks can wait out."""
        tasks = [asyncio.create_task(work) for work in (self._cycles(), self._keep_lanes(), self._listen())]
        try:
            # Only the first ends by itself. If another does, it failed, and without it the relay would just fall silent.
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leave()

    async def _cycles(self) -> None:
        empty = 0
        while not self._stopping.is_set():
            try:
                found = await self.cycle()
            except (*UNAVAILABLE, *TRANSIENT, KafkaUnavailable, KafkaError) as error:
                log.warning("relay waits", extra={"detail": f"{type(error).__name__}: {error}"[:200]})
                await self._throw_away(error)
                await asyncio.sleep(0.2)
                continue
            empty = 0 if found else empty + 1
            if not found:
                await self._rest(BUSY_SECONDS if empty < STAYS_BUSY else IDLE_SECONDS)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hinted.wait()
        self._hinted.clear()

    async def cycle(self) -> int:
        """Reads, sends and advances once. Returns how many rows were published."""
        held = self._free_to_read()
        rows = await self._read_rows(list(held)) if held else []
        if not rows:
            return 0
        with RELAY_CYCLE.time():
            reach("relay.before_send")
            noted = await self._sent(rows)
            reach("relay.before_advance")
            await self._advance(held, rows, noted)
            reach("relay.after_advance")
        return len(rows)

    async def _read_rows(self, lanes: Sequence[int]) -> list[Row]:
        rows, least, size = (max(1, whole // self._portion) for whole in (ROWS, LEAST, BYTES))
        return list(await self._pool.fetch(self._read, lanes, rows, least, size))

    async def _sent(self, rows: Sequence[Row]) -> list[Noted]:
        """Sends a cycle. What a slow Kafka does not take in time is halved, until it does: else it would be sent for ever."""
        try:
            noted = await self._send(rows)
        except TimeoutError:
            self._portion = min(self._portion * 2, ROWS)
            raise
        self._portion = max(1, self._portion // 2)
        return noted

    async def _send(self, rows: Sequence[Row]) -> list[Noted]:
        """Sends each partition's rows in their order, the partitions side by side."""
        producer = await self._connected()
        places: dict[tuple[str, int], list[Row]] = {}
        for row in rows:
            places.setdefault(await self._place(producer, row["kind"], row["lane"]), []).append(row)
        with tracing.Spans("relay") as spans:
            records = {place: (_record(row, spans) for row in some) for place, some in places.items()}
            async with asyncio.timeout(SEND_SECONDS):
                sent = await asyncio.gather(*(producer.send(*place, some) for place, some in records.items()))
        return [
            noted
            for (place, some), acknowledged in zip(places.items(), sent, strict=True)
            for noted in _note(place, some, acknowledged)
        ]

    async def _place(self, producer: Producer, kind: str, lane: int) -> tuple[str, int]:
        topic = topics.changes(kind, self._settings.topic_prefix)
        if topic not in self._partitions:
            self._partitions[topic] = await producer.partitions(topic)
        return topic, topics.partition(lane, self._partitions[topic])

    async def _advance(self, held: Mapping[int, int], rows: Sequence[Row], noted: Sequence[Noted]) -> None:
        last = {row["lane"]: row["seq"] for row in rows}
        epochs = [held[lane] for lane in last]
        done = (self._owner, list(last), epochs, list(last.values()), *map(list, zip(*noted, strict=True)))
        try:
            moved = await self._pool.fetch(self._advancing, *done, str(PATIENCE_MS))
        except LockNotAvailableError:
            moved = await self._pool.fetch(ADVANCE_FREE, *done, str(PATIENCE_MS))
            self._leave_alone(set(last) - {row["lane"] for row in moved})
        else:
            # Their epoch is over: another relay has them, and sends again what this one has just sent.
            gone = set(last) - {row["lane"] for row in moved}
            self._forget([Held(lane, held[lane]) for lane in gone], ())
        for kind, count in Counter(row["kind"] for row in rows).items():
            PUBLISHED.labels(kind).inc(count)

    def _leave_alone(self, lanes: Iterable[int]) -> None:
        until = asyncio.get_running_loop().time() + STUCK_SECONDS
        for lane in lanes:
            log.warning("a writer keeps a lane locked", extra={"lane": lane})
            self._stuck[lane] = until

    def _free_to_read(self) -> dict[int, int]:
        now = asyncio.get_running_loop().time()
        self._stuck = {lane: until for lane, until in self._stuck.items() if until > now}
        return {lane: epoch for lane, epoch in self._held.items() if lane not in self._stuck}

    async def _connected(self) -> Producer:
        if self._producer is None:
            producer = Producer(self._settings)
            await producer.start()
            self._producer = producer
            self._partitions.clear()
        return self._producer

    async def _throw_away(self, error: BaseException) -> None:
        """A producer that failed or hung is not used again; what it may still send is only a repeat."""
        if isinstance(error, (KafkaError, TimeoutError)) and self._producer is not None:
            producer, self._producer = self._producer, None
            PRODUCER_REBUILDS.labels("relay").inc()
            await producer.stop()

    async def _keep_lanes(self) -> None:
        while True:
            ending: float | None = None
            try:
                await self.take_share()
                OUTBOX_BEHIND.set(await self._pool.fetchval(BEHIND))
                ending = await self._pool.fetchval(ENDING, self._owner)
            except (*UNAVAILABLE, *TRANSIENT) as error:
                log.warning("lanes were not renewed", extra={"detail": f"{type(error).__name__}: {error}"[:200]})
            # A relay that lives renews in time; one that died is followed as soon as its leases end.
            await asyncio.sleep(RENEW_SECONDS if ending is None else min(RENEW_SECONDS, ending + 0.01))

    async def take_share(self) -> None:
        """Renews the lanes held, gives back those beyond its share, and takes free ones up to it."""
        await self._pool.execute(PRESENT, self._owner, LEASE)
        share = await self._pool.fetchval(SHARE)
        asked = [Held(lane, epoch) for lane, epoch in self._held.items()]
        renewed = await lease.renew(self._pool, LANES, self._owner, asked)
        self._forget(asked, renewed)
        if len(self._held) > share:
            surplus = [Held(lane, epoch) for lane, epoch in sorted(self._held.items())[share:]]
            self._forget(surplus, ())
            await lease.release(self._pool, LANES, self._owner, surplus)
        elif len(self._held) < share:
            for held in await lease.claim(self._pool, LANES, self._owner, share - len(self._held)):
                self._held[held.key] = held.epoch
            self._hinted.set()
        LANES_HELD.set(len(self._held))

    def _forget(self, asked: Iterable[Held], kept: Iterable[Held]) -> None:
        for held in set(asked) - set(kept):
            if self._held.get(held.key) == held.epoch:
                del self._held[held.key]

    async def _listen(self) -> None:
        """Wakes the relay when a commit hints. Without the connection it still looks once a second."""
        while True:
            with suppress(*UNAVAILABLE):
                await self._listen_once()
            await asyncio.sleep(1)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        async with connection(self._dsn, "relay-hints") as db:
            db.add_termination_listener(lambda _: lost.set())
            await db.add_listener(CHANNEL, lambda *_: self._hinted.set())
            await lost.wait()

    async def _leave(self) -> None:
        try:
            with suppress(*UNAVAILABLE, *TRANSIENT):
                await lease.release_all(self._pool, LANES, self._owner)
                await self._pool.execute(LEAVE, self._owner)
        finally:
            if self._producer is not None:
                await self._producer.stop()


def _record(row: Row, spans: tracing.Spans) -> Record:
    """The record of a row: what was committed, and the trace context of this sending where the change is traced."""
    headers: dict[str, str] = orjson.loads(row["headers"])
    if hop := spans.begin(headers.get("ce_traceparent"), kind=row["kind"], change_id=headers["ce_id"]):
        headers["traceparent"] = hop
    key = headers["ce_subject"].encode()
    return Record(key, row["value"], [(name, text.encode()) for name, text in headers.items()])


def _note(place: tuple[str, int], rows: Sequence[Row], acknowledged: Sequence[Acknowledged]) -> list[Noted]:
    """Where each run of rows of one lane stands; a run ends with its batch."""
    noted: list[Noted] = []
    at = 0
    for offset, count in acknowledged:
        batch = rows[at : at + count]
        at += count
        for lane, group in groupby(batch, key=itemgetter("lane")):
            some = list(group)
            noted.append(Noted(lane, some[0]["seq"], some[-1]["seq"], some[0]["kind"], *place, offset))
            offset += len(some)
    return noted
