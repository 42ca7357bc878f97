"""What `lifeos doctor` looks at. Each check asks once and says one thing; none depends on another's answer.

`bad`: the service does not do its work, or would lose something. `warn`: it works, and somebody has to do something
before it stops, or for a single account. What an account's provider refuses is never `bad`.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Literal

from deploy.operator.checks import accounts, kafka, postgresql, settings, shares
from deploy.operator.checks.finding import Finding, Ward

__all__ = ["CHECKS", "Check", "Finding", "Needs", "Ward"]

Check = Callable[[Ward], Awaitable[Finding]]
Needs = frozenset[Literal["postgresql", "kafka"]]

DATABASE: Final[Needs] = frozenset({"postgresql"})
KAFKA: Final[Needs] = frozenset({"kafka"})

CHECKS: Final[tuple[tuple[str, Check, Needs], ...]] = (
    ("settings", settings.settings, frozenset()),
    ("postgresql", postgresql.postgresql, DATABASE),
    ("schema", postgresql.schema, DATABASE),
    ("clock", postgresql.clock, DATABASE),
    ("durability", postgresql.durability, DATABASE),
    ("days", postgresql.days, DATABASE),
    ("kafka", kafka.kafka, KAFKA),
    ("topics", kafka.topics_, KAFKA),
    ("retention", kafka.ladder, KAFKA),
    ("brokers", kafka.brokers, KAFKA),
    ("partitions", shares.partitions, DATABASE | KAFKA),
    ("cursors", accounts.cursors, DATABASE),
    ("connections", accounts.connections, DATABASE),
    ("readers", accounts.readers, DATABASE),
    ("channels", accounts.channels, DATABASE),
    ("subscriptions", accounts.subscriptions, DATABASE),
    ("parked", accounts.parked, DATABASE),
    ("lanes", shares.lanes, DATABASE),
    ("relays", shares.relays, DATABASE),
)
"""Every check with what it asks. `postgresql` and `kafka` say whether they answer; the others are then unknown."""
