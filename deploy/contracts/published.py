"""One JSON Schema per kind, and one of the headers, as a subscriber may hold them against records.

Our own models are closed, so that we notice what we did not mean to send. What is published is open: properties may be
added, and so may words of a vocabulary unless it is closed.
"""

import re
from typing import Any, Final

from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from schemas.change import VALUES, Attributes, Value
from schemas.providers import Kind

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
OPEN: Final = "x-extensible-enum"
"""The words of a vocabulary that may grow. To a validator any text will do there, and to a subscriber it has to."""
LOCAL: Final = "#/$defs/{model}"


class _AsSent(GenerateJsonSchema):
    """A model as what it sends: a field that is None is absent, every other is there, and more may come."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_is_required(self, field: Any, total: bool) -> bool:
        inner = field["schema"]
        while inner["type"] == "default":
            inner = inner["schema"]
        return bool(inner["type"] != "nullable")

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("additionalProperties", None)
        if "description" in made:
            made["description"] = _as_told(made["description"])
        return made


def value(kind: Kind, ref_template: str = LOCAL) -> Schema:
    """The schema of a record's value; what it refers to stands under `$defs`."""
    made = VALUES[kind].model_json_schema(schema_generator=_AsSent, mode="serialization", ref_template=ref_template)
    made["title"] = f"{kind.title().replace('-', '')}Change"
    made["description"] = _as_told(Value.__doc__ or "")
    for item in made["$defs"].values():
        _grow(item)
    return made


def headers(ref_template: str = LOCAL) -> Schema:
    """The schema of the headers of any change, as an object of texts."""
    made = Attributes.model_json_schema(schema_generator=_AsSent, mode="serialization", ref_template=ref_template)
    _open(made["properties"]["ce_foundby"])
    return made


def standalone() -> dict[str, Schema]:
    """Every schema by the name of its file."""
    schemas = {f"{kind}.schema.json": (f"changes.{kind}", value(kind)) for kind in VALUES}
    schemas["headers.schema.json"] = ("changes:headers", headers())
    return {file: _at_home(name, schema) for file, (name, schema) in sorted(schemas.items())}


def _at_home(name: str, schema: Schema) -> Schema:
    head = {"$schema": DIALECT, "$id": f"urn:lifeos:{name}:v1"}
    return head | {key: schema[key] for key in ("title", "description")} | schema


def _grow(node: Any) -> None:
    """Opens the vocabularies of an item: all but the name of a type, which says what to read the rest as."""
    if isinstance(node, list):
        for one in node:
            _grow(one)
    if not isinstance(node, dict):
        return
    for name, inner in node.get("properties", {}).items():
        if name != "@type":
            _open(inner)
            _grow(inner)
    if "propertyNames" in node:
        _open(node["propertyNames"])
    for keyword in ("items", "additionalProperties"):
        if keyword in node:
            _open(node[keyword])
            _grow(node[keyword])
    for inner in node.get("patternProperties", {}).values():
        _grow(inner)


def _open(node: Any) -> None:
    """Turns a closed vocabulary into one that may grow. `true` is no vocabulary: it is how a set is written in JSON."""
    words = node.pop("enum", None) if isinstance(node, dict) else None
    if words is None and isinstance(node, dict) and isinstance(node.get("const"), str):
        words = [node.pop("const")]
    if words is not None:
        node.update({"type": "string", OPEN: words})


def _as_told(docstring: str) -> str:
    """A docstring in the names of the wire, on one line."""
    one_line = " ".join(docstring.split())
    return re.sub(r"`(?:[A-Z]\w*\.)?([a-z]+_[a-z_]+)`", lambda name: f"`{to_camel(name[1])}`", one_line)
