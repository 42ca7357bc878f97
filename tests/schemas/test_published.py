"""What is published is what the models say, it is a valid AsyncAPI document, and its examples are valid by it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from deploy.contracts import asyncapi, files, published
from deploy.contracts.records import Example, read
from deploy.local.environment import PROJECT
from schemas import topics
from schemas.change import VALUES, Action
from schemas.item import Task, _Item
from schemas.providers import KINDS

EXAMPLES = read(files.EXAMPLES)
OFFICIAL = PROJECT / "tests" / "schemas" / "asyncapi" / "3.0.0.json"

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
each_schema = pytest.mark.parametrize(("file", "schema"), published.standalone().items())


def document() -> Any:
    return orjson.loads((files.PUBLISHED / "asyncapi.json").read_bytes())


def kind_of(example: Example) -> Any:
    return example.headers["ce_type"].split(".")[1]


# Generated.


def test_nothing_that_is_published_is_stale() -> None:
    assert files.stale() == [], "run python -m deploy.contracts write"


def test_a_document_that_is_stale_missing_or_of_nothing_is_noticed_and_put_right(tmp_path: Path) -> None:
    files.write(tmp_path)
    (tmp_path / "task.schema.json").write_text("{}")
    (tmp_path / "sync.schema.json").unlink()
    (tmp_path / "note.schema.json").write_text("{}")
    wrong = ["note.schema.json", "sync.schema.json", "task.schema.json"]
    assert files.stale(tmp_path) == wrong
    assert files.write(tmp_path) == wrong
    assert files.stale(tmp_path) == []


def test_every_kind_has_a_schema_and_a_channel() -> None:
    assert VALUES.keys() == set(KINDS)
    addresses = {channel["address"] for channel in document()["channels"].values()}
    assert addresses == {topics.changes(kind) for kind in KINDS}


# What a schema says.


@each_schema
def test_every_schema_is_valid(file: str, schema: published.Schema) -> None:
    Draft202012Validator.check_schema(schema)


@each_schema
def test_every_schema_lets_properties_be_added(file: str, schema: published.Schema) -> None:
    def closed(node: Any) -> bool:
        if isinstance(node, dict):
            return node.get("additionalProperties") is False or any(map(closed, node.values()))
        return isinstance(node, list) and any(map(closed, node))

    assert not closed(schema)


def test_what_is_always_sent_is_required_and_what_may_be_none_is_not_there_then() -> None:
    task = published.value("task")["$defs"]["Task"]
    sent = Task(uid="an item", title="Buy milk").snapshot()
    assert set(task["required"]) == sent.keys()
    assert task["properties"]["description"] == {"type": "string"}


def test_the_words_of_a_vocabulary_may_grow_unless_it_is_closed() -> None:
    task = published.value("task")
    assert task["$defs"]["Task"]["properties"]["progress"] == {
        "type": "string",
        "x-extensible-enum": ["needs-action", "completed"],
    }
    assert task["properties"]["action"]["enum"] == ["created", "updated", "deleted"]
    assert task["$defs"]["Task"]["properties"]["@type"] == {"const": "Task", "type": "string"}
    assert published.headers()["properties"]["ce_foundby"]["x-extensible-enum"] == ["push", "poll", "full"]


def test_no_vocabulary_of_an_item_is_closed_by_oversight() -> None:
    def closed(node: Any, name: str = "") -> list[str]:
        if isinstance(node, list):
            return [found for one in node for found in closed(one, name)]
        if not isinstance(node, dict):
            return []
        mine = name != "@type" and ("enum" in node or isinstance(node.get("const"), str))
        return [name] * mine + [found for key, inner in node.items() for found in closed(inner, key)]

    assert {kind: closed(published.value(kind)["$defs"]) for kind in VALUES} == {kind: [] for kind in VALUES}


# AsyncAPI.


def test_it_is_valid_by_the_official_schema_of_asyncapi() -> None:
    official = Draft7Validator(orjson.loads(OFFICIAL.read_bytes()))
    assert [error.message for error in official.iter_errors(document())] == []


def test_the_official_schema_would_notice() -> None:
    official = Draft7Validator(orjson.loads(OFFICIAL.read_bytes()))
    broken = document()
    broken["channels"]["task"]["bindings"]["kafka"]["partitions"] = "six"
    assert not official.is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    made = document()
    found = list(references(made))
    assert found
    for reference in found:
        node = made
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def references(node: Any) -> Iterator[str]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for one in inner:
        yield from references(one)
    if isinstance(node, dict) and "$ref" in node:
        yield node["$ref"]


def test_its_channels_are_the_topics() -> None:
    by_address = {channel["address"]: channel["bindings"]["kafka"] for channel in document()["channels"].values()}
    for topic in topics.every():
        if topic.name in by_address:
            kafka = by_address[topic.name]
            assert kafka["partitions"] == topic.partitions
            assert kafka["topicConfiguration"]["retention.ms"] == topic.retention.total_seconds() * 1000


def test_it_names_no_server_of_anybody() -> None:
    (server,) = document()["servers"].values()
    assert server["host"] == "{brokers}"


# Examples: records that were really sent.


@each_example
def test_an_example_is_valid_by_the_schemas_of_its_kind(example: Example) -> None:
    schemas = published.standalone()
    checked = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schemas[f"{kind_of(example)}.schema.json"], format_checker=checked).validate(example.value)
    Draft202012Validator(schemas["headers.schema.json"], format_checker=checked).validate(example.headers)
    assert example.key == example.headers["ce_subject"] == example.value["itemId"]


@each_example
def test_an_example_is_valid_by_the_asyncapi_document_and_shown_in_it(example: Example) -> None:
    made = document()
    message = made["components"]["messages"][example.headers["ce_type"]]
    for part, shown in (("headers", example.headers), ("payload", example.value)):
        Draft7Validator({**message[part], "components": made["components"]}).validate(shown)
    assert example.name in [one["name"] for one in message["examples"]]
    other = next(name for name in asyncapi.types(kind_of(example)) if name != example.headers["ce_type"])
    headers = made["components"]["messages"][other]["headers"]
    assert not Draft7Validator({**headers, "components": made["components"]}).is_valid(example.headers)


def test_there_is_an_example_of_everything_that_may_happen_to_an_item_of_any_kind() -> None:
    shown = {(kind_of(example), example.value["action"]) for example in EXAMPLES}
    assert shown == {(kind, action) for kind in KINDS for action in get_args(Action)}


@pytest.mark.parametrize("sort", ["single", "series", "exception", "excluded"])
def test_there_is_an_example_of_every_sort_of_event(sort: str) -> None:
    assert f"calendar-event.{sort}.created" in [example.name for example in EXAMPLES]


@pytest.mark.parametrize(
    "model", [type_ for value in VALUES.values() for type_ in value.__pydantic_generic_metadata__["args"]]
)
def test_an_example_has_the_fields_that_our_own_model_has(model: type[_Item]) -> None:
    mine = [example for example in EXAMPLES if example.value["item"]["@type"] == model.__name__]
    for example in mine:
        assert model.model_validate(example.value["item"]).snapshot() == example.value["item"], example.name
