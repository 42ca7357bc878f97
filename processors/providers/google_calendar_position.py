"""How far the reading of a list of Google Calendar's has come, as the text that a cursor keeps. Pure.

Outside a read the position is a bare sync token (`Since`); before the first one there is none (`Everything`). Between two
pages it is the token of the next page, with the sync token that the read began with, which has to be repeated on every
page (providers.md §1.2); a full read began without one.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

MARK: Final = "page/"
"""What every position inside a read begins with, and no sync token may."""
VERSION: Final = "1:"


@dataclass(frozen=True, slots=True)
class Everything:
    """Nothing is read yet."""


@dataclass(frozen=True, slots=True)
class Since:
    """Everything up to this sync token is read."""

    token: str


Text = Annotated[str, Field(min_length=1)]


class Next(BaseModel):
    """The page behind `page` comes next, of what changed since `since`, or of everything where that is None."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    page: Text
    since: Text | None = None

    def text(self) -> str:
        """The position that `parse` takes for this."""
        return f"{MARK}{VERSION}{self.model_dump_json()}"


Position = Everything | Since | Next


def parse(text: str | None) -> Position:
    """What a stored position means. Raises ValueError for one that begins like ours and is not exactly what we write."""
    if text is None:
        return Everything()
    if not text.startswith(MARK):
        return Since(text)
    place = Next.model_validate_json(text.removeprefix(MARK + VERSION))
    if place.text() != text:
        raise ValueError("not written by this version")
    return place


def sync_token(place: Position) -> str | None:
    """The sync token that the read at this place has to send; None in a full read."""
    match place:
        case Everything():
            return None
        case Since(token):
            return token
        case Next(since=since):
            return since


def page_token(place: Position) -> str | None:
    """The page token that the next call has to send; None for the first page of a read."""
    return place.page if isinstance(place, Next) else None
