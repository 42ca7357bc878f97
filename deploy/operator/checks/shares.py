"""What processes share among them: whether every partition and every lane has somebody, and is worked off."""

import asyncio
from collections.abc import Iterable
from typing import Final

from deploy.operator.checks.finding import STILL, Finding, Ward, bad, ok, some, warn
from deploy.operator.lines import count, span
from outbox import cluster, health
from outbox.cluster import Bounds
from outbox.health import Lanes
from outbox.kafka import Partition

LAG: Final = 10_000
"""Records that are accepted and not handled, in one partition."""
BEHIND_WARN, BEHIND_BAD = 5.0, 30.0
"""Seconds that the oldest unpublished change is old."""


async def partitions(ward: Ward) -> Finding:
    """Whether every partition of deliveries has somebody who handles it, and is handled."""
    found = await cluster.described(ward.kafka, ward.webhooks)
    every = [(topic.name, number) for topic in found.values() for number in range(topic.partitions)]
    if not every:
        return Finding("unknown", "there are no topics of deliveries")
    before = await _handled(ward, every)
    if outside_of := [f"{_named(p)} at {at}" for p, (at, b) in before.items() if not b.first <= at <= b.end]:
        return bad(
            f"positions that their partitions do not reach to: {some(outside_of)}",
            "deploy/docs/operating.md, under When processors refuse to go on, has the statement that mends it",
        )
    held = await _owned(ward, every)
    if alone := [_named(partition) for partition in every if partition not in held]:
        return bad(f"nobody handles {some(alone)}", f"start lifeos processors: group {ward.group} does not hold them")
    behind = {partition: at for partition, (at, bounds) in before.items() if at < bounds.end}
    if behind:
        await asyncio.sleep(STILL)
        after = await _handled(ward, behind)
        if still := [_named(partition) for partition, at in behind.items() if after[partition][0] == at]:
            return bad(f"does not move, and is behind: {some(still)}", "see the log of lifeos processors")
    lag = max((bounds.end - at for at, bounds in before.values()), default=0)
    if lag > LAG:
        return warn(f"{lag} deliveries of one partition are not handled yet", "start more lifeos processors")
    return ok(f"all {len(every)} are held and handled; {count(lag, 'delivery', 'deliveries')} behind at most")


async def _handled(ward: Ward, every: Iterable[Partition]) -> dict[Partition, tuple[int, Bounds]]:
    """The next offset to handle of each partition, and from where to where it reaches."""
    positions = await health.positions(ward.pool, ward.group)
    reach = await cluster.bounds(ward.kafka, list(every))
    at = {partition: positions.get(partition) for partition in reach}
    return {p: (reach[p].first if at[p] is None else at[p] or 0, reach[p]) for p in reach}


async def _owned(ward: Ward, every: Iterable[Partition]) -> set[Partition]:
    """The partitions that members hold; asked twice, as nobody holds any while a group shares them anew."""
    held = set(await cluster.owners(ward.kafka, ward.group))
    if held >= set(every):
        return held
    await asyncio.sleep(STILL)
    return set(await cluster.owners(ward.kafka, ward.group))


def _named(partition: Partition) -> str:
    return f"{partition[0]}/{partition[1]}"


async def lanes(ward: Ward) -> Finding:
    found = await health.lanes(ward.pool)
    if found.unowned or found.oldest_seconds > BEHIND_WARN:
        await asyncio.sleep(STILL)
        found = await health.lanes(ward.pool)
    return judged_lanes(found)


def judged_lanes(found: Lanes) -> Finding:
    behind = (
        f"{count(found.rows, 'change')} in {count(found.behind, 'lane')} not published, the oldest for "
        f"{span(found.oldest_seconds)}"
    )
    if found.unowned:
        rest = f"; {behind}" if found.rows else ""
        return bad(f"nobody holds {found.unowned} of 256{rest}", "start lifeos relay")
    if found.oldest_seconds > BEHIND_BAD:
        return bad(behind, "see the log of lifeos relay, and whether Kafka takes records")
    if found.oldest_seconds > BEHIND_WARN:
        return warn(behind, "see whether it grows: if it does, the log of lifeos relay says why")
    return ok(f"all 256 are held; {count(found.rows, 'change')} not published yet")


async def relays(ward: Ward) -> Finding:
    alive = await health.relays(ward.pool)
    return ok(f"{alive} alive") if alive else bad("none is alive", "start lifeos relay")
