"""Runs: how each ended, what it had seen, and how much it changed."""

from collections import Counter
from collections.abc import Mapping
from typing import assert_never

from outbox.cursors import Advance, Finish, Halt, Progress, Retry, Shut
from outbox.lease import Held
from outbox.postgres import Connection
from schemas.plan import Plan, Run

RECORD = """
insert into sync_runs (run_id, tenant_id, connection_id, cursor_id, resource, started_at, outcome, detail, found_by,
    causation_id, wanted, created, updated, deleted, rejected)
select $2, tenant_id, connection_id, id, resource, last_start, $3, $4, $5, $6, $7, $8, $9, $10, $11
from sync_cursors where id = $1"""


async def record(
    connection: Connection, held: Held, run: Run, ended: Progress, plan: Plan, before: Mapping[str, int]
) -> None:
    """Writes the row of a run that this commit ends. `before` counts what its earlier commits changed.

    The state of the cursor is no item of the provider's, and not counted. A step that ends nothing writes nothing.
    """
    told = _told(ended)
    if told is None:
        return
    outcome, detail = told
    counts = Counter(before) + Counter(change.action for change in plan.changes if change.kind != "sync")
    counted = [counts[name] for name in ("created", "updated", "deleted", "rejected")]
    said = detail and detail.replace("\0", "")[:500]
    await connection.execute(
        RECORD, held.key, run.run_id, outcome, said, run.found_by, run.causation_id, run.wanted, *counted
    )


def _told(ended: Progress) -> tuple[str, str | None] | None:
    match ended:
        case Advance():
            return None
        case Finish():
            return "done", None
        case Retry(why):
            return "retried", why
        case Halt(why):
            return "halted", why
        case Shut():
            return "closed", None
        case _:
            assert_never(ended)
