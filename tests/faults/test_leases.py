"""A holder that went on without its lease frees nobody, not even itself."""

from outbox import lease
from outbox.lease import LANES
from outbox.postgres import pool

RAN_OUT = "update outbox_lanes set leased_until = '-infinity' where lane = 0"
HELD = "select owner, epoch, leased_until > now() from outbox_lanes where lane = 0"


async def test_what_a_process_holds_anew_is_not_given_back_with_what_it_once_held(database: str) -> None:
    """Work that slept past its lease ends at last, and gives back; the row has been elsewhere, and is the same process's."""
    async with pool(database, "test", size=1) as db:
        former = await lease.claim(db, LANES, "a", 1)
        await db.execute(RAN_OUT)
        between = await lease.claim(db, LANES, "b", 1)
        await lease.release(db, LANES, "b", between)
        present = await lease.claim(db, LANES, "a", 1)
        await lease.release(db, LANES, "a", former)
        assert [tuple(row) for row in await db.fetch(HELD)] == [("a", present[0].epoch, True)]
        await lease.release(db, LANES, "a", present)
        assert [row[2] for row in await db.fetch(HELD)] == [False]
