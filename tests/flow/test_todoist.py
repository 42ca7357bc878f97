"""From the provider's signed request to a subscriber's topic, on real processes, Kafka and PostgreSQL."""

from deploy.simulators.todoist.faults import Faults, PushFaults
from schemas.identity import lane
from schemas.topics import PARTITIONS, partition
from tests.flow.expected import assert_same
from tests.flow.world import ACCOUNT, World

RECEIPTS = "select count(distinct delivery_id), count(*) from receipts"
PLACES = "select distinct partition from receipts"


async def test_two_thousand_mixed_changes_arrive_once_in_order_and_whole(everything: World) -> None:
    await everything.simulator.mix(ACCOUNT, 2_000, seed=1)
    await everything.settled()
    subscriber = await everything.subscriber()
    assert subscriber.breaches == []
    assert subscriber.repeats == 0
    assert_same(subscriber, everything.simulator, ACCOUNT)


async def test_a_storm_of_pushes_becomes_few_provider_calls_and_every_delivery_has_a_receipt(everything: World) -> None:
    await everything.settled()
    before = everything.calls()
    storm = await everything.simulator.storm(ACCOUNT, 10_000, concurrency=64)
    await everything.settled()
    assert everything.calls() - before <= 20
    ((deliveries, rows),) = await everything.ask(RECEIPTS)
    assert deliveries == 10_000
    # One that was not answered 200 in time may have been accepted all the same, and came again.
    assert rows <= 10_000 + storm.refused
    assert [row["partition"] for row in await everything.ask(PLACES)] == [
        partition(lane("todoist", ACCOUNT), PARTITIONS)
    ]


async def test_dropped_doubled_and_reordered_pushes_end_equal(everything: World) -> None:
    await everything.settled()
    everything.simulator.faults.set(Faults(push=PushFaults(drop=0.05, duplicate=0.05, reorder=20, seed=3)))
    await everything.simulator.mix(ACCOUNT, 1_000, seed=2)
    # The last change may be among the dropped: the safety poll finds it, whose time comes by the clock in the cursor.
    await everything.simulator.quiesce()
    await everything.ask("update sync_cursors set due_at = now() returning 1")
    await everything.settled()
    subscriber = await everything.subscriber()
    assert subscriber.breaches == []
    assert_same(subscriber, everything.simulator, ACCOUNT)
