"""What `lifeos doctor` looks at. Each check asks once and says one thing; none depends on another's answer.

`bad`: the service does not do its work, or would lose something. `warn`: it works, and somebody has to do something
before it stops, or for a single account. What an account's provider refuses is never `bad`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from deploy import outside
from deploy.operator.lines import span
from outbox import cluster, health, migrate, retention
from outbox.cluster import Bounds, Described
from outbox.health import Lanes, Server, Subscriptions
from outbox.kafka import SESSION_TIMEOUT_MS, KafkaError, Partition
from outbox.postgres import Pool
from processors.providers import reader
from schemas import topics
from schemas.providers import PROVIDERS
from schemas.settings import (
    BadSettings,
    ConnectSettings,
    DatabaseSettings,
    IngressSettings,
    KafkaSettings,
    MigrateSettings,
    NotSet,
    ProcessorsSettings,
    RelaySettings,
    load,
)

Status = Literal["ok", "warn", "bad", "unknown"]
"""`unknown`: what it asks does not answer or is not there, which a check of its own says."""

CLOCK_WARN, CLOCK_BAD = 1.0, 30.0
"""Seconds. Versions follow the database's clock, token and subscription expiries ours."""
OVERDUE: Final = timedelta(seconds=30)
RETRYING: Final = 3
"""Failed attempts in a row, after which subscribers hear of it, too."""
BEHIND_WARN, BEHIND_BAD = 5.0, 30.0
"""Seconds that the oldest unpublished change is old."""
LAG: Final = 10_000
"""Records that are accepted and not handled, in one partition."""
STILL: Final = 3.0
"""Seconds within which what is behind has to have moved, and a lane to have found a relay."""
NEAR: Final = timedelta(hours=24)
NEAR_SHARE: Final = 0.1
PENDING: Final = timedelta(minutes=5)
LATELY: Final = timedelta(hours=24)
REPLICAS, IN_SYNC = 3, 2
OLDEST_POSTGRESQL: Final = 18
SHORTEST_SESSION: Final = "group.min.session.timeout.ms"
AUTO_CREATION: Final = "auto.create.topics.enable"

