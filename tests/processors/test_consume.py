"""Members of the group that accepts deliveries: they come, go, are overtaken, and each delivery is accepted once."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from outbox import commit, offsets
from outbox.commit import Batch
from outbox.kafka import AssignmentLost, Partition
from outbox.lease import FenceLost
from outbox.postgres import Pool
from outbox.vault import Vault
from processors.consume import Consume
from schemas.delivery import Delivery, encode
from schemas.identity import lane
from schemas.settings import KafkaSettings
from schemas.topics import PARTITIONS, partition, webhooks
from tests.outbox.conditions import until
from tests.outbox.spine import ACCOUNT, Spine

RECEIPTS = 'select partition, "offset", delivery_id from receipts order by 1, 2'
NEXT = "select topic, partition, next_offset, epoch, owner from consumer_offsets order by partition"
ACCOUNTS: Final = [str(number) for number in range(2_671_300, 2_671_360)]
"""They are spread over all partitions; `ACCOUNT` is among them."""


def delivery(account: str, number: int) -> bytes:
    made = Delivery(
        id=f"{account}-{number}",
        provider="todoist",
        kind="look",
        account=account,
        lane=lane("todoist", account),
        event="item:updated",
        received_at="2026-11-22T12:00:00+00:00",
        raw=b"{}",
        raw_is_json=True,
    )
    return encode(made)[0]


class Record(NamedTuple):
    """What aiokafka hands out, as far as it is looked at."""

    offset: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Group:
    """The topic of deliveries, and the members that consume it."""

    def __init__(self, pool: Pool, vault: Vault, settings: KafkaSettings) -> None:
        self.pool = pool
        self.vault = vault
        self.settings = settings
        self.topic = webhooks("todoist", settings.topic_prefix)
        self.name = f"{settings.topic_prefix}lifeos.processors"

    def member(self, owner: str) -> Consume:
        return Consume(self.pool, self.vault, self.settings, owner, on_wanted=lambda: None)

    @asynccontextmanager
    async def running(self, owner: str) -> AsyncIterator[Consume]:
        """A member until the block ends, which then leaves the group in order."""
        member = self.member(owner)
        task = asyncio.create_task(member.run())
        try:
            yield member
        finally:
            member.stop()
            async with asyncio.timeout(10):
                await task

    async def put(self, accounts: Iterable[str], numbers: Iterable[int]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.bootstrap, acks="all")
        await producer.start()
        try:
            told = list(numbers)
            for account in accounts:
                where = partition(lane("todoist", account), PARTITIONS)
                for number in told:
                    await producer.send(self.topic, delivery(account, number), partition=where)
            await producer.flush()
        finally:
            await producer.stop()

    async def receipts(self) -> list[str]:
        return [row["delivery_id"] for row in await self.pool.fetch(RECEIPTS)]

    async def has(self, count: int) -> None:
        async def counted() -> bool:
            return len(await self.receipts()) >= count

        await until(counted, f"{count} deliveries are accepted", within=30)

    async def is_shared_by(self, owners: dict[str, int]) -> None:
        """Returns when each of these owners holds so many partitions."""

        async def shared() -> bool:
            rows = [row["owner"] for row in await self.pool.fetch(NEXT) if row["topic"] == self.topic]
            return {owner: rows.count(owner) for owner in set(rows)} == owners

        await until(shared, f"partitions are held by {owners}", within=30)

    async def stored(self) -> dict[Partition, int | None]:
        rows = [row for row in await self.pool.fetch(NEXT) if row["topic"] == self.topic]
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def shown(self) -> dict[Partition, int | None]:
        """What lag tools see."""
        client = AIOKafkaConsumer(
            bootstrap_servers=self.settings.bootstrap, group_id=self.name, enable_auto_commit=False
        )
        await client.start()
        try:
            places = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            return {(tp.topic, tp.partition): await client.committed(tp) for tp in places}
        finally:
            await client.stop()


@pytest.fixture
def group(pool: Pool, vault: Vault, settings: KafkaSettings) -> Group:
    return Group(pool, vault, settings)


async def test_members_share_the_partitions_as_they_come_and_go_and_nothing_is_doubled(group: Group) -> None:
    each = len(ACCOUNTS)
    async with group.running("first"):
        await group.is_shared_by({"first": PARTITIONS})
        await group.put(ACCOUNTS, range(10))
        await group.has(each)  # in the middle of it another one comes
        async with group.running("second"):
            await group.is_shared_by({"first": PARTITIONS // 2, "second": PARTITIONS // 2})
            await group.put(ACCOUNTS, range(10, 15))
        await group.is_shared_by({"first": PARTITIONS})
        await group.put(ACCOUNTS, range(15, 20))
        await group.has(each * 18)
    async with group.running("third"):
        await group.has(each * 20)
    told = await group.receipts()
    assert len(told) == len(set(told)) == each * 20
    # In a partition the receipts of an account stand in the order of its deliveries.
    for account in ACCOUNTS:
        assert [id_ for id_ in told if id_.startswith(f"{account}-")] == [f"{account}-{n}" for n in range(20)]
    assert await group.shown() == await group.stored()


async def test_a_member_goes_on_where_the_database_says_whatever_the_group_says(group: Group, spine: Spine) -> None:
    await group.put([ACCOUNT], range(5))
    position = await claimed(group, "earlier")
    await commit.accept(group.pool, group.vault, position, Batch([], [], 3))
    async with group.running("now"):
        await group.has(2)
    assert await group.receipts() == [f"{ACCOUNT}-3", f"{ACCOUNT}-4"]


async def test_records_that_are_handed_out_again_are_not_accepted_again(group: Group, spine: Spine) -> None:
    member, position = group.member("me"), await claimed(group, "me")
    here = (position.topic, position.partition)
    member._positions[here] = position
    records: list[Any] = [Record(offset, delivery(ACCOUNT, offset)) for offset in range(6)]
    await member._accept(here, records[:4])
    await member._accept(here, records[:4])
    await member._accept(here, records[2:])
    assert await group.receipts() == [f"{ACCOUNT}-{number}" for number in range(6)]
    assert position.next_offset == 6
    member._released([here])
    await member._accept(here, [Record(6, delivery(ACCOUNT, 6))])
    assert len(await group.receipts()) == 6


async def test_a_member_that_another_has_overtaken_commits_nothing_and_ends(group: Group, spine: Spine) -> None:
    member = group.member("slept")
    running = asyncio.create_task(member.run())
    await group.is_shared_by({"slept": PARTITIONS})
    await group.put([ACCOUNT], [0])
    await group.has(1)
    await claimed(group, "woke up first")
    await group.put([ACCOUNT], [1, 2])
    with pytest.raises(FenceLost):
        async with asyncio.timeout(10):
            await running
    assert await group.receipts() == [f"{ACCOUNT}-0"]
    async with group.running("next"):
        await group.has(3)
    assert await group.receipts() == [f"{ACCOUNT}-{number}" for number in range(3)]


async def test_records_that_were_dropped_before_anyone_saw_them_end_the_process_and_are_named(group: Group) -> None:
    await group.put([ACCOUNT], range(5))
    position = await claimed(group, "earlier")
    await commit.accept(group.pool, group.vault, position, Batch([], [], 1))
    admin = AIOKafkaAdminClient(bootstrap_servers=group.settings.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(group.topic, position.partition): RecordsToDelete(4)})
    finally:
        await admin.close()
    with pytest.raises(AssignmentLost, match=r"records 1 to 3 are past their retention"):
        async with asyncio.timeout(10):
            await group.member("late").run()


async def claimed(group: Group, owner: str) -> offsets.Position:
    """The partition of `ACCOUNT`, taken over without a word to Kafka."""
    here = (group.topic, partition(lane("todoist", ACCOUNT), PARTITIONS))
    return (await offsets.claim(group.pool, group.name, owner, [here]))[here]
