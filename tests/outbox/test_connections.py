"""Connections: what connecting an account again renews and what it leaves as it is, and whom a delivery for one concerns."""

from datetime import UTC, datetime

from outbox import connections
from outbox.connections import DEMO_TENANT
from outbox.postgres import Pool
from outbox.vault import Vault
from tests.outbox.spine import ACCOUNT, Spine, connect
from tests.outbox.test_cursors import WORK, cursor, open_and_close, shut


async def test_connecting_again_reads_everything_again_but_what_is_no_more(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    await open_and_close(spine, opened=[WORK, "all/home"])
    await shut(spine, vault, WORK)
    await pool.execute("update sync_cursors set position = 'p', full_run = uuidv7(), attempts = 3 where not closed")
    before = await cursor(pool, WORK)
    await connect(pool, vault)
    assert await cursor(pool, WORK) == before
    for resource in ("all", "all/home"):
        row = await cursor(pool, resource)
        assert (row["position"], row["full_run"], row["attempts"]) == (None, None, 0)
        assert row["due_at"] <= datetime.now(UTC)


async def test_a_delivery_for_an_account_wants_each_of_its_cursors_that_is_open(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    await open_and_close(spine, opened=[WORK, "all/home"])
    await open_and_close(spine, closed=[WORK])
    await connect(pool, vault, "another")
    found = await connections.targets(pool, "todoist", [ACCOUNT, "nobody's"])
    assert list(found) == [ACCOUNT]
    assert {(t.tenant_id, t.connection_id) for t in found[ACCOUNT]} == {(DEMO_TENANT, spine.run.connection_id)}
    assert {t.cursor_id for t in found[ACCOUNT]} == {spine.cursor_id, (await cursor(pool, "all/home"))["id"]}
