"""A subscriber of a released contract is never broken by a later one, and additions are never held up."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.contracts import files, published
from deploy.contracts.__main__ import main
from deploy.contracts.breaks import Contract, breaks

Change = Callable[[Contract], object]


def released() -> Any:
    """A small contract with one of everything."""
    return {
        "note.schema.json": {
            "$defs": {
                "Note": {
                    "type": "object",
                    "properties": {
                        "@type": {"const": "Note", "type": "string"},
                        "title": {"type": "string", "maxLength": 100},
                        "size": {"type": "integer", "minimum": 0},
                        "weight": {"type": "number"},
                        "written": {"type": "string", "pattern": "^[0-9]{4}$"},
                        "mood": {"type": "string", "x-extensible-enum": ["good", "bad"]},
                        "tags": {"type": "object", "additionalProperties": {"const": True, "type": "boolean"}},
                        "parts": {"type": "array", "items": {"$ref": "#/$defs/Note"}},
                        "sources": {"type": "array", "items": {"$ref": "#/$defs/Link"}},
                        "links": {"type": "object", "patternProperties": {"^[a-z]+$": {"$ref": "#/$defs/Link"}}},
                        "place": {"anyOf": [{"$ref": "#/$defs/Link"}, {"type": "null"}]},
                        "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "integer"}]},
                    },
                    "required": ["@type", "title"],
                },
                "Link": {"type": "object", "properties": {"href": {"type": "string"}}, "required": ["href"]},
            },
            "type": "object",
            "properties": {
                "itemId": {"type": "string", "format": "uuid"},
                "action": {"type": "string", "enum": ["created", "deleted"]},
                "item": {"$ref": "#/$defs/Note"},
            },
            "required": ["itemId", "action", "item"],
        },
        "headers.schema.json": {"properties": {"ce_id": {"type": "string"}}, "required": ["ce_id"]},
        "asyncapi.json": {
            "channels": {
                "note": {
                    "address": "changes.note",
                    "messages": {"changed": {"$ref": "#/components/messages/changed"}},
                    "bindings": {
                        "kafka": {
                            "partitions": 6,
                            "topicConfiguration": {
                                "cleanup.policy": ["delete"],
                                "retention.ms": 1_209_600_000,
                                "max.message.bytes": 2_097_152,
                            },
                        }
                    },
                }
            },
            "components": {
                "messages": {
                    "changed": {
                        "contentType": "application/json",
                        "headers": {
                            "allOf": [
                                {"$ref": "#/components/schemas/Headers"},
                                {"properties": {"ce_type": {"const": "note.changed"}}},
                            ]
                        },
                        "bindings": {"kafka": {"key": {"type": "string", "format": "uuid"}}},
                        "payload": {"$ref": "#/components/schemas/Value"},
                    }
                },
                "schemas": {
                    "Value": {"type": "object", "properties": {"itemId": {"type": "string"}}, "required": ["itemId"]},
                    "Other": {"type": "object", "properties": {"taskId": {"type": "string"}}, "required": ["taskId"]},
                    "Headers": {
                        "properties": {"ce_id": {"type": "string"}, "ce_type": {"type": "string"}},
                        "required": ["ce_id", "ce_type"],
                    },
                },
            },
        },
    }


def note(contract: Any) -> Any:
    return contract["note.schema.json"]["$defs"]["Note"]


def fields(contract: Any) -> Any:
    return note(contract)["properties"]


def value(contract: Any) -> Any:
    return contract["note.schema.json"]["properties"]


def channel(contract: Any) -> Any:
    return contract["asyncapi.json"]["channels"]["note"]


def kafka(contract: Any) -> Any:
    return channel(contract)["bindings"]["kafka"]


def message(contract: Any) -> Any:
    return contract["asyncapi.json"]["components"]["messages"]["changed"]


def headers(contract: Any) -> Any:
    return contract["asyncapi.json"]["components"]["schemas"]["Headers"]


def renamed(contract: Any) -> None:
    fields(contract)["name"] = fields(contract).pop("title")
    note(contract)["required"] = ["@type", "name"]


BREAKS: list[tuple[str, Change, list[str]]] = [
    ("a property is gone", lambda c: fields(c).pop("size"), ["note.item.size: is gone"]),
    ("a property is renamed", renamed, ["note.item.title: is gone"]),
    (
        "another type",
        lambda c: fields(c)["size"].update(type="string"),
        ["note.item.size: is string instead of integer"],
    ),
    (
        "a wider type",
        lambda c: fields(c)["size"].update(type="number"),
        ["note.item.size: is integer or number instead of integer"],
    ),
    (
        "null where there was none",
        lambda c: fields(c)["title"].update(type=["string", "null"]),
        ["note.item.title: is null or string instead of string"],
    ),
    ("no type", lambda c: fields(c)["size"].pop("type"), ["note.item.size: is anything instead of integer"]),
    ("no longer required", lambda c: note(c)["required"].remove("title"), ["note.item: title may be absent now"]),
    (
        "a new word in a closed vocabulary",
        lambda c: value(c)["action"]["enum"].append("archived"),
        ["note.action: a new word in a closed vocabulary: archived"],
    ),
    (
        "a word is gone",
        lambda c: value(c)["action"]["enum"].remove("deleted"),
        ["note.action: a word is gone: deleted"],
    ),
    (
        "a word of an open vocabulary is gone",
        lambda c: fields(c)["mood"]["x-extensible-enum"].remove("bad"),
        ["note.item.mood: a word is gone: bad"],
    ),
    (
        "a closed vocabulary is opened",
        lambda c: value(c)["action"].update({"x-extensible-enum": value(c)["action"].pop("enum")}),
        ["note.action: the vocabulary is no longer closed"],
    ),
    (
        "a constant is another",
        lambda c: fields(c)["@type"].update(const="Memo"),
        ["note.item.@type: a new word in a closed vocabulary: Memo", "note.item.@type: a word is gone: Note"],
    ),
    ("a format is gone", lambda c: value(c)["itemId"].pop("format"), ["note.itemId: the format is another"]),
    (
        "a pattern is looser",
        lambda c: fields(c)["written"].update(pattern="^[0-9]+$"),
        ["note.item.written: the pattern is another"],
    ),
    ("a least is lower", lambda c: fields(c)["size"].update(minimum=-1), ["note.item.size: minimum is looser"]),
    ("a most is gone", lambda c: fields(c)["title"].pop("maxLength"), ["note.item.title: maxLength is looser"]),
    (
        "a property is gone of what is in a list, in a map or an alternative",
        lambda c: c["note.schema.json"]["$defs"]["Link"].update(properties={}),
        [
            "note.item.sources[].href: is gone",
            "note.item.links{}.href: is gone",
            "note.item.place: may be something else now (alternative 1)",
        ],
    ),
    (
        "names in a map are others",
        lambda c: fields(c)["links"].update(patternProperties={"^[A-Z]+$": {"$ref": "#/$defs/Link"}}),
        ["note.item.links{}: names are no longer like ^[a-z]+$"],
    ),
    (
        "nothing is said of what is in a map",
        lambda c: fields(c)["tags"].pop("additionalProperties"),
        ["note.item.tags{}: nothing is said of them any more"],
    ),
    (
        "other things in a list",
        lambda c: fields(c)["sources"].update(items={"type": "string"}),
        ["note.item.sources[]: is string instead of object", "note.item.sources[].href: is gone"],
    ),
    (
        "one more alternative",
        lambda c: fields(c)["due"]["anyOf"].append({"type": "boolean"}),
        ["note.item.due: may be something else now (alternative 3)"],
    ),
    (
        "an alternative is not what it was",
        lambda c: (
            fields(c)["place"].update(anyOf=[{"$ref": "#/$defs/Place"}])
            or c["note.schema.json"]["$defs"].update(Place={"type": "object", "properties": {}})
        ),
        ["note.item.place: may be something else now (alternative 1)"],
    ),
    ("a schema is gone", lambda c: c.pop("note.schema.json"), ["note.schema.json: the schema is gone"]),
    ("a header is gone", lambda c: c["headers.schema.json"]["properties"].clear(), ["headers.ce_id: is gone"]),
    (
        "a message's header is no longer required",
        lambda c: headers(c)["required"].remove("ce_id"),
        ["changes.note changed headers: ce_id may be absent now"],
    ),
    (
        "a message of another type",
        lambda c: message(c)["headers"]["allOf"][1]["properties"]["ce_type"].update(const="note.moved"),
        [
            "changes.note changed headers.ce_type: a new word in a closed vocabulary: note.moved",
            "changes.note changed headers.ce_type: a word is gone: note.changed",
        ],
    ),
    (
        "a message's payload is gone",
        lambda c: message(c).pop("payload"),
        ["changes.note changed payload: nothing is said of it any more"],
    ),
    (
        "a message's payload is another's",
        lambda c: message(c).update(payload={"$ref": "#/components/schemas/Other"}),
        ["changes.note changed payload.itemId: is gone"],
    ),
    ("a topic is gone", lambda c: c["asyncapi.json"]["channels"].clear(), ["changes.note: the topic is gone"]),
    ("a topic is renamed", lambda c: channel(c).update(address="notes"), ["changes.note: the topic is gone"]),
    (
        "another number of partitions",
        lambda c: kafka(c).update(partitions=12),
        ["changes.note: 12 partitions instead of 6"],
    ),
    (
        "a topic is kept for a shorter time",
        lambda c: kafka(c)["topicConfiguration"].update({"retention.ms": 86_400_000}),
        ["changes.note: is kept for a shorter time"],
    ),
    (
        "a topic is compacted",
        lambda c: kafka(c)["topicConfiguration"].update({"cleanup.policy": ["compact"]}),
        ["changes.note: the clean-up policy is another"],
    ),
    (
        "records may be larger",
        lambda c: kafka(c)["topicConfiguration"].update({"max.message.bytes": 4_194_304}),
        ["changes.note: records may be larger"],
    ),
    ("a message is gone", lambda c: channel(c)["messages"].clear(), ["changes.note changed: the message is gone"]),
    (
        "one more type of message on a topic",
        lambda c: channel(c)["messages"].update(moved={"$ref": "#/components/messages/changed"}),
        ["changes.note moved: a type of message that subscribers do not expect there"],
    ),
    (
        "another content type",
        lambda c: message(c).update(contentType="application/avro"),
        ["changes.note changed: the content type is another"],
    ),
    ("the key is gone", lambda c: message(c)["bindings"]["kafka"].clear(), ["changes.note changed key: is gone"]),
    (
        "another key",
        lambda c: message(c)["bindings"]["kafka"]["key"].pop("format"),
        ["changes.note changed key: the format is another"],
    ),
]

ADDITIONS: list[tuple[str, Change]] = [
    ("nothing", lambda c: None),
    ("a property", lambda c: fields(c).update(colour={"type": "string"})),
    ("a property that is always there", lambda c: note(c)["required"].append("size")),
    ("a header", lambda c: c["headers.schema.json"]["properties"].update(ce_new={"type": "string"})),
    ("a word in a vocabulary that may grow", lambda c: fields(c)["mood"]["x-extensible-enum"].append("fair")),
    ("a vocabulary that is closed from now on", lambda c: fields(c).update(mood={"enum": ["good", "bad"]})),
    ("a schema", lambda c: c.update({"memo.schema.json": {"type": "object"}})),
    ("a topic", lambda c: c["asyncapi.json"]["channels"].update(memo=channel(c) | {"address": "changes.memo"})),
    ("a longer retention", lambda c: kafka(c)["topicConfiguration"].update({"retention.ms": 2_419_200_000})),
    ("a tighter bound", lambda c: fields(c)["title"].update(maxLength=50, minLength=1)),
    ("an alternative less", lambda c: fields(c)["due"]["anyOf"].pop()),
    ("one alternative that is left", lambda c: fields(c).update(due={"type": "integer"})),
    ("an integer where any number was promised", lambda c: fields(c)["weight"].update(type="integer")),
    ("a description", lambda c: note(c).update(description="What somebody wrote down.")),
]


@pytest.mark.parametrize(("change", "told"), [(c, t) for _, c, t in BREAKS], ids=[name for name, *_ in BREAKS])
def test_a_break_is_told_in_one_line_that_names_the_place(change: Change, told: list[str]) -> None:
    present = deepcopy(released())
    change(present)
    assert breaks(released(), present) == told


@pytest.mark.parametrize("change", [c for _, c in ADDITIONS], ids=[name for name, _ in ADDITIONS])
def test_an_addition_breaks_nothing(change: Change) -> None:
    present = deepcopy(released())
    change(present)
    assert breaks(released(), present) == []


# The contract that is really published.


def test_nothing_that_was_released_is_broken() -> None:
    assert breaks(files.released(), files.made()) == []


def test_everything_that_is_published_is_under_the_gate() -> None:
    assert files.released().keys() == files.made().keys()


@pytest.mark.parametrize("file", sorted(published.standalone()))
def test_the_true_contract_is_compared_to_its_leaves(file: str) -> None:
    """Whatever property is taken away from a published schema, it is noticed."""
    present: Contract = dict(published.standalone())
    paths = properties(present[file])
    assert paths
    for *way, last in paths:
        broken = deepcopy(present)
        node: Any = broken[file]
        for step in way:
            node = node[step]
        del node[last]
        assert breaks(present, broken), [*way, last]


def properties(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all properties in a schema."""
    if not isinstance(node, dict):
        return []
    own = [(*path, "properties", name) for name in node.get("properties", {})] if path[-1:] != ("properties",) else []
    return own + [found for key, inner in node.items() for found in properties(inner, (*path, key))]


@pytest.mark.parametrize("verb", ["check", "release"])
def test_a_developer_is_told_one_line_per_break(verb: str, tmp_path: Path) -> None:
    promised = files.made()
    promised["task.schema.json"]["$defs"]["Task"]["properties"]["mood"] = {"type": "string"}
    files.put(tmp_path, promised)
    result = CliRunner().invoke(main, [verb, "--released", str(tmp_path)])
    assert (result.exit_code, result.output) == (1, "task.item.mood: is gone\n")


def test_what_was_released_is_what_the_next_contract_is_compared_with(tmp_path: Path) -> None:
    runner = CliRunner()
    (tmp_path / "note.schema.json").write_text('{"properties": {}}')
    assert runner.invoke(main, ["release", "--released", str(tmp_path)]).exit_code == 1
    (tmp_path / "note.schema.json").unlink()
    assert runner.invoke(main, ["release", "--released", str(tmp_path)]).exit_code == 0
    assert files.released(tmp_path) == files.made()
