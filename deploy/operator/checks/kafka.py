"""Kafka: whether it answers, keeps what it has for as long as it should, and has our topics as they must be."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from deploy import outside
from deploy.operator.checks.finding import Finding, Ward, bad, ok, some, warn
from deploy.operator.lines import count, span
from outbox import cluster, retention
from outbox.cluster import Described
from outbox.kafka import SESSION_TIMEOUT_MS, KafkaError
from schemas import topics

REPLICAS, IN_SYNC = 3, 2
SHORTEST_SESSION: Final = "group.min.session.timeout.ms"
AUTO_CREATION: Final = "auto.create.topics.enable"


async def kafka(ward: Ward) -> Finding:
    brokers = len(await cluster.brokers(ward.kafka))
    return ok(f"{outside.kafka(ward.kafka)} answers, {count(brokers, 'broker')}")


async def topics_(ward: Ward) -> Finding:
    wanted = topics.every(ward.kafka.topic_prefix)
    found = await cluster.described(ward.kafka, [topic.name for topic in wanted])
    missing = [topic.name for topic in wanted if topic.name not in found]
    if missing:
        return bad(f"missing: {some(missing)}", "run lifeos migrate, which creates them")
    wrong = [one for topic in found.values() for one in wrong_with(topic, ward.kafka.development)]
    if wrong:
        return bad(some((one.said for one in wrong), 2), some(dict.fromkeys(one.mend for one in wrong), 2))
    lagging = [topic.name for topic in found.values() if topic.missing]
    if lagging:
        return warn(f"replicas are not in sync: {some(lagging)}", "see whether every broker runs")
    return ok(f"all {len(wanted)} are there, and set as they must be")


class Wrong(NamedTuple):
    """What is wrong with a topic, and what mends it."""

    said: str
    mend: str


def wrong_with(topic: Described, development: bool) -> list[Wrong]:
    """What would lose, refuse or reorder records of a topic. Retention is a check of its own."""
    smallest = topics.MAX_MESSAGE_BYTES
    wrong = [
        _set(topic, "message.timestamp.type", "LogAppendTime", lambda value: value == "LogAppendTime"),
        _set(topic, "cleanup.policy", "delete", lambda value: value == "delete"),
        _set(topic, "max.message.bytes", f"{smallest}", lambda value: int(value) >= smallest),
    ]
    if topic.leaderless:
        leaderless = count(topic.leaderless, "partition")
        wrong.insert(0, [Wrong(f"{topic.name} has {leaderless} without a leader", "see whether every broker runs")])
    return [one for found in (wrong if development else wrong + _loses(topic)) for one in found]


def _loses(topic: Described) -> list[list[Wrong]]:
    """What would lose an acknowledged record in production."""
    enough = topic.replicas >= REPLICAS
    few = f"{topic.name} has {count(topic.replicas, 'replica')}, {REPLICAS} are needed"
    mend = f"give it {REPLICAS} with kafka-reassign-partitions.sh"
    return [
        [] if enough else [Wrong(few, mend)],
        _set(topic, "min.insync.replicas", f"{IN_SYNC}", lambda value: int(value) >= IN_SYNC),
        _set(topic, "unclean.leader.election.enable", "false", lambda value: value == "false"),
    ]


def _set(topic: Described, name: str, needed: str, good: Callable[[str], bool]) -> list[Wrong]:
    """What is wrong with one setting of a topic: nothing, or one thing."""
    value = topic.config[name]
    if good(value):
        return []
    return [Wrong(f"{topic.name}: {name} is {value}, not {needed}", f"set {name}={needed} with kafka-configs.sh")]


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
    short = {name: f"{name} {span(ms / 1000)}" for name, ms in kept.items() if 0 <= ms < asked[name]}
    long = [name for name, ms in kept.items() if ms < 0 or ms > asked[name]]
    mend = some((f"retention.ms={asked[name]} on {name}" for name in short or long), 2)
    if short:
        said = f"topics keep less than what refers to them: {some(short.values())}"
        return bad(said, f"set {mend}, with kafka-configs.sh")
    if long:
        return warn(f"topics keep more than is promised to people: {some(long)}", f"set {mend}, with kafka-configs.sh")
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
