"""One change can be followed to its offset, it parses as what it says it is, and every repeat of it is the same."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from outbox import commit
from outbox.commit import Step
from outbox.kafka import Reader
from outbox.postgres import Pool
from outbox.relay import Relay
from outbox.vault import Vault
from schemas import topics as names
from schemas.settings import KafkaSettings
from tests.outbox import writers
from tests.outbox.books import Books, consume
from tests.outbox.conditions import drained
from tests.outbox.relay_process import started
from tests.outbox.spine import Spine

# Rows of a batch stand one after the other, and a batch of a lane holds only rows of one kind.
PLACES = """
select o.item_id, o.version, p.topic, p.partition, p.first_offset + (
    select count(*) from outbox b where b.lane = o.lane and b.kind = o.kind and b.seq >= p.first_seq and b.seq < o.seq)
from outbox o join outbox_published p on p.lane = o.lane and p.kind = o.kind and o.seq between p.first_seq and p.last_seq
order by o.lane, o.seq"""


@pytest.mark.parametrize("failpoint", ["", "relay.before_advance:2"], ids=["undisturbed", "killed and sent again"])
async def test_the_coordinates_of_every_row_are_those_of_its_record(
    pool: Pool, database: str, topics: KafkaSettings, failpoint: str
) -> None:
    ids, books = await writers.items(pool), Books()
    async with started(database, topics, "first", failpoint) as relay:
        async with writers.writing(pool, books, ids, at_least=10_000):
            if failpoint:
                await relay.ended()
        if failpoint:
            await pool.execute("update outbox_lanes set leased_until = '-infinity'")
            async with started(database, topics, "second"):
                await drained(pool)
        await drained(pool)

    places = [((row[0], row[1]), (row[2], row[3], row[4])) for row in await pool.fetch(PLACES)]
    assert len(places) == len(books.committed), "each row was noted, and once"
    stands = {(r.topic, r.partition, r.offset): r.version for r in await consume(topics, ("task", "collection"))}
    assert [version for version, _ in places] == [stands[place] for _, place in places]


async def test_a_change_parses_with_the_official_sdk(
    pool: Pool, database: str, topics: KafkaSettings, vault: Vault, spine: Spine
) -> None:
    held = await spine.claim("one")
    for title in ("Water the plants", "Water all plants"):
        decide = spine.titled({"6XGgm6PHrGgMpCFX": title})
        await commit.apply(pool, vault, held, spine.run, Step(decide, items=decide.items))
    await _relay_once(pool, database, topics)

    first, second = await _records(topics)
    item, run = spine.item("6XGgm6PHrGgMpCFX"), spine.run
    assert item == UUID("1349fc8d-6613-561e-8018-6d7824c50e81"), "the vector of the item id"
    assert (second.key, second.partition) == (str(item).encode(), 78 % 6)
    event = from_binary(KafkaMessage(headers=dict(second.headers), key=second.key, value=second.value), JSONFormat())
    before = from_binary(KafkaMessage(headers=dict(first.headers), key=first.key, value=first.value), JSONFormat())

    version = int(event.get_extension("itemversion"))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == f"{item}.{version}"
    assert event.get_type() == "lifeos.task.changed.v1"
    assert event.get_source() == f"/integrations/todoist/{run.connection_id}"
    assert event.get_subject() == str(item)
    assert event.get_datacontenttype() == "application/json"
    moment = event.get_time()
    assert moment is not None
    assert moment.utcoffset() is not None
    said: Mapping[str, Any] = event.get_attributes()
    assert {name: said[name] for name in ("tenantid", "connectionid", "foundby", "causationid", "prevversion")} == {
        "tenantid": str(run.tenant_id),
        "connectionid": str(run.connection_id),
        "foundby": "push",
        "causationid": "delivery-1",
        "prevversion": before.get_extension("itemversion"),
    }
    assert "recordedtime" in said
    assert "prevversion" not in before.get_attributes()
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["item"] == {"@type": "Task", "uid": str(item), "title": "Water all plants"}
    assert (data["action"], data["changed"], data["version"]) == ("updated", ["title"], version)
    assert data == orjson.loads(second.value)


async def _relay_once(pool: Pool, database: str, topics: KafkaSettings) -> None:
    relay = Relay(pool, database, topics, "one")
    await relay.take_share()
    while await relay.cycle():
        pass
    relay.stop()
    await relay.run()


async def _records(topics: KafkaSettings) -> list[Any]:
    records: list[Any] = []
    async with Reader(topics, names.changes("task", topics.topic_prefix), from_beginning=True) as reader:
        async with asyncio.timeout(10):
            while len(records) < 2:
                records += await reader.read(1.0)
    return records
