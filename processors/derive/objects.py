"""What the objects of every provider have in common: they are read strictly, and what is wrong is told by its field."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from processors.derive.ids import Ids
from schemas.plan import Observed, Rejected
from schemas.providers import Kind

MAX_SNAPSHOT_BYTES: Final = 256 << 10
"""The hard limit of a change (DESIGN.md §4). What providers allow in one object is far below it."""
TOO_DEEP: Final = "item: nested too deeply"


def _without_nul(value: object) -> object:
    """PostgreSQL stores no NUL in text or jsonb; it means nothing in a title, so it is dropped and the item kept."""
    return value.replace("\0", "") if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_without_nul)]


class Object(BaseModel):
    """Strict: text that should be a number is the provider breaking its word, not something to guess at."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, hide_input_in_errors=True)


def without_nul(value: object) -> object:
    """The same JSON value, in whose texts and names no NUL is left."""
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [without_nul(one) for one in value]
        case dict():
            return {name.replace("\0", ""): without_nul(one) for name, one in value.items()}
    return value


def no_nul(text: str) -> str:
    """An id is never repaired: another id would be another item. Raises ValueError, also for one that was (U+FFFD)."""
    if "\0" in text:
        raise ValueError("contains NUL")
    if "\ufffd" in text:
        raise ValueError("contains what is no character")
    return text


@dataclass(frozen=True, slots=True)
class Seen:
    """What one object shows of its item: all but what the item is called. `snapshot` is None where it is deleted."""

    snapshot: dict[str, Any] | None
    part_of: UUID | None = None
    only_within: bool = False


def derived(
    kind: Kind, external_id: Callable[[], str], value: object, ids: Ids, seen: Callable[[UUID, object], Seen]
) -> Observed | Rejected:
    """The item that an object stands for; a rejection with the first thing that is wrong. Total, as both functions are
    that raise nothing but ValidationError.

    `external_id` reads what the object is called, `seen` the rest, for the item's id and from the object without NUL.
    """
    written = raw(value)
    try:
        name = external_id()
    except ValidationError as error:
        return Rejected(kind, None, detail(error), written)
    item = ids.item(kind, name)
    if not written:
        return Rejected(kind, name, TOO_DEEP, written, item)
    try:
        what = seen(item, without_nul(value) if b"\\u0000" in written else value)
        size = len(orjson.dumps(what.snapshot))
    except ValidationError as error:
        return Rejected(kind, name, detail(error), written, item)
    except orjson.JSONEncodeError:
        return Rejected(kind, name, TOO_DEEP, written, item)
    if size > MAX_SNAPSHOT_BYTES:
        return Rejected(kind, name, f"item: larger than {MAX_SNAPSHOT_BYTES} bytes", written, item)
    return Observed(kind, name, item, what.snapshot, what.part_of, what.only_within)


def detail(error: ValidationError) -> str:
    """The first thing that is wrong, by the path of its field; never its value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or "item"
    return f"{path}: {first['msg'].removeprefix('Value error, ')}"


def raw(value: object) -> bytes:
    """The object as JSON. Empty for what cannot be written again: nested too deeply to be anything of a provider's."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return b""
