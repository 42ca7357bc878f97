"""A storm: very many pushes at full speed, as after an import or a bulk edit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from deploy.simulators.pushes import Push

P = TypeVar("P", bound=Push)


@dataclass(slots=True)
class Storm:
    """How far it has come. `accepted`: at once; `refused`: not, so what the provider does then follows."""

    total: int
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    ended: bool = False

    async def rage(self, next_push: Callable[[], P], deliver: Callable[[P], Awaitable[None]], workers: int) -> None:
        """Deliver `total` pushes, each made when its turn comes, `workers` at a time."""
        started, turns = perf_counter(), iter(range(self.total))

        async def work() -> None:
            for _ in turns:
                push = next_push()
                await deliver(push)
                self.accepted += push.accepted
                self.refused += not push.accepted
                self.seconds = perf_counter() - started

        try:
            await asyncio.gather(*(work() for _ in range(workers)))
        finally:
            self.ended = True
