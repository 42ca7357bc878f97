"""How far the reading of Todoist has come, as the text that a cursor keeps. Pure.

A full read has three parts, and any of them may be the last that a process lived to store:

1. `/sync` with `*` shows what is active, and gives a sync token;
2. `Completed`: pages of the tasks that were completed lately, which `/sync` does not show;
3. `Following`: what changed since the token of part 1, so that no task that moved between the parts is missed.

Outside a full read the position is a bare sync token (`Since`); before the first one there is none (`Everything`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MARK: Final = "full-read/"
"""What every position inside a full read begins with, and no sync token may."""
VERSION: Final = "1:"

LOOK_BACK: Final = timedelta(days=88)
LOOK_AHEAD: Final = timedelta(days=1)
"""Completed tasks are asked for over this much of the past, and of the future in case our clock is behind Todoist's.

Together the 89 days that three months (the longest window allowed, providers.md §3.5) have at least.
"""


@dataclass(frozen=True, slots=True)
class Everything:
    """Nothing is read yet."""


@dataclass(frozen=True, slots=True)
class Since:
    """Everything up to this sync token is read."""

    token: str


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def text(self) -> str:
        """The position that `parse` takes for this."""
        return f"{MARK}{VERSION}{self.model_dump_json()}"


Text = Annotated[str, Field(min_length=1)]


class Completed(_Part):
    """The page of completed tasks at `cursor` comes next, the first one where it is None.

    `since` and `until` stay as they are from page to page, as the cursors demand. `follow` is false in a read that
    `Following` itself began: an API that answers everything in full must not keep a run going for ever.
    """

    part: Literal["completed"] = "completed"
    token: Text
    since: Text
    until: Text
    cursor: Text | None = None
    follow: bool = True


class Following(_Part):
    """What changed since the full read began comes next, and is its last part."""

    part: Literal["following"] = "following"
    token: Text


Position = Everything | Since | Completed | Following

_PARTS: Final[TypeAdapter[Completed | Following]] = TypeAdapter(
    Annotated[Completed | Following, Field(discriminator="part")]
)


def parse(text: str | None) -> Position:
    """What a stored position means. Raises ValueError for one that begins like ours and is not exactly what we write."""
    if text is None:
        return Everything()
    if not text.startswith(MARK):
        return Since(text)
    part = _PARTS.validate_json(text.removeprefix(MARK + VERSION))
    if part.text() != text:
        raise ValueError("not written by this version")
    return part


def begin(token: str, now: datetime, *, follow: bool) -> Completed:
    """The second part of a full read whose first gave `token`. `now` is aware, UTC."""
    return Completed(token=token, since=_time(now - LOOK_BACK), until=_time(now + LOOK_AHEAD), follow=follow)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
