"""The closed set of providers and the kinds of item they yield."""

from typing import Final, Literal, get_args

Provider = Literal["google", "todoist"]
PROVIDERS: Final[tuple[Provider, ...]] = get_args(Provider)

Kind = Literal["calendar-event", "task", "collection", "sync"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
