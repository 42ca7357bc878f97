"""What a present contract would break for those who rely on a released one. Pure.

Said from the subscriber's side: it reads what we send. So whatever it was promised must still be true of every record:
a property that was always there still is, a type or a format still holds, a closed vocabulary has no new word. What we
send may become narrower, and more may come beside it.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from deploy.contracts.published import OPEN, Schema

Contract = dict[str, Schema]
"""The published documents by the names of their files."""

ASYNCAPI: Final = "asyncapi.json"

LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
SAME: Final = ("format", "pattern", "contentEncoding", "contentMediaType", "uniqueItems", "multipleOf")
NESTED: Final = ("items", "additionalProperties", "propertyNames")
MAPS: Final = ("properties", "patternProperties")


def breaks(released: Contract, present: Contract) -> list[str]:
    """One line per promise that would be broken, naming the place; empty when nothing would."""
    return [*_documents(released, present), *_topics(released.get(ASYNCAPI, {}), present.get(ASYNCAPI, {}))]


def _documents(released: Contract, present: Contract) -> Iterator[str]:
    for file, was in released.items():
        if file == ASYNCAPI:
            continue
        if file not in present:
            yield f"{file}: the schema is gone"
        else:
            yield from _Comparison(was, present[file]).breaks(file.removesuffix(".schema.json"), was, present[file])


def _topics(was: Schema, now: Schema) -> Iterator[str]:
    topics = {channel["address"]: channel for channel in now.get("channels", {}).values()}
    for channel in was.get("channels", {}).values():
        name = channel["address"]
        if name not in topics:
            yield f"{name}: the topic is gone"
        else:
            yield from _topic(name, _Topic(was, channel), _Topic(now, topics[name]))


class _Topic:
    """A channel of a document, with what it refers to."""

    def __init__(self, document: Schema, channel: Schema) -> None:
        self.document = document
        self.kafka: Schema = channel["bindings"]["kafka"]
        self.messages = {name: _resolved(document, message) for name, message in channel["messages"].items()}

    @property
    def config(self) -> Schema:
        return dict(self.kafka["topicConfiguration"])


def _topic(name: str, was: _Topic, now: _Topic) -> Iterator[str]:
    if was.kafka["partitions"] != now.kafka["partitions"]:
        yield f"{name}: {now.kafka['partitions']} partitions instead of {was.kafka['partitions']}"
    if now.config["retention.ms"] < was.config["retention.ms"]:
        yield f"{name}: is kept for a shorter time"
    if now.config["cleanup.policy"] != was.config["cleanup.policy"]:
        yield f"{name}: the clean-up policy is another"
    if now.config["max.message.bytes"] > was.config["max.message.bytes"]:
        yield f"{name}: records may be larger"
    for type_, message in was.messages.items():
        if type_ not in now.messages:
            yield f"{name} {type_}: the message is gone"
        else:
            yield from _message(f"{name} {type_}", (was.document, message), (now.document, now.messages[type_]))
    for type_ in now.messages.keys() - was.messages.keys():
        yield f"{name} {type_}: a type of message that subscribers do not expect there"


def _message(where: str, was: tuple[Schema, Schema], now: tuple[Schema, Schema]) -> Iterator[str]:
    (old_document, old), (new_document, new) = was, now
    if new["contentType"] != old["contentType"]:
        yield f"{where}: the content type is another"
    comparison = _Comparison(old_document, new_document)
    key, new_key = old["bindings"]["kafka"]["key"], new["bindings"]["kafka"].get("key")
    if new_key is None:
        yield f"{where} key: is gone"
    else:
        yield from comparison.breaks(f"{where} key", key, new_key)
    yield from comparison.breaks(f"{where} headers", old["headers"], new["headers"])
    if "payload" not in new:
        yield f"{where} payload: nothing is said of it any more"
    else:
        yield from comparison.breaks(f"{where} payload", old["payload"], new["payload"])


def _resolved(document: Schema, node: Schema) -> Schema:
    """A node with what it refers to, and all that must hold together, in one."""
    parts = [{key: inner for key, inner in node.items() if key not in ("$ref", "allOf")}]
    if "$ref" in node:
        found: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        parts.append(_resolved(document, found))
    parts += [_resolved(document, one) for one in node.get("allOf", ())]
    merged: Schema = {}
    for part in parts:
        for keyword, said in part.items():
            if keyword in MAPS:
                both = merged.get(keyword, {})
                merged[keyword] = both | {n: {"allOf": [both[n], s]} if n in both else s for n, s in said.items()}
            elif keyword == "required":
                merged[keyword] = [*merged.get(keyword, ()), *said]
            else:
                merged.setdefault(keyword, said)
    return merged


class _Comparison:
    """Of two documents, node by node. A pair of references that is being compared is not entered again: they may be cyclic."""

    def __init__(self, released: Schema, present: Schema) -> None:
        self._released = released
        self._present = present
        self._entered: set[tuple[str, str]] = set()

    def breaks(self, where: str, was: Schema, now: Schema) -> list[str]:
        if "$ref" not in was or "$ref" not in now:
            return self._breaks(where, was, now)
        pair = (was["$ref"], now["$ref"])
        if pair in self._entered:
            return []
        self._entered.add(pair)
        found = self._breaks(where, was, now)
        self._entered.remove(pair)
        return found

    def _breaks(self, where: str, was: Schema, now: Schema) -> list[str]:
        was, now = _resolved(self._released, was), _resolved(self._present, now)
        return [*(f"{where}: {what}" for what in _here(was, now)), *self._below(where, was, now)]

    def _below(self, where: str, was: Schema, now: Schema) -> Iterator[str]:
        for name, inner in was.get("properties", {}).items():
            if name not in now.get("properties", {}):
                yield f"{where}.{name}: is gone"
            else:
                yield from self.breaks(f"{where}.{name}", inner, now["properties"][name])
        for pattern, inner in was.get("patternProperties", {}).items():
            if pattern not in now.get("patternProperties", {}):
                yield f"{where}{{}}: names are no longer like {pattern}"
            else:
                yield from self.breaks(f"{where}{{}}", inner, now["patternProperties"][pattern])
        for keyword in NESTED:
            if isinstance(inner := was.get(keyword), dict) and inner:
                yield from self._nested(f"{where}{'[]' if keyword == 'items' else '{}'}", inner, now.get(keyword))
        yield from self._alternatives(where, was, now)

    def _nested(self, where: str, was: Schema, now: object) -> Iterator[str]:
        if isinstance(now, dict):
            yield from self.breaks(where, was, now)
        else:
            yield f"{where}: nothing is said of them any more"

    def _alternatives(self, where: str, was: Schema, now: Schema) -> Iterator[str]:
        """Each thing that may be sent now is one that could be sent then."""
        for keyword in ("anyOf", "oneOf"):
            old, new = was.get(keyword), now.get(keyword)
            if old is None:
                continue
            for number, one in enumerate(new if new is not None else [now]):
                if all(self.breaks(where, other, one) for other in old):
                    yield f"{where}: may be something else now (alternative {number + 1})"


def _here(was: Schema, now: Schema) -> Iterator[str]:
    """What is broken in a node itself, whatever is below it."""
    return chain(_type(was, now), _required(was, now), _vocabulary(was, now), _same(was, now), _bounds(was, now))


def _type(was: Schema, now: Schema) -> Iterator[str]:
    old, new = _types(was), _types(now)
    if old is not None and (new is None or not new <= old):
        yield f"is {_told(new)} instead of {_told(old)}"


def _types(node: Schema) -> set[str] | None:
    said = node.get("type")
    if said is None:
        words = [node["const"]] if "const" in node else node.get("enum", ())
        return {"string"} if words and all(isinstance(word, str) for word in words) else None
    types = {said} if isinstance(said, str) else set(said)
    return types | {"integer"} if "number" in types else types


def _told(types: set[str] | None) -> str:
    return " or ".join(sorted(types)) if types else "anything"


def _required(was: Schema, now: Schema) -> Iterator[str]:
    for name in sorted(set(was.get("required", ())) - set(now.get("required", ()))):
        if name in now.get("properties", {}):
            yield f"{name} may be absent now"


def _vocabulary(was: Schema, now: Schema) -> Iterator[str]:
    old, new = _words(was), _words(now)
    closed = old is not None and OPEN not in was
    if closed and (new is None or OPEN in now):
        yield "the vocabulary is no longer closed"
    elif closed:
        yield from (f"a new word in a closed vocabulary: {word}" for word in new or () if word not in (old or ()))
    yield from (f"a word is gone: {word}" for word in old or () if new is None or word not in new)


def _words(node: Schema) -> list[Any] | None:
    if "const" in node:
        return [node["const"]]
    found = node.get("enum", node.get(OPEN))
    return None if found is None else list(found)


def _same(was: Schema, now: Schema) -> Iterator[str]:
    # Whether one pattern allows less than another cannot be told, so another one counts as a break.
    yield from (f"the {word} is another" for word in SAME if word in was and now.get(word) != was[word])


def _bounds(was: Schema, now: Schema) -> Iterator[str]:
    for words, looser in ((LEAST, _less), (MOST, _more)):
        yield from (f"{word} is looser" for word in words if word in was and looser(now.get(word), was[word]))


def _less(now: float | None, was: float) -> bool:
    return now is None or now < was


def _more(now: float | None, was: float) -> bool:
    return now is None or now > was
