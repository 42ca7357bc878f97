"""One tenant with one connection and its cursor, as the fixtures of these tests make them."""

from collections.abc import Mapping as Known
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from outbox import connections, lease
from outbox.lease import CURSORS, Held
from outbox.postgres import Pool
from outbox.vault import Vault
from schemas.change import Action, Change
from schemas.identity import item_id, lane
from schemas.plan import Clock, Mapping, Plan, Run

ACCOUNT = "2671355"
RUN = UUID("0198f2ab-7c00-7000-8000-00000000a11e")
CURSOR = "select id from sync_cursors where connection_id = $1"


@dataclass(frozen=True)
class Spine:
    """The rows that a run needs, and the run."""

    pool: Pool
    run: Run
    cursor_id: UUID

    async def claim(self, owner: str, lasting: timedelta = lease.LEASE) -> Held:
        (held,) = await lease.claim(self.pool, CURSORS, owner, 1, lasting)
        return held

    def item(self, name: str) -> UUID:
        return item_id(self.run.tenant_id, self.run.provider, self.run.account, "task", name)

    def titled(self, titles: Known[str, str]) -> "Titled":
        return Titled(self.run, {self.item(name): (name, title) for name, title in titles.items()})


@dataclass(frozen=True)
class Titled:
    """A decision for *apply*: these tasks have these titles now; only differences are written, as a plan does it."""

    run: Run
    titles: Known[UUID, tuple[str, str]]

    @property
    def items(self) -> Sequence[UUID]:
        return list(self.titles)

    def __call__(self, known: dict[UUID, Mapping], clock: Clock) -> Plan:
        changes = [
            self._change(item, name, title, known.get(item), clock)
            for item, (name, title) in self.titles.items()
            if item not in known or known[item].snapshot["title"] != title
        ]
        return Plan([_mapping(change) for change in changes], changes)

    def _change(self, item: UUID, name: str, title: str, before: Mapping | None, clock: Clock) -> Change:
        action: Action = "updated" if before else "created"
        snapshot: dict[str, Any] = {"@type": "Task", "uid": str(item), "title": title}
        return Change(
            tenant_id=self.run.tenant_id,
            connection_id=self.run.connection_id,
            provider=self.run.provider,
            lane=self.run.lane,
            kind="task",
            item_id=item,
            external_id=name,
            version=max(before.version + 1 if before else 1, clock.microseconds),
            prev_version=before.version if before else None,
            action=action,
            item=snapshot,
            changed=("title",),
            found_by=self.run.found_by,
            run_id=self.run.run_id,
            causation_id=self.run.causation_id,
            recorded_at=clock.now,
        )


def _mapping(change: Change) -> Mapping:
    return Mapping(change.item_id, change.kind, change.external_id, change.version, change.item, deleted=False)


async def connect(pool: Pool, vault: Vault, account: str = ACCOUNT) -> Spine:
    """Connects the account in the demo tenant."""
    connection_id = await connections.add(
        pool, vault, provider="todoist", account=account, token="a token", resources=["all"]
    )
    run = Run(
        run_id=RUN,
        tenant_id=connections.DEMO_TENANT,
        profile_id=connections.DEMO_PROFILE,
        connection_id=connection_id,
        provider="todoist",
        account=account,
        lane=lane("todoist", account),
        resource="all",
        found_by="push",
        causation_id="delivery-1",
    )
    return Spine(pool, run, await pool.fetchval(CURSOR, connection_id))
