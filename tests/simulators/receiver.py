"""A webhook receiver that remembers what it was sent and answers what it is told to."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.simulators.todoist.server import listening

PATH = "/webhooks/todoist"


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value = orjson.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def delivery_id(self) -> str:
        return self.headers["x-todoist-delivery-id"]


class Receiver:
    """Answers 200, or the next of `answers` while there are any."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.received: list[Received] = []
        self.answers: deque[int] = deque()
        self._came = asyncio.Condition()

    @property
    def contents(self) -> list[str]:
        return [received.json["event_data"].get("content") for received in self.received]

    async def heard(self, count: int) -> list[Received]:
        """Wait until so many requests came."""
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def hear(self, request: Request) -> Response:
        received = Received(dict(request.headers), await request.body())
        async with self._came:
            self.received.append(received)
            self._came.notify_all()
        return Response(status_code=self.answers.popleft() if self.answers else 200)


class Door:
    """One server for all receivers of a run: each test's own one stands behind it in turn."""

    def __init__(self) -> None:
        self.receiver = Receiver()

    async def hear(self, request: Request) -> Response:
        return await self.receiver.hear(request)


@asynccontextmanager
async def open_door() -> AsyncIterator[tuple[Door, str]]:
    door = Door()
    async with listening(Starlette(routes=[Route("/webhooks/{path:path}", door.hear, methods=["POST"])])) as url:
        yield door, url + PATH
