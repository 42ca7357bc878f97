"""A hint to sleeping relays that there is something to publish. Only a hint: a relay that misses it looks by itself.

NOTIFY inside the working transaction takes a lock of the whole instance through its commit; so it is sent afterwards,
from another connection, and many commits share one.
"""

import asyncio
import logging
from typing import Final

from outbox.postgres import TRANSIENT, UNAVAILABLE, Pool

log = logging.getLogger(__name__)

CHANNEL: Final = "lifeos_outbox"
DEBOUNCE_SECONDS: Final = 0.002
NOTIFY = "select pg_notify($1, '')"


class Hint:
    """Rings at most once per debounce interval, however often it is asked to."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked = False
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references

    def ring(self) -> None:
        if not self._asked:
            self._asked = True
            task = asyncio.create_task(self._ring())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ring(self) -> None:
        await asyncio.sleep(DEBOUNCE_SECONDS)
        self._asked = False
        try:
            await self._pool.execute(NOTIFY, CHANNEL)
        except (*UNAVAILABLE, *TRANSIENT):
            log.info("relay was not hinted")
