"""What a running system sends is what is published, record by record; and who checks that would notice."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from deploy.contracts import files
from deploy.contracts.records import Example, read, record
from schemas.change import Action
from schemas.providers import KINDS
from tests.conftest import Stack
from tests.docs.contract import assert_published, breaches
from tests.flow.world import ACCOUNT, world

DIARY = "113774264463038321964"
(EXAMPLE,) = [example for example in read(files.EXAMPLES) if example.name == "task.updated"]


async def test_every_record_of_a_running_world_is_what_is_published_and_can_be_an_example(
    stack: Stack, database: str, prefix: str, tmp_path: Path
) -> None:
    async with world(stack, database, prefix, tmp_path) as made:
        await made.connect()
        await made.connect_google(DIARY, "a-token")
        await made.service.start()
        for seed in (11, 12, 13):  # what is read at once is told once, as it then is
            await made.simulator.mix(ACCOUNT, 200, seed=seed)
            await made.google.mix(DIARY, 200, seed=seed)
            await made.settled()
        choir = made.google.add_calendar(DIARY, "Choir")
        await made.settled()
        made.google.delete_calendar(DIARY, choir)
        await made.settled()
        seen = await assert_published(stack.bootstrap, prefix)
        names = await record(made.kafka, tmp_path / "examples")
    assert seen == {(kind, action) for kind in KINDS for action in get_args(Action)}
    recorded = read(tmp_path / "examples")
    assert [example.name for example in recorded] == names
    assert {(example.name.split(".")[0], example.value["action"]) for example in recorded} == seen
    sorts = {f"calendar-event.{sort}.created" for sort in ("single", "series", "exception", "excluded")}
    assert sorts <= set(names)


@dataclass
class Sent:
    """A record as a Kafka client hands it out."""

    value: bytes
    key: bytes
    headers: list[tuple[str, bytes]]
    topic: str = "changes.task"
    partition: int = 0
    offset: int = 0


@dataclass
class Draft:
    """A record before it is sent: the example, to spoil."""

    example: Example = EXAMPLE
    topic: str = "changes.task"
    headers: dict[str, str] = field(default_factory=lambda: dict(EXAMPLE.headers))
    value: dict[str, Any] = field(default_factory=lambda: orjson.loads(orjson.dumps(EXAMPLE.value)))
    key: str = EXAMPLE.key

    def sent(self) -> Sent:
        headers = [(name, text.encode()) for name, text in self.headers.items()]
        return Sent(orjson.dumps(self.value), self.key.encode(), headers, self.topic)


def test_a_record_that_was_really_sent_keeps_the_contract() -> None:
    assert breaches([Draft().sent()]) == []


SPOILT: dict[str, Callable[[Draft], object]] = {
    "a header is missing": lambda draft: draft.headers.pop("ce_tenantid"),
    "a header that nobody published": lambda draft: draft.headers.update(ce_mood="good"),
    "a time without its offset": lambda draft: draft.headers.update(ce_time="yesterday"),
    "a field that nobody published": lambda draft: draft.value.update(mood="good"),
    "a field of the item that nobody published": lambda draft: draft.value["item"].update(mood="good"),
    "null instead of nothing": lambda draft: draft.value["item"].update(description=None),
    "another word than those told": lambda draft: draft.value["item"].update(progress="stalled"),
    "a field is missing": lambda draft: draft.value.pop("changed"),
    "a field of the item is missing": lambda draft: draft.value["item"].pop("title"),
    "another key": lambda draft: setattr(draft, "key", draft.headers["ce_tenantid"]),
    "another topic": lambda draft: setattr(draft, "topic", "changes.collection"),
    "another version in the header": lambda draft: draft.headers.update(ce_itemversion="5"),
    "a chain that goes back": lambda draft: draft.headers.update(ce_prevversion="9" * 18),
    "a type that says it is deleted": lambda draft: draft.headers.update(ce_type="lifeos.task.deleted.v1"),
    "nothing that changed": lambda draft: draft.value.update(changed=[]),
    "what changed out of order": lambda draft: draft.value.update(changed=["updated", "due"]),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_record_that_does_not_is_noticed(spoil: Callable[[Draft], object]) -> None:
    draft = Draft()
    spoil(draft)
    assert breaches([draft.sent()])
