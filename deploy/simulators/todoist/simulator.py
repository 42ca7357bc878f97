"""The Todoist simulator: many accounts, their webhooks, its faults and books. `server.running` puts it on a port."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Final

from pydantic import BaseModel

from deploy.simulators.posts import Posts
from deploy.simulators.todoist.account import Account, Change, Entity, Saved
from deploy.simulators.todoist.books import Books
from deploy.simulators.todoist.commands import execute
from deploy.simulators.todoist.faults import FaultSwitch
from deploy.simulators.todoist.limits import Limits, Meter
from deploy.simulators.todoist.mix import mixed
from deploy.simulators.todoist.projects import open_account
from deploy.simulators.todoist.pushes import Push, Sender, pushed
from deploy.simulators.todoist.storm import Storm, edited, repeated

ALPHABET: Final = "23456789CFGHJMPQRVWXcfghjmpqrvwx"
YIELD_EVERY: Final = 20
"""Changes made before others on the loop get their turn."""


@dataclass(slots=True)
class Holding:
    """An account with all that is kept about it."""

    account: Account
    token: str
    books: Books = field(default_factory=Books)
    meter: Meter = field(default_factory=Meter)


class SavedHolding(BaseModel):
    token: str
    account: Saved


class SavedAccounts(BaseModel):
    """What outlives the process: the accounts. Books, meters and faults begin anew."""

    accounts: list[SavedHolding] = []


class Simulator:
    """State in memory; `saved` and `restore` carry the accounts from one process to the next.

    Every change made here is announced to `webhook_url`, if there is one.
    """

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        client_secret: str = "test-client-secret",  # noqa: S107 - the secret of the captured exchanges, no one's
        redelivery_delay: float = 1.0,
        connections: int = 64,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        seed: int | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`redelivery_delay` in seconds stands for the provider's 15 minutes. `seed` makes ids repeatable."""
        self.url = ""
        self.faults = FaultSwitch()
        self.limits = limits
        self.now = now
        self.storms: dict[str, Storm] = {}
        self._dice = Random(seed)
        self._connections = connections
        posts = Posts(webhook_url, connections=connections) if webhook_url else None
        self._sender = Sender(posts, client_secret, self.faults, redelivery_delay=redelivery_delay)
        self._holdings: dict[str, Holding] = {}
        self._work: set[asyncio.Task[None]] = set()

    @property
    def webhook_url(self) -> str | None:
        return self._sender.posts.url if self._sender.posts else None

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        """From now on pushes go to `url`; with None, changes are not announced."""
        self._sender.aim(Posts(url, connections=self._connections) if url else None)

    def create(self, user_id: str, token: str, full_name: str = "Ann Example") -> Account:
        """A new account with an inbox, reached with `Bearer <token>`. Raises ValueError when id or token is taken."""
        if any(user_id == known or token == holding.token for known, holding in self._holdings.items()):
            raise ValueError(f"account {user_id} or its token exists already")
        account = open_account(
            user_id, ids=self._id, generation=secrets.token_bytes(6), full_name=full_name, now=self.now()
        )
        self._holdings[user_id] = Holding(account, token)
        return account

    def saved(self) -> SavedAccounts:
        return SavedAccounts(
            accounts=[SavedHolding(token=one.token, account=one.account.saved()) for one in self.accounts()]
        )

    def restore(self, saved: SavedAccounts) -> None:
        """Have the accounts of an earlier process. Nothing is announced."""
        for one in saved.accounts:
            account = Account.restored(one.account, ids=self._id, generation=secrets.token_bytes(6))
            self._holdings[account.user_id] = Holding(account, one.token)

    @property
    def state(self) -> dict[str, tuple[int, bytes]]:
        """Another one means that there is something new to save."""
        return {user_id: holding.account.state for user_id, holding in self._holdings.items()}

    def accounts(self) -> list[Holding]:
        return list(self._holdings.values())

    def holding(self, user_id: str) -> Holding:
        """Raises KeyError."""
        return self._holdings[user_id]

    def holding_of(self, authorization: str) -> Holding | None:
        """Whose bearer token this is."""
        scheme, _, token = authorization.partition(" ")
        owners = (holding for holding in self._holdings.values() if holding.token == token)
        return next(owners, None) if scheme.lower() == "bearer" else None

    def run(self, user_id: str, type_: str, **args: object) -> Entity:
        """Make one change as the account's owner and announce it. Returns the entity. Raises `Refused`."""
        holding = self.holding(user_id)
        try:
            return execute(holding.account, type_, dict(args), self.now())
        finally:
            self.announce(holding)

    async def mix(self, user_id: str, changes: int, seed: int | None = None) -> None:
        """Make so many random changes of every kind, as fast as their pushes find room."""
        dice, holding = Random(seed), self.holding(user_id)
        for number in range(changes):
            type_, args = mixed(holding.account, dice)
            self.run(user_id, type_, **args)
            if number % YIELD_EVERY == 0:
                await self.room()
                await asyncio.sleep(0)

    def announce(self, holding: Holding) -> None:
        """Enter the account's fresh changes in the books and push those that have an event."""
        for change in holding.account.take():
            holding.books.changes.append(change)
            if change.event is not None and self._sender.posts is not None:
                self._sender.announce(self._entered(holding, change))

    def begin_storm(
        self, user_id: str, pushes: int, *, edits: bool = False, concurrency: int = 64
    ) -> tuple[str, Storm]:
        """Start `storm` in the background. Returns its id in `storms` and its progress."""
        id_, storm = self._id(), Storm(pushes)
        self.storms[id_] = storm
        task = asyncio.get_running_loop().create_task(self._storm(user_id, storm, edits, concurrency))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return id_, storm

    async def storm(self, user_id: str, pushes: int, *, edits: bool = False, concurrency: int = 64) -> Storm:
        """Push at full speed over `concurrency` connections, out of order; faults for pushes do not apply.

        Without `edits` nothing changes: each push repeats the present state of some task under a fresh delivery id.
        """
        storm = Storm(pushes)
        await self._storm(user_id, storm, edits, concurrency)
        return storm

    async def quiesce(self, timeout: float = 30.0) -> None:
        """Wait until all pushes are answered with 200, dropped or given up, and storms are over. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while self._work:
                await asyncio.wait(self._work)
            await self._sender.quiet()

    def books(self, user_id: str) -> dict[str, object]:
        """All books of an account as JSON; see `Books.read`."""
        holding = self.holding(user_id)
        return holding.books.read(holding.account)

    def expire_sync_tokens(self, user_id: str) -> None:
        """Every sync token this account was given so far is answered with 400 from now on."""
        self.holding(user_id).account.renew(secrets.token_bytes(6))

    async def room(self) -> None:
        """Wait while too many pushes are pending."""
        await self._sender.room()

    @property
    def pending(self) -> int:
        return self._sender.pending

    async def close(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._sender.close()

    async def _storm(self, user_id: str, storm: Storm, edits: bool, concurrency: int) -> None:
        holding = self.holding(user_id)

        def next_push() -> Push:
            change = edited(holding.account, self._dice, self.now()) if edits else repeated(holding.account, self._dice)
            if edits:
                holding.books.changes.extend(holding.account.take())
            return self._entered(holding, change, storm=True)

        await storm.rage(next_push, self._sender.deliver, min(concurrency, self._connections))

    def _entered(self, holding: Holding, change: Change, *, storm: bool = False) -> Push:
        push = pushed(holding.account, change, self._dice, self.now(), storm=storm)
        holding.books.pushes.append(push)
        return push

    def _id(self) -> str:
        """An opaque id of the provider's style, such as 6XGgm6PHrGgMpCFX."""
        return "6" + "".join(self._dice.choices(ALPHABET, k=15))
