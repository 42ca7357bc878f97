"""Whether records are what is published: the check of a subscriber who takes the schemas at their word, and of ours."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator
from pydantic import ValidationError

from deploy.contracts import published
from deploy.contracts.records import Example, example
from schemas.change import VALUES, Attributes
from schemas.identity import change_id
from schemas.providers import KINDS
from schemas.topics import changes
from tests.flow.books import read_all


def breaches(records: Iterable[Any], prefix: str = "") -> list[str]:
    """What is wrong with records of change topics, one line each; empty when every one keeps the published contract.

    The schemas forbid nothing that is not named, our models do: so a field that nobody published is a breach, too.
    """
    return [line for record in records for line in _breaches(record, prefix)]


async def assert_published(bootstrap: str, prefix: str) -> set[tuple[str, str]]:
    """Every record that the change topics hold is what is published. Returns the kinds and actions that were there."""
    records = await read_all(bootstrap, [changes(kind, prefix) for kind in KINDS])
    assert breaches(records, prefix) == []
    told = [example(record) for record in records]
    return {(one.headers["ce_type"].split(".")[1], one.value["action"]) for one in told}


def _breaches(record: Any, prefix: str) -> list[str]:
    sent = example(record)
    kind: Any = sent.headers["ce_type"].split(".")[1]
    # What does not even have the fields is not asked how they hang together.
    found = list(_malformed(record, sent, kind)) or [
        what for what, true in _held(record, sent, kind, prefix) if not true
    ]
    return [f"{record.topic}[{record.partition}] {record.offset} {sent.headers['ce_id']}: {one}" for one in found]


def _malformed(record: Any, sent: Example, kind: Any) -> Iterator[str]:
    for file, said in ((kind, sent.value), ("headers", sent.headers)):
        for error in _validator(f"{file}.schema.json").iter_errors(said):
            yield f"{file} {error.json_path}: {error.message}"
    try:
        Attributes.model_validate(sent.headers)
        VALUES[kind].model_validate_json(record.value)
    except ValidationError as error:
        yield str(error)


def _held(record: Any, sent: Example, kind: Any, prefix: str) -> Iterator[tuple[str, bool]]:
    """What no schema can say of one record."""
    headers, value = sent.headers, sent.value
    yield "stands on the topic of its kind", record.topic == changes(kind, prefix)
    yield "key, subject and item are one", sent.key == headers["ce_subject"] == value["itemId"]
    yield "id and version are the item's", headers["ce_id"] == change_id(UUID(value["itemId"]), value["version"])
    yield "the version is the same in both", headers["ce_itemversion"] == str(value["version"])
    yield "the type says whether it is deleted", headers["ce_type"].endswith(f".{_ending(value['action'])}.v1")
    yield "a chain of versions goes up", int(headers.get("ce_prevversion", 0)) < value["version"]
    yield "what changed is sorted, and named once", value["changed"] == sorted(set(value["changed"]))
    yield "what changed is told of all but the deleted", bool(value["changed"]) == (value["action"] != "deleted")


def _ending(action: str) -> str:
    return "deleted" if action == "deleted" else "changed"


@cache
def _validator(file: str) -> Draft202012Validator:
    return Draft202012Validator(published.standalone()[file], format_checker=Draft202012Validator.FORMAT_CHECKER)
