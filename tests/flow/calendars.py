"""Several people with calendars in one world: each with a connection, changes, and what became of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import orjson

from deploy.simulators.google.simulator import Simulator
from outbox.connections import DEMO_TENANT
from schemas.identity import item_id
from tests.flow.books import Subscriber
from tests.flow.expected_google import assert_same
from tests.flow.people import CURSOR, HISTORY, PUBLISHED, STATES, STATUS
from tests.flow.world import World
from tests.outbox.conditions import until

OF_RESOURCE = f"{CURSOR} and resource = $2"
SUBSCRIPTIONS = """
select * from webhook_subscriptions where connection_id = $1 and resource = $2 order by created_at, id"""
RECEIPTS = 'select * from receipts where subscription_id = $1 order by accepted_at, "offset"'
RUNS = "select * from sync_runs where connection_id = $1 order by ended_at"

LIST = "calendar/list"
TOMORROW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
NOON: dict[str, Any] = {
    "start": {"dateTime": TOMORROW.isoformat(), "timeZone": "UTC"},
    "end": {"dateTime": (TOMORROW + timedelta(hours=1)).isoformat(), "timeZone": "UTC"},
}
"""When an event takes place of which that does not matter. Occurrences too far from now are not shown one by one."""
DAILY: dict[str, Any] = {"recurrence": ["RRULE:FREQ=DAILY;COUNT=20"]}

_accounts: Iterator[int] = count(113_774_264_463_000_000_000)


@dataclass(frozen=True)
class Owner:
    """Somebody with two calendars of their own. `choir` is the id of the second."""

    world: World
    account: str
    connection: UUID
    choir: str

    @property
    def google(self) -> Simulator:
        return self.world.google

    @property
    def own(self) -> str:
        """Google's id of the calendar that everybody has."""
        return self.google.world.people[self.account].email

    def add(self, summary: str = "Lunch", calendar: str = "primary", **fields: Any) -> str:
        """A new event, announced like any other; its id."""
        made = self.google.insert(self.account, calendar, {"summary": summary, **NOON, **fields})
        return str(made["id"])

    def rename(self, event: str, summary: str, calendar: str = "primary") -> None:
        self.google.patch(self.account, calendar, event, {"summary": summary})

    def remove(self, event: str, calendar: str = "primary") -> None:
        self.google.delete(self.account, calendar, event)

    def add_calendar(self, name: str) -> str:
        return self.google.add_calendar(self.account, name)

    def path(self, calendar: str | None = None, verb: str = "") -> str:
        """Where the API has the events of a calendar, for faults."""
        return f"/calendar/v3/calendars/{calendar or self.own}/events{verb}"

    def events(self, calendar: str | None = None) -> str:
        """The resource that a calendar is."""
        return f"calendar/events/{calendar or self.own}"

    def change(self) -> None:
        """Some change, announced."""
        self.add("Something new")

    async def connect_again(self) -> None:
        assert await self.world.connect_google(self.account, f"token-{self.account}") == self.connection

    @property
    def calls(self) -> int:
        return self.google.calls(self.account)

    def calls_for(self, resource: str) -> int:
        return self.google.calls(self.account, resource)

    def reads(self, resource: str, what: str = "full") -> int:
        """How many reads (`full`, `partial`) or pages (`page`) of a resource the provider has served to them."""
        return self.google.holding(self.account).books.of_resource(resource).get(what, 0)

    async def cursor(self, resource: str | None = None) -> Any:
        (row,) = await self.world.ask(OF_RESOURCE, self.connection, resource or self.events())
        return row

    async def subscriptions(self, resource: str | None = None) -> list[Any]:
        """All there ever were for a resource, in order."""
        return await self.world.ask(SUBSCRIPTIONS, self.connection, resource or self.events())

    async def runs(self) -> list[Any]:
        return await self.world.ask(RUNS, self.connection)

    async def status(self) -> tuple[str, str | None]:
        (row,) = await self.world.ask(STATUS, self.connection)
        return row["status"], row["detail"]

    async def told(self, before: int = 0) -> list[tuple[str, str, str]]:
        """What subscribers were told behind the first `before` changes, but for the state of cursors: (the provider's
        id of the item in its calendar, what was done, how it was found), sorted."""
        rows = [row for row in await self.world.ask(HISTORY, self.connection) if row["kind"] != "sync"]
        return sorted((row["external_id"], row["action"], row["found_by"]) for row in rows[before:])

    async def states(self, resource: str) -> list[dict[str, Any]]:
        """The versions of a resource's `sync` item, in order."""
        items = [orjson.loads(row["value"])["item"] for row in await self.world.ask(STATES, self.connection)]
        return [item for item in items if item["resource"] == resource]

    async def hears(self, within: float = 20.0) -> float:
        """A change made now is published, whatever happens to others meanwhile. Returns after how many seconds."""
        external_id = f"{self.own}/{self.add('Is anybody there?')}"
        item = item_id(DEMO_TENANT, "google", self.account, "calendar-event", external_id)

        async def published() -> bool:
            return bool((await self.world.ask(PUBLISHED, item))[0][0])

        return await until(published, f"{self.account} hears of a change", within)

    def is_told_to(self, subscriber: Subscriber) -> None:
        """A subscriber holds what the provider holds."""
        assert_same(subscriber, self.google, self.account, self.connection)


def occurrence(series: str, day: int) -> str:
    """The id of an occurrence of a series that begins at `NOON` and takes place every day."""
    return f"{series}_{TOMORROW + timedelta(days=day):%Y%m%dT%H%M%SZ}"


async def owner(world: World) -> Owner:
    """A new account, connected."""
    account = str(next(_accounts))
    world.google.create(account, f"token-{account}")
    choir = world.google.add_calendar(account, "Choir")
    return Owner(world, account, await world.connect_google(account, f"token-{account}"), choir)


async def owners(world: World, how_many: int) -> list[Owner]:
    """New accounts, connected, and read for the first time."""
    made = [await owner(world) for _ in range(how_many)]
    await world.settled()
    return made
