"""The AsyncAPI 3.0 document: every topic of changes, its key, headers and values, with records that were really sent.

It describes this service, which sends; whoever reads it receives. https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Iterable
from typing import Any, Final

from deploy.contracts import published
from deploy.contracts.published import Schema
from deploy.contracts.records import Example
from schemas import topics
from schemas.change import VALUES
from schemas.providers import Kind

COMPONENT: Final = "#/components/schemas/{model}"
DOCUMENT: Final = """\
What is now true of the items of connected accounts, one record per version of an item. CloudEvents 1.0 in Kafka's binary \
mode.

First occurrences arrive in version order per item; repeats may arrive at any time, with the same value and `ce_` headers. \
Keep the highest version of each item and drop what is not higher.

Properties, headers, topics and the words under `x-extensible-enum` may be added at any time: ignore those you do not \
know. What is there stays as it is within v1."""
ORDER: Final = (
    "Everything of one account is in one partition, in the order it was committed: the partition is the account's lane "
    "modulo the number of partitions. There is no order between topics."
)
BROKERS: Final = (
    "Kafka's brokers, `host:port`, as your operator names them. A deployment may put a prefix before every topic."
)
NAMES: Final[dict[Kind, str]] = {
    "calendar-event": "Events of calendars, as JSCalendar Event (RFC 8984).",
    "task": "Tasks, as JSCalendar Task (RFC 8984).",
    "collection": "What holds items: projects, sections, labels and calendars.",
    "sync": "How synchronising a resource of an account stands.",
}


def document(examples: Iterable[Example]) -> Schema:
    """The whole document. An example becomes that of the message whose type it carries."""
    shown = list(examples)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "LifeOS Integrations: changes",
            "version": "1",
            "description": DOCUMENT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{brokers}",
                "protocol": "kafka",
                "variables": {"brokers": {"description": BROKERS}},
            }
        },
        "channels": {kind: _channel(kind) for kind in VALUES},
        "operations": {f"send.{kind}": _operation(kind) for kind in VALUES},
        "components": {
            "messages": {type_: _message(kind, type_, shown) for kind in VALUES for type_ in types(kind)},
            "schemas": _schemas(),
        },
    }


def types(kind: Kind) -> tuple[str, str]:
    """The CloudEvents types on the topic of a kind."""
    return f"lifeos.{kind}.changed.v1", f"lifeos.{kind}.deleted.v1"


def _channel(kind: Kind) -> Schema:
    (topic,) = [one for one in topics.every() if one.name == topics.changes(kind)]
    config = topic.config()
    return {
        "address": topic.name,
        "description": f"{NAMES[kind]} {ORDER} Kept for {topic.retention.days} days, not compacted.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {type_: {"$ref": f"#/components/messages/{type_}"} for type_ in types(kind)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [config["cleanup.policy"]],
                    "retention.ms": int(config["retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(kind: Kind) -> Schema:
    channel = f"#/channels/{kind}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{type_}"} for type_ in types(kind)],
    }


def _message(kind: Kind, type_: str, examples: Iterable[Example]) -> Schema:
    message: dict[str, Any] = {
        "name": type_,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [
                {"$ref": COMPONENT.format(model="Headers")},
                {"type": "object", "properties": {"ce_type": {"const": type_}}},
            ],
        },
        "payload": {"$ref": COMPONENT.format(model=_name(kind))},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "format": "uuid", "description": "The item id, as `ce_subject`."},
                "bindingVersion": "0.5.0",
            }
        },
    }
    if shown := [one for one in examples if one.headers["ce_type"] == type_]:
        message["examples"] = [{"name": one.name, "headers": one.headers, "payload": one.value} for one in shown]
    return message


def _name(kind: Kind) -> str:
    return str(published.value(kind)["title"])


def _schemas() -> dict[str, Schema]:
    schemas: dict[str, Schema] = {"Headers": published.headers(COMPONENT)}
    for kind in VALUES:
        value = published.value(kind, COMPONENT)
        schemas |= value.pop("$defs")
        schemas[value["title"]] = value
    return dict(sorted(schemas.items()))
