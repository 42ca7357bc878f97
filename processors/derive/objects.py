"""What the objects of every provider have in common: they are read strictly, and what is wrong is told by its field."""

from typing import Annotated, Final

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

MAX_SNAPSHOT_BYTES: Final = 256 << 10
"""The hard limit of a change (DESIGN.md §4). What providers allow in one object is far below it."""


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
    """An id is never repaired: another id would be another item. Raises ValueError."""
    if "\0" in text:
        raise ValueError("contains NUL")
    return text


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
