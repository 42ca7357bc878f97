"""The Google Calendar simulator: many accounts, their channels, its faults and books. `server.running` puts it on a port."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, ClassVar, Final, TypeVar

from pydantic import BaseModel

from deploy.simulators.google.books import PARTS, Books, change_entry
from deploy.simulators.google.calendar import Role
from deploy.simulators.google.channels import LIFETIME, STATES, Channel, Channels, Push, pause, pushed
from deploy.simulators.google.faults import ApiFault, Faults
from deploy.simulators.google.log import Entity, Log
from deploy.simulators.google.mix import mixed
from deploy.simulators.google.world import LIST, Change, SavedWorld, World
from deploy.simulators.posts import Posts
from deploy.simulators.simulator import YIELD_EVERY, Simulated, post, utc_now

T = TypeVar("T")

ALPHABET: Final = "0123456789abcdefghijklmnopqrstuv"


@dataclass(slots=True)
class Holding:
    """An account with all that is kept about it."""

    account: str
    token: str
    books: Books = field(default_factory=Books)


class SavedSimulator(BaseModel):
    """What outlives the process: accounts, calendars, channels. Books and faults begin anew."""

    world: SavedWorld = SavedWorld(number=0)
    tokens: dict[str, str] = {}
    channels: list[Channel] = []


class Simulator(Simulated[Holding, Push, ApiFault]):
    """Every change made here is announced on the channels that watch it.

    An account is a `sub`; `primary` and its address both name its own calendar.
    """

    PROVIDER: ClassVar[str] = "Google"
    SAVED: ClassVar[type[BaseModel]] = SavedSimulator

    def __init__(
        self,
        *,
        retry_delay: float = 0.5,
        lifetime: timedelta = LIFETIME,
        page_size: int | None = None,
        connections: int = 64,
        seed: int | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`retry_delay`: seconds before the first redelivery, doubling after. `lifetime`: the longest of a channel.
        `page_size`: what no page exceeds, whatever is asked for. `seed` makes ids repeatable."""
        super().__init__(Faults(), connections=connections, seed=seed, now=now)
        self.page_size = page_size
        self.lifetime = lifetime
        self.channels = Channels()
        # The present of `now` is looked up at each call: tests set another one.
        self.world = World(ids=self._letters, now=lambda: self.now(), life=secrets.token_hex(6))
        self._retry_delay = retry_delay
        self._posts: dict[str, Posts] = {}

    # Accounts ---------------------------------------------------------------------------------------------------------

    def create(
        self,
        account: str,
        token: str,
        full_name: str = "Ann Example",
        *,
        email: str | None = None,
        time_zone: str = "Europe/Zurich",
    ) -> Holding:
        if any(account == known or token == holding.token for known, holding in self._holdings.items()):
            raise ValueError(f"account {account} or its token exists already")
        self.world.open(account, full_name, email or f"{account}@example.org", time_zone)
        holding = self._holdings[account] = Holding(account, token)
        self._announced()
        return holding

    @property
    def target(self) -> str:
        return "the addresses of its channels"

    def saved(self) -> SavedSimulator:
        now = self.now()
        return SavedSimulator(
            world=self.world.saved(),
            tokens={account: holding.token for account, holding in self._holdings.items()},
            channels=[channel for channel in self.channels.by_id.values() if now < channel.expires_at],
        )

    def restore(self, saved: SavedSimulator) -> None:
        self.world.restore(saved.world)
        self._holdings |= {account: Holding(account, token) for account, token in saved.tokens.items()}
        for channel in saved.channels:
            self.channels.add(channel)

    @property
    def state(self) -> tuple[object, ...]:
        channels = self.channels.by_id.values()
        numbers = sum(channel.number for channel in channels), sum(channel.stopped for channel in channels)
        return self.world.number, len(self._holdings), len(channels), numbers

    def listed(self) -> list[dict[str, Any]]:
        people = (self.world.people[account] for account in self._holdings)
        return [
            {
                "account": one.account,
                "full_name": one.full_name,
                "email": one.email,
                "sequence": self._sequence(one.account),
            }
            for one in people
        ]

    # Changes ----------------------------------------------------------------------------------------------------------

    def insert(self, account: str, calendar_id: str, body: Entity) -> Entity:
        """events.insert, announced; raises `Refused`, as all of these do."""
        return self._do(lambda: self.world.insert(account, calendar_id, body))

    def patch(self, account: str, calendar_id: str, event_id: str, body: Entity) -> Entity:
        return self._do(lambda: self.world.patch(account, calendar_id, event_id, body))

    def update(self, account: str, calendar_id: str, event_id: str, body: Entity) -> Entity:
        return self._do(lambda: self.world.update(account, calendar_id, event_id, body))

    def delete(self, account: str, calendar_id: str, event_id: str) -> None:
        return self._do(lambda: self.world.delete(account, calendar_id, event_id))

    def move(self, account: str, calendar_id: str, event_id: str, destination: str) -> Entity:
        return self._do(lambda: self.world.move(account, calendar_id, event_id, destination))

    def put(self, calendar_id: str, event: Entity) -> Entity:
        """Have an event exactly so (its `id` at least), whatever Google would say of it."""
        return self._do(lambda: self.world.put(calendar_id, event))

    def add_calendar(self, account: str, summary: str, **fields: Any) -> str:
        """A secondary calendar; its id."""
        return str(self._do(lambda: self.world.add_calendar(account, {"summary": summary, **fields}))["id"])

    def patch_calendar(self, account: str, calendar_id: str, **fields: Any) -> Entity:
        return self._do(lambda: self.world.patch_calendar(account, calendar_id, fields))

    def delete_calendar(self, account: str, calendar_id: str) -> None:
        return self._do(lambda: self.world.delete_calendar(account, calendar_id))

    def patch_entry(self, account: str, calendar_id: str, **fields: Any) -> Entity:
        """calendarList.patch: colour, own name, hidden, selected."""
        return self._do(lambda: self.world.patch_entry(account, calendar_id, fields))

    def subscribe(self, account: str, calendar_id: str, role: Role = "reader") -> Entity:
        """Somebody else's calendar, shared with an account and in its list."""

        def share() -> Entity:
            self.world.share(calendar_id, account, role)
            return self.world.subscribe(account, {"id": calendar_id})

        return self._do(share)

    def unsubscribe(self, account: str, calendar_id: str) -> None:
        """calendarList.delete: out of one's list; the access stays."""
        return self._do(lambda: self.world.unsubscribe(account, calendar_id))

    def set_role(self, account: str, calendar_id: str, role: Role | None) -> None:
        """Change an account's access to a calendar; None takes it away: out of the list, and 404 from now on."""
        return self._do(lambda: self.world.share(calendar_id, account, role))

    def set_watchable(self, calendar_id: str, watchable: bool) -> None:
        """Whether `watch` of its events works, which for birthdays and holidays it does not."""
        self.world.calendars[calendar_id].watchable = watchable

    def events(self, account: str, calendar_id: str) -> list[Entity]:
        """What a full read of a calendar would show."""
        calendar = self.world.calendar(account, calendar_id)
        return list(self.world.state(account)["events"][calendar.id])

    async def mix(self, account: str, changes: int, seed: int | None = None) -> None:
        dice = Random(seed)
        for number in range(changes):
            self._do(lambda: mixed(self.world, account, dice))
            if number % YIELD_EVERY == 0:
                await self.room()
                await asyncio.sleep(0)

    # Tokens, channels, books ------------------------------------------------------------------------------------------

    def expire_sync_tokens(self, account: str | None = None, resource: str | None = None) -> None:
        """Every sync token handed out so far has expired: of all or one account, of all or one resource."""
        for log in self._logs(account, resource):
            log.expire(account)

    def expire_page_tokens(self, account: str | None = None, resource: str | None = None, status: int = 410) -> None:
        """Every page token handed out so far is answered with `status`; of one account: of what its list shows."""
        for log in self._logs(account, resource):
            log.expire_pages(status)

    def expire_channels(self, account: str) -> None:
        """Every channel of an account has expired: it pushes no more, and stopping it is 404."""
        for channel in self._of(account):
            channel.expires_at = min(channel.expires_at, self.now())

    async def watch(self, holding: Holding, resource: str, owner: str | None, uri: str, body: Entity) -> Channel:
        """Open a channel; its sync message goes out at once, and half of the time it is there first. Raises `Refused`."""
        channel = self.channels.open(holding.account, resource, owner, uri, body, self.now(), self.lifetime)
        self._push(channel, "sync")
        await asyncio.sleep(self._dice.choice((0, 0.02)))
        return channel

    def calls(self, account: str, resource: str | None = None) -> int:
        """Calls of the API that an account made, all or those that concerned one resource."""
        books = self.holding(account).books
        if resource is None:
            return books.calls.total()
        return books.of_resource(resource).get("call", 0)

    def announce(self, holding: Holding) -> None:
        self._announced()

    def read(self, account: str, parts: tuple[str, ...] | None = None) -> dict[str, Any]:
        books, now = self.holding(account).books, self.now()
        readers: dict[str, Callable[[], Any]] = {
            "state": lambda: self.world.state(account),
            "changes": lambda: [change_entry(change) for change in books.changes],
            "pushes": lambda: [push.entry() for push in books.pushes],
            "calls": books.called,
            "resources": books.by_resource,
            "channels": lambda: [c.shown() | {"resource": c.resource, "live": c.live(now)} for c in self._of(account)],
        }
        wanted = PARTS if parts is None else parts
        told: dict[str, Any] = {part: readers[part]() for part in PARTS if part in wanted}
        return {"account": account, "sequence": self._sequence(account), **told}

    def next_push(self, account: str, edits: bool) -> Callable[[], Push]:
        """All on the newest living channel of the account's own calendar, or of anything else where that has none; with
        `edits`, each after a real edit there."""
        now, primary = self.now(), self.world.people[account].email
        living = [channel for channel in self._of(account) if channel.live(now)]
        own = [channel for channel in living if channel.resource.endswith(f"/{primary}")]
        if not living:
            raise ValueError(f"account {account} has no channel to push on")
        channel = (own or living)[-1]

        def next_push() -> Push:
            if edits:
                mixed(self.world, account, self._dice, calendar_id=primary)
                for change in self.world.take():
                    self._enter(change)
            push = pushed(channel, "exists", self._dice, storm=True)
            self.holding(account).books.pushes.append(push)
            return push

        return next_push

    async def close(self) -> None:
        await super().close()
        for posts in self._posts.values():
            posts.close()

    def _do(self, change: Callable[[], T]) -> T:
        try:
            return change()
        finally:
            self._announced()

    def _announced(self) -> None:
        """Enter fresh changes in the books of everybody whom they concern, and push them."""
        for change in self.world.take():
            self._enter(change)
            gone = change.account is None and change.action == "deleted" and change.resource.endswith(f"/{change.id}")
            for channel in self.channels.of(change.resource, change.account, self.now()):
                self._push(channel, "not_exists" if gone else "exists")
            if gone:
                self.channels.end(change.resource)

    def _enter(self, change: Change) -> None:
        for account, holding in self._holdings.items():
            calendar = self.world.calendars.get(change.resource.rpartition("/")[2])
            if change.account == account or (change.account is None and calendar and account in calendar.roles):
                holding.books.changes.append(change)

    def _push(self, channel: Channel, state: STATES) -> None:
        push = pushed(channel, state, self._dice)
        self.holding(channel.account).books.pushes.append(push)
        self._sender.announce(push)

    def _of(self, account: str) -> Iterable[Channel]:
        return (channel for channel in self.channels.by_id.values() if channel.account == account)

    def _logs(self, account: str | None, resource: str | None) -> list[Log]:
        """Lists and calendars; of one account, its own list and what is in it."""
        people = self.world.people.values() if account is None else [self.world.people[account]]
        lists = [person.list for person in people]
        calendars = {id_: self.world.calendars[id_].log for list_ in lists for id_ in list_.entries}
        found = (lists if resource in (None, LIST) else []) + list(calendars.values())
        return [log for log in found if resource in (None, log.name) or (resource == LIST and log in lists)]

    def _sequence(self, account: str) -> int:
        return sum(log.seq for log in self._logs(account, None))

    async def _post(self, push: Push) -> int:
        address = push.channel.address
        if address not in self._posts:
            self._posts[address] = Posts(address, connections=self._connections)
        return await post(self._posts[address], push)

    def _pause(self, result: int | str, attempts: int) -> float | None:
        return pause(result, attempts, self._retry_delay)

    def _letters(self, count: int) -> str:
        return "".join(self._dice.choices(ALPHABET, k=count))

    def _id(self) -> str:
        return self._letters(26)
