"""The closed set of providers and the kinds of item they yield."""

from typing import Final, Literal

Provider = Literal["todoist"]
PROVIDERS: Final[tuple[Provider, ...]] = ("todoist",)

Kind = Literal["task", "collection", "sync"]
KINDS: Final[tuple[Kind, ...]] = ("task", "collection", "sync")