PROCESSES: Final[Mapping[str, type[KafkaSettings] | type[DatabaseSettings]]] = {
    "ingress": IngressSettings,
    "processors": ProcessorsSettings,
    "relay": RelaySettings,
    "migrate": MigrateSettings,
    "connections": ConnectSettings,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says, and what to do next where it is not well."""

    status: Status
    said: str
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Ward:
    """What is looked at. A check gets one that has what it needs."""

    variables: Mapping[str, str]
    kafka_settings: KafkaSettings | None
    database_settings: DatabaseSettings | None
    opened: "Pool | None"

    @property
    def kafka(self) -> KafkaSettings:
        assert self.kafka_settings is not None
        return self.kafka_settings

    @property
    def database(self) -> DatabaseSettings:
        assert self.database_settings is not None
        return self.database_settings

    @property
    def pool(self) -> "Pool":
        assert self.opened is not None
        return self.opened

    @property
    def group(self) -> str:
        """The consumer group of `lifeos processors`."""
        return f"{self.kafka.topic_prefix}lifeos.processors"

    @property
    def webhooks(self) -> list[str]:
        return [topics.webhooks(provider, self.kafka.topic_prefix) for provider in PROVIDERS]


def ok(said: str) -> Finding:
    return Finding("ok", said)


def warn(said: str, next_: str) -> Finding:
    return Finding("warn", said, next_)


def bad(said: str, next_: str) -> Finding:
    return Finding("bad", said, next_)


def some(things: Iterable[object], most: int = 3) -> str:
    """The first few of many, and how many more there are."""
    every = [str(thing) for thing in things]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


# Settings ------------------------------------------------------------------------------------------------------------


async def settings(ward: Ward) -> Finding:
    """Whether each process could start with the variables that are here."""
    here = {"LIFEOS_OPS_LISTEN": "127.0.0.1:0"} | dict(ward.variables)
    loaded, absent = [], []
    for process, model in PROCESSES.items():
        try:
            load(model, here)
        except NotSet:
            absent.append(process)
        except BadSettings as error:
            return bad(f"{process}: {error}", "correct it; deploy/docs/settings.md has the formats")
        else:
            loaded.append(process)
    rest = f"; not given here: those of {', '.join(absent)}" if absent else ""
    return ok(f"{', '.join(loaded)} could start with what is set{rest}")


# PostgreSQL ----------------------------------------------------------------------------------------------------------


async def postgresql(ward: Ward) -> Finding:
    asked = await health.server(ward.pool)
    where = f"{outside.postgresql(ward.database)} answers"
    if asked.standby:
        return bad(f"{where} as a standby, which cannot be written", "name the primary in LIFEOS_DATABASE_URL")
    if int(asked.version.split(".")[0]) < OLDEST_POSTGRESQL:
        return bad(f"{where}, version {asked.version}", f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed")
    return ok(f"{where}, version {asked.version}")


async def schema(ward: Ward) -> Finding:
    try:
        await migrate.check(ward.pool)
    except migrate.SchemaDrift as error:
        what, _, next_ = str(error).rpartition(": ")
        return bad(what, next_)
    return ok(f"at version {len(migrate.migrations())}, which is this code's")


async def clock(ward: Ward) -> Finding:
    return judged_clock(await health.clock(ward.pool))


def judged_clock(ahead: float) -> Finding:
    """`ahead`: seconds by which the database's clock is ahead of ours."""
    said = f"PostgreSQL's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    mend = "let both machines follow the same time servers"
    if abs(ahead) > CLOCK_BAD:
        return bad(said, mend)
    return warn(said, mend) if abs(ahead) > CLOCK_WARN else ok("PostgreSQL's clock agrees with ours")


async def durability(ward: Ward) -> Finding:
    return judged_durability(await health.server(ward.pool), ward.database.development)


def judged_durability(server: Server, development: bool) -> Finding:
    """Whether PostgreSQL keeps what it has acknowledged, over a crash and over a fail-over."""
    if development:
        return ok("not judged in development")
    if not (server.fsync and server.full_page_writes):
        return bad("PostgreSQL forgets in a crash what it had committed", "set fsync and full_page_writes to on")
    if server.synchronous_commit in ("off", "local"):
        return bad(f"synchronous_commit is {server.synchronous_commit}", "set it to on, or remove what sets it so")
    if None in server.standbys:
        return warn("whether the standbys are synchronous may not be seen", "grant pg_monitor to our role")
    if "async" in server.standbys and not {"sync", "quorum"} & set(server.standbys):
        return bad("a fail-over to the asynchronous standby loses commits", "set synchronous_standby_names")
    standbys = "with a synchronous standby" if server.standbys else "no standby"
    return ok(f"a commit is on disk before it counts; {standbys}")


async def days(ward: Ward) -> Finding:
    found = await health.days(ward.pool)
    if found.today:
        return bad(
            f"no day partition for today: {some(found.today)}; nothing can be written there",
            "start lifeos processors, or run lifeos migrate, which makes them, too",
        )
    if found.ahead:
        return warn(
            f"day partitions ahead are missing: {some(found.ahead)}",
            "lifeos processors makes them each hour: see its log for `partitions were not tended`",
        )
    if found.past:
        return warn(
            f"past their keep and not dropped: {some(found.past)}",
            "somebody reads them, the outbox is behind, or lifeos processors does not run",
        )
    return ok(f"day partitions reach {retention.AHEAD_DAYS} days ahead, and none is past its keep")


# Kafka ---------------------------------------------------------------------------------------------------------------


async def kafka(ward: Ward) -> Finding:
    count = len(await cluster.brokers(ward.kafka))
    return ok(f"{outside.kafka(ward.kafka)} answers, {count} broker{'s' if count > 1 else ''}")


async def topics_(ward: Ward) -> Finding:
    wanted = topics.every(ward.kafka.topic_prefix)
    found = await cluster.described(ward.kafka, [topic.name for topic in wanted])
    missing = [topic.name for topic in wanted if topic.name not in found]
    if missing:
        return bad(f"missing: {some(missing)}", "run lifeos migrate, which creates them")
    wrong = [said for topic in found.values() for said in wrong_with(topic, ward.kafka.development)]
    if wrong:
        return bad(some(wrong, 2), "change it with kafka-configs.sh, or kafka-reassign-partitions.sh for replicas")
    lagging = [topic.name for topic in found.values() if topic.missing]
    if lagging:
        return warn(f"replicas are not in sync: {some(lagging)}", "see whether every broker runs")
    return ok(f"all {len(wanted)} are there, and set as they must be")


def wrong_with(topic: Described, development: bool) -> list[str]:
    """What would lose, refuse or reorder records of a topic. Retention is a check of its own."""
    config = topic.config
    wrong = []
    if topic.leaderless:
        wrong.append(f"{topic.name} has {topic.leaderless} partitions without a leader")
    if config["message.timestamp.type"] != "LogAppendTime":
        wrong.append(f"{topic.name}: message.timestamp.type is {config['message.timestamp.type']}, not LogAppendTime")
    if config["cleanup.policy"] != "delete":
        wrong.append(f"{topic.name}: cleanup.policy is {config['cleanup.policy']}, not delete")
    if int(config["max.message.bytes"]) < topics.MAX_MESSAGE_BYTES:
        wrong.append(f"{topic.name}: max.message.bytes is below {topics.MAX_MESSAGE_BYTES}")
    return wrong if development else wrong + _loses(topic)


def _loses(topic: Described) -> list[str]:
    """What would lose an acknowledged record in production."""
    in_sync, unclean = topic.config["min.insync.replicas"], topic.config["unclean.leader.election.enable"]
    found = (
        (topic.replicas < REPLICAS, f"{topic.name} has {topic.replicas} replicas, {REPLICAS} are needed"),
        (int(in_sync) < IN_SYNC, f"{topic.name}: min.insync.replicas is {in_sync}, {IN_SYNC} is needed"),
        (unclean != "false", f"{topic.name}: unclean.leader.election.enable must be false"),
    )
    return [said for holds, said in found if holds]


async def ladder(ward: Ward) -> Finding:
    """Whether each rung of the retention ladder outlives the one below, with what the topics really keep."""
    try:
        retention.assert_ladder()
    except ValueError as error:
        return bad(str(error), "a bug: mend outbox/retention.py")
    wanted = topics.every(ward.kafka.topic_prefix)
    found = await cluster.described(ward.kafka, [topic.name for topic in wanted])
    kept = {t.name: int(found[t.name].config["retention.ms"]) for t in wanted if t.name in found}
    asked = {topic.name: int(topic.config()["retention.ms"]) for topic in wanted}
    short = [f"{name} {span(ms / 1000)}" for name, ms in kept.items() if 0 <= ms < asked[name]]
    long = [name for name, ms in kept.items() if ms < 0 or ms > asked[name]]
    if short:
        return bad(
            f"topics keep less than what refers to them: {some(short)}",
            "set retention.ms with kafka-configs.sh: webhooks.* 7 days, changes.* 14",
        )
    if long:
        return warn(
            f"topics keep more than is promised to people: {some(long)}",
            "set retention.ms with kafka-configs.sh: webhooks.* 7 days, changes.* 14",
        )
    return ok("each rung outlives the one below it, in tables and topics")


async def brokers(ward: Ward) -> Finding:
    try:
        found = await cluster.broker_settings(ward.kafka, [SHORTEST_SESSION, AUTO_CREATION])
    except KafkaError as error:
        return warn(f"may not be asked: {outside.why(error)}", "allow our user DescribeConfigs on the cluster")
    return judged_brokers(found, ward.kafka.development)


def judged_brokers(found: Mapping[int, Mapping[str, str]], development: bool) -> Finding:
    creating = [broker for broker, config in found.items() if config.get(AUTO_CREATION) == "true"]
    if creating:
        said = f"broker {some(creating)} makes topics that anybody names, unsafe ones"
        mend = f"set {AUTO_CREATION}=false on every broker"
        return warn(said, mend) if development else bad(said, mend)
    session = max(int(config.get(SHORTEST_SESSION) or 0) for config in found.values())
    if session > SESSION_TIMEOUT_MS:
        return warn(
            f"a killed lifeos processors is followed after {session / 1000:g} s, not {SESSION_TIMEOUT_MS / 1000:g}",
            f"set {SHORTEST_SESSION}=2000 on every broker",
        )
    return ok(f"a killed lifeos processors is followed after {SESSION_TIMEOUT_MS / 1000:g} s; no topic makes itself")


# In ------------------------------------------------------------------------------------------------------------------


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
    return ok(f"all {len(every)} are held and handled; {lag} deliveries behind at most")


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


# Sync ----------------------------------------------------------------------------------------------------------------


async def cursors(ward: Ward) -> Finding:
    found = await health.overdue(ward.pool, OVERDUE)
    if found.cursors:
        return bad(
            f"{found.cursors} due for more than {OVERDUE.seconds} s and not begun, the oldest for "
            f"{span(found.oldest_seconds)}",
            "start lifeos processors, or more of them",
        )
    return ok("nothing that is due waits")


async def connections(ward: Ward) -> Finding:
    found = await health.accounts(ward.pool, RETRYING)
    if found.halted:
        more = f", {found.retrying} more fail again and again" if found.retrying else ""
        return warn(
            f"{found.halted} of {found.connections} wait for their person{more}",
            "lifeos connections list --state needs_reauthorization",
        )
    if found.retrying:
        return warn(
            f"{found.retrying} of {found.connections} failed {RETRYING} times in a row or more",
            "lifeos connections list --state retrying",
        )
    return ok(f"{found.connections}, none of which waits for a person or fails again and again")


async def readers(ward: Ward) -> Finding:
    unread = [
        product for product in await health.products(ward.pool) if not _is_read(product.provider, product.resource)
    ]
    if unread:
        named = some(f"{product.provider} {product.resource} ({product.cursors})" for product in unread)
        return bad(f"this version reads no {named}", "deploy the version that does; that of the schema may be newer")
    return ok("every resource has a reader in this version")


def _is_read(provider: str, resource: str) -> bool:
    known = next((name for name in PROVIDERS if name == provider), None)
    try:
        return known is not None and bool(reader(known, resource))
    except LookupError:
        return False


async def subscriptions(ward: Ward) -> Finding:
    return judged_subscriptions(await health.subscriptions(ward.pool, NEAR, NEAR_SHARE, PENDING))


def judged_subscriptions(found: Subscriptions) -> Finding:
    why = f": {found.error}" if found.error else ""
    if found.failed:
        return warn(f"{found.failed} failed{why}", "lifeos watches list --status failed")
    if found.waiting:
        said = f"{found.waiting} could not be made for {span(PENDING.total_seconds())}{why}"
        return warn(said, "lifeos watches list --status pending")
    if found.expired:
        said = f"{found.expired} expired: their resources are only read from time to time"
        return warn(said, "connect the accounts again, which makes new ones; lifeos watches list names them")
    if found.near:
        assert found.nearest_seconds is not None
        said = f"{found.near} expire soon, the first in {span(found.nearest_seconds)}"
        return warn(said, "see the log of lifeos processors; connecting an account again makes new ones")
    nearest = "" if found.nearest_seconds is None else f", the next expires in {span(found.nearest_seconds)}"
    return ok(f"{found.active} active{nearest}")


async def parked(ward: Ward) -> Finding:
    found = await health.parked(ward.pool, LATELY)
    if found:
        counts = ", ".join(f"{count} {reason}" for reason, count in found.items())
        return warn(f"in the last 24 h: {counts}", "lifeos deliveries --outcome parked, and the table parked")
    return ok("nothing in the last 24 h")


# Out -----------------------------------------------------------------------------------------------------------------


async def lanes(ward: Ward) -> Finding:
    found = await health.lanes(ward.pool)
    if found.unowned or found.oldest_seconds > BEHIND_WARN:
        await asyncio.sleep(STILL)
        found = await health.lanes(ward.pool)
    return judged_lanes(found)


def judged_lanes(found: Lanes) -> Finding:
    behind = (
        f"{found.rows} changes in {found.behind} lanes are not published, the oldest for {span(found.oldest_seconds)}"
    )
    if found.unowned:
        rest = f"; {behind}" if found.rows else ""
        return bad(f"nobody holds {found.unowned} of 256{rest}", "start lifeos relay")
    if found.oldest_seconds > BEHIND_BAD:
        return bad(behind, "see the log of lifeos relay, and whether Kafka takes records")
    if found.oldest_seconds > BEHIND_WARN:
        return warn(behind, "see whether it grows: if it does, the log of lifeos relay says why")
    return ok(f"all 256 are held; {found.rows} changes are not published yet")


async def relays(ward: Ward) -> Finding:
    alive = await health.relays(ward.pool)
    return ok(f"{alive} alive") if alive else bad("none is alive", "start lifeos relay")


# All -----------------------------------------------------------------------------------------------------------------

Check = Callable[[Ward], Awaitable[Finding]]
Needs = frozenset[Literal["postgresql", "kafka"]]

DATABASE: Final[Needs] = frozenset({"postgresql"})
KAFKA: Final[Needs] = frozenset({"kafka"})

CHECKS: Final[tuple[tuple[str, Check, Needs], ...]] = (
    ("settings", settings, frozenset()),
    ("postgresql", postgresql, DATABASE),
    ("schema", schema, DATABASE),
    ("clock", clock, DATABASE),
    ("durability", durability, DATABASE),
    ("days", days, DATABASE),
    ("kafka", kafka, KAFKA),
    ("topics", topics_, KAFKA),
    ("retention", ladder, KAFKA),
    ("brokers", brokers, KAFKA),
    ("partitions", partitions, DATABASE | KAFKA),
    ("cursors", cursors, DATABASE),
    ("connections", connections, DATABASE),
    ("readers", readers, DATABASE),
    ("subscriptions", subscriptions, DATABASE),
    ("parked", parked, DATABASE),
    ("lanes", lanes, DATABASE),
    ("relays", relays, DATABASE),
)
"""Every check with what it asks. `postgresql` and `kafka` say whether they answer; the others are then unknown."""
