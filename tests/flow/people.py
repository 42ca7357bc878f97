"""Several accounts in one world: each with its connection, its changes, and what became of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import orjson

from deploy.simulators.todoist.account import Entity
from outbox.connections import DEMO_TENANT
from schemas.identity import item_id
from tests.flow.books import Subscriber
from tests.flow.expected import assert_same
from tests.flow.world import World
from tests.outbox.conditions import until

CURSOR = "select *, now() as now from sync_cursors where connection_id = $1"
STATUS = "select status, detail from integration_connections where id = $1"
HISTORY = """
select recorded_at, kind, external_id, action, found_by, causation_id, run_id from sync_history
where connection_id = $1 order by recorded_at, version"""
STATES = "select value from outbox where connection_id = $1 and kind = 'sync' order by version"
PUBLISHED = """
select exists (select from outbox o join outbox_lanes l using (lane) where o.item_id = $1 and o.seq <= l.published)"""

_accounts: Iterator[int] = count(7_000_001)


@dataclass(frozen=True)
class Person:
    """Somebody with an account of their own."""

    world: World
    account: str
    connection: UUID

    def run(self, type_: str, **args: object) -> Entity:
        """One change in their account, announced like any other."""
        return self.world.simulator.run(self.account, type_, **args)

    def change(self) -> None:
        """Some change, announced."""
        self.run("item_add", content="Something new")

    async def connect_again(self) -> None:
        assert await self.world.connect(self.account, f"token-{self.account}") == self.connection

    async def cursor(self) -> Any:
        (row,) = await self.world.ask(CURSOR, self.connection)
        return row

    async def status(self) -> tuple[str, str | None]:
        (row,) = await self.world.ask(STATUS, self.connection)
        return row["status"], row["detail"]

    async def history(self) -> list[Any]:
        return await self.world.ask(HISTORY, self.connection)

    async def states(self) -> list[dict[str, Any]]:
        """The versions of their `sync` item, in order."""
        return [orjson.loads(row["value"])["item"] for row in await self.world.ask(STATES, self.connection)]

    async def hears(self, within: float = 20.0) -> float:
        """A change made now is published, whatever happens to others meanwhile. Returns after how many seconds."""
        task = self.run("item_add", content="Is anybody there?")
        item = item_id(DEMO_TENANT, "todoist", self.account, "task", task["id"])

        async def published() -> bool:
            return bool((await self.world.ask(PUBLISHED, item))[0][0])

        return await until(published, f"{self.account} hears of a change", within)

    @property
    def calls(self) -> int:
        return self.world.calls(self.account)

    def is_told_to(self, subscriber: Subscriber) -> None:
        """A subscriber holds what the provider holds."""
        assert_same(subscriber, self.world.simulator, self.account, self.connection)


async def person(world: World, tasks: int = 0) -> Person:
    """A new account, connected, with so many tasks that nobody was told of."""
    account = str(next(_accounts))
    world.simulator.create(account, f"token-{account}")
    for number in range(tasks):
        world.simulator.run(account, "item_add", content=f"Task {number}")
    return Person(world, account, await world.connect(account, f"token-{account}"))
