"""Kafka: whether it answers, keeps what it has for as long as it should, and has our topics as they must be."""

from collections.abc import Mapping
from typing import Final

from deploy import outside
from deploy.operator.checks.finding import Finding, Ward, bad, ok, some, warn
from deploy.operator.lines import span
from outbox import cluster, retention
from outbox.cluster import Described
from outbox.kafka import SESSION_TIMEOUT_MS, KafkaError
from schemas import topics

REPLICAS, IN_SYNC = 3, 2
SHORTEST_SESSION: Final = "group.min.session.timeout.ms"
AUTO_CREATION: Final = "auto.create.topics.enable"


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
