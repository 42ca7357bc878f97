"""What the doctor makes of what no test can plant in a running world."""

import pytest
from aiokafka.errors import KafkaTimeoutError, RequestTimedOutError

from deploy.operator.checks.accounts import judged_subscriptions
from deploy.operator.checks.kafka import judged_brokers, wrong_with
from deploy.operator.checks.postgresql import CLOCK_BAD, CLOCK_WARN, judged_clock, judged_durability
from deploy.operator.checks.shares import judged_lanes
from deploy.outside import why
from outbox.cluster import Described
from outbox.health import Lanes, Server, Subscriptions
from outbox.kafka import KafkaUnavailable
from schemas import topics

SAFE = Server("18.1", True, True, "on", False, ())
CONFIG = {
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "delete",
    "max.message.bytes": str(topics.MAX_MESSAGE_BYTES),
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
}


@pytest.mark.parametrize(
    ("ahead", "status"),
    [(0.0, "ok"), (CLOCK_WARN, "ok"), (-CLOCK_WARN - 0.1, "warn"), (CLOCK_BAD + 0.1, "bad"), (-1e6, "bad")],
)
def test_a_clock(ahead: float, status: str) -> None:
    assert judged_clock(ahead).status == status


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (SAFE, "ok"),
        (Server("18.1", True, True, "remote_apply", False, ("sync",)), "ok"),
        (Server("18.1", True, True, "on", False, ("async", "quorum")), "ok"),
        (Server("18.1", True, True, "on", False, ("async",)), "bad"),
        (Server("18.1", True, True, "on", False, (None,)), "warn"),
        (Server("18.1", True, True, "off", False, ()), "bad"),
        (Server("18.1", True, True, "local", False, ("sync",)), "bad"),
        (Server("18.1", False, True, "on", False, ()), "bad"),
        (Server("18.1", True, False, "on", False, ()), "bad"),
    ],
)
def test_what_postgresql_would_lose_in_production(server: Server, status: str) -> None:
    assert judged_durability(server, development=False).status == status
    assert judged_durability(server, development=True).status == "ok"


@pytest.mark.parametrize(
    ("config", "development", "status"),
    [
        ({"group.min.session.timeout.ms": "2000", "auto.create.topics.enable": "false"}, False, "ok"),
        ({"group.min.session.timeout.ms": "6000", "auto.create.topics.enable": "false"}, False, "warn"),
        ({"group.min.session.timeout.ms": "2000", "auto.create.topics.enable": "true"}, False, "bad"),
        ({"group.min.session.timeout.ms": "2000", "auto.create.topics.enable": "true"}, True, "warn"),
    ],
)
def test_a_broker_among_good_ones(config: dict[str, str], development: bool, status: str) -> None:
    good = {"group.min.session.timeout.ms": "2000", "auto.create.topics.enable": "false"}
    assert judged_brokers({1: good, 2: config}, development).status == status


@pytest.mark.parametrize(
    ("changed", "replicas", "leaderless", "said"),
    [
        ({}, 3, 0, []),
        (
            {"min.insync.replicas": "1"},
            3,
            0,
            [("t: min.insync.replicas is 1, not 2", "set min.insync.replicas=2 with kafka-configs.sh")],
        ),
        (
            {"unclean.leader.election.enable": "true"},
            3,
            0,
            [
                (
                    "t: unclean.leader.election.enable is true, not false",
                    "set unclean.leader.election.enable=false with kafka-configs.sh",
                )
            ],
        ),
        ({}, 1, 0, [("t has 1 replica, 3 are needed", "give it 3 with kafka-reassign-partitions.sh")]),
    ],
)
def test_a_topic_that_would_lose_records_in_production(
    changed: dict[str, str], replicas: int, leaderless: int, said: list[tuple[str, str]]
) -> None:
    topic = Described("t", 6, replicas, 0, leaderless, CONFIG | changed)
    assert wrong_with(topic, development=False) == said
    assert wrong_with(topic, development=True) == []


@pytest.mark.parametrize(
    ("changed", "leaderless", "said"),
    [
        (
            {"message.timestamp.type": "CreateTime"},
            0,
            (
                "t: message.timestamp.type is CreateTime, not LogAppendTime",
                "set message.timestamp.type=LogAppendTime with kafka-configs.sh",
            ),
        ),
        (
            {"max.message.bytes": "1000"},
            0,
            ("t: max.message.bytes is 1000, not 2097152", "set max.message.bytes=2097152 with kafka-configs.sh"),
        ),
        (
            {"max.message.bytes": str(1 << 30)},
            1,
            ("t has 1 partition without a leader", "see whether every broker runs"),
        ),
    ],
)
def test_a_topic_that_is_wrong_anywhere(changed: dict[str, str], leaderless: int, said: tuple[str, str]) -> None:
    topic = Described("t", 6, 3, 0, leaderless, CONFIG | changed)
    assert wrong_with(topic, development=False) == wrong_with(topic, development=True) == [said]


@pytest.mark.parametrize(
    ("lanes", "status"),
    [
        (Lanes(0, 0, 0, 0.0), "ok"),
        (Lanes(3, 9, 0, 4.0), "ok"),
        (Lanes(3, 9, 0, 6.0), "warn"),
        (Lanes(3, 9, 0, 31.0), "bad"),
        (Lanes(0, 0, 1, 0.0), "bad"),
    ],
)
def test_lanes(lanes: Lanes, status: str) -> None:
    assert judged_lanes(lanes).status == status


def test_one_is_said_as_one() -> None:
    assert judged_lanes(Lanes(1, 1, 1, 5.0)).said == (
        "nobody holds 1 of 256; 1 change in 1 lane not published, the oldest for 5 s"
    )
    assert judged_lanes(Lanes(0, 0, 0, 0.0)).said == "all 256 are held; 0 changes not published yet"


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        KafkaTimeoutError(),
        RequestTimedOutError(),
        KafkaUnavailable("no Kafka broker answered: timed out"),
    ],
)
def test_what_was_waited_for_in_vain_timed_out(error: Exception) -> None:
    assert why(error) == "timed out"


def test_of_several_troubles_with_subscriptions_the_one_to_begin_with_is_said() -> None:
    found = Subscriptions(5, 1, 1, 60.0, 1, 1, "Google answered 403")
    assert judged_subscriptions(found).said == "1 failed: Google answered 403"
    assert judged_subscriptions(found._replace(failed=0)).said == "1 could not be made for 5 min: Google answered 403"
    assert judged_subscriptions(found._replace(failed=0, waiting=0)).said.startswith("1 expired")
    near = judged_subscriptions(found._replace(failed=0, waiting=0, expired=0))
    assert near.said == "1 expires soon, the first in 60 s"
