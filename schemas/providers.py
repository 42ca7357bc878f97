"""The closed set of providers and the kinds of item they yield."""

from typing import Final, Literal

Provider = Literal["google", "todoist"]
PROVIDERS: Final[tuple[Provider, ...]] = ("google", "todoist")

Kind = Literal["calendar-event", "task", "collection", "sync"]
KINDS: Final[tuple[Kind, ...]] = ("calendar-event", "task", "collection", "sync")
