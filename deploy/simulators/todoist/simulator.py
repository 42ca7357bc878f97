"""The Todoist simulator: many accounts, their webhooks, its faults and books. `server.running` puts it on a port."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from deploy.simulators.posts import Posts
from deploy.simulators.simulator import YIELD_EVERY, Simulated, post, utc_now
from deploy.simulators.todoist.account import Account, Change, Entity, Saved
from deploy.simulators.todoist.books import PARTS, Books
from deploy.simulators.todoist.commands import execute
from deploy.simulators.todoist.faults import ApiFault, Faults
from deploy.simulators.todoist.limits import Limits, Meter
from deploy.simulators.todoist.mix import mixed
from deploy.simulators.todoist.projects import open_account
from deploy.simulators.todoist.pushes import REDELIVERIES, Push, pushed
from deploy.simulators.todoist.storm import edited, repeated

ALPHABET: Final = "23456789CFGHJMPQRVWXcfghjmpqrvwx"


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


class Simulator(Simulated[Holding, Push, ApiFault]):
    """Every change made here is announced to `webhook_url`, if there is one."""

    PROVIDER: ClassVar[str] = "Todoist"
    SAVED: ClassVar[type[BaseModel]] = SavedAccounts

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        client_secret: str = "test-client-secret",  # noqa: S107 - the secret of the captured exchanges, no one's
        redelivery_delay: float = 1.0,
        connections: int = 64,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        seed: int | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`redelivery_delay` in seconds stands for the provider's 15 minutes, so that demos and tests converge. `seed`
        makes ids repeatable."""
        super().__init__(Faults(), connections=connections, seed=seed, now=now)
        self.limits = limits
        self._secret = client_secret
        self._redelivery_delay = redelivery_delay
        self._posts = Posts(webhook_url, connections=connections) if webhook_url else None

    @property
    def webhook_url(self) -> str | None:
        return self._posts.url if self._posts else None

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        """From now on pushes go to `url`, those that are pending too; with None, changes are not announced."""
        if self._posts is not None:
            self._posts.close()
        self._posts = Posts(url, connections=self._connections) if url else None

    @property
    def target(self) -> str:
        return self.webhook_url or "nowhere"

    def create(self, account: str, token: str, full_name: str = "Ann Example") -> Account:
        if any(account == known or token == holding.token for known, holding in self._holdings.items()):
            raise ValueError(f"account {account} or its token exists already")
        made = open_account(
            account, ids=self._id, generation=secrets.token_bytes(6), full_name=full_name, now=self.now()
        )
        self._holdings[account] = Holding(made, token)
        return made

    def saved(self) -> SavedAccounts:
        return SavedAccounts(
            accounts=[SavedHolding(token=one.token, account=one.account.saved()) for one in self.accounts()]
        )

    def restore(self, saved: SavedAccounts) -> None:
        for one in saved.accounts:
            account = Account.restored(one.account, ids=self._id, generation=secrets.token_bytes(6))
            self._holdings[account.user_id] = Holding(account, one.token)

    @property
    def state(self) -> dict[str, tuple[int, bytes]]:
        return {user_id: holding.account.state for user_id, holding in self._holdings.items()}

    def listed(self) -> list[dict[str, Any]]:
        accounts = (holding.account for holding in self.accounts())
        return [{"account": a.user_id, "full_name": a.full_name, "sequence": a.seq} for a in accounts]

    def run(self, user_id: str, type_: str, **args: object) -> Entity:
        """Make one change as the account's owner and announce it. Returns the entity. Raises `Refused`."""
        holding = self.holding(user_id)
        try:
            return execute(holding.account, type_, dict(args), self.now())
        finally:
            self.announce(holding)

    async def mix(self, account: str, changes: int, seed: int | None = None) -> None:
        dice, holding = Random(seed), self.holding(account)
        for number in range(changes):
            type_, args = mixed(holding.account, dice)
            self.run(account, type_, **args)
            if number % YIELD_EVERY == 0:
                await self.room()
                await asyncio.sleep(0)

    def announce(self, holding: Holding) -> None:
        """Enter the account's fresh changes in the books and push those that have an event."""
        for change in holding.account.take():
            holding.books.changes.append(change)
            if change.event is not None and self._posts is not None:
                self._sender.announce(self._entered(holding, change))

    def read(self, account: str, parts: tuple[str, ...] | None = None) -> dict[str, Any]:
        holding = self.holding(account)
        return holding.books.read(holding.account, PARTS if parts is None else parts)

    def expire_sync_tokens(self, user_id: str) -> None:
        """Every sync token this account was given so far is answered with 400 from now on."""
        self.holding(user_id).account.renew(secrets.token_bytes(6))

    def next_push(self, account: str, edits: bool) -> Callable[[], Push]:
        """Each push tells a real edit, or repeats the present state of some task under a fresh delivery id."""
        holding = self.holding(account)
        if self._posts is None:
            raise ValueError("this simulator has no webhook address to push to")

        def next_push() -> Push:
            change = edited(holding.account, self._dice, self.now()) if edits else repeated(holding.account, self._dice)
            if edits:
                holding.books.changes.extend(holding.account.take())
            return self._entered(holding, change, storm=True)

        return next_push

    async def close(self) -> None:
        await super().close()
        self.webhook_url = None

    async def _post(self, push: Push) -> int:
        return await post(self._posts, push)

    def _pause(self, result: int | str, attempts: int) -> float | None:
        return self._redelivery_delay if attempts <= REDELIVERIES else None

    def _entered(self, holding: Holding, change: Change, *, storm: bool = False) -> Push:
        push = pushed(holding.account, change, self._secret, self._dice, self.now(), storm=storm)
        holding.books.pushes.append(push)
        return push

    def _id(self) -> str:
        """Such as 6XGgm6PHrGgMpCFX."""
        return "6" + "".join(self._dice.choices(ALPHABET, k=15))
