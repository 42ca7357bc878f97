"""A provider's API over HTTP: whose call it is, what is wrong with it on request, how it is entered in the books."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deploy.simulators.faults import A
from deploy.simulators.pushes import P
from deploy.simulators.refusal import Refusal
from deploy.simulators.simulator import H, Simulated

PIECES: Final = 10
"""A trickling body comes in so many pieces."""

Said = tuple[int, Any]
"""Status and JSON body; None means an empty body."""


async def answered(
    simulator: Simulated[H, P, A],
    request: Request,
    name: str,
    answer: Callable[[H | None, bytes, dict[str, A]], Awaitable[Said]],
) -> Response:
    """Have `answer` answer for the holding of the caller (None: nobody's token), this body and the faults that hit it.

    `name` is what the books call it. `answer` may raise `Refusal`.
    """
    account = simulator.account_of(request.headers.get("authorization", ""))
    holding = None if account is None else simulator.holding(account)
    hit = simulator.faults.draw(account, request.url.path)
    if "slow" in hit:
        await asyncio.sleep(hit["slow"].seconds)
    body = await request.body()
    await simulator.room()
    headers: dict[str, str] = {}
    try:
        status, said = await answer(holding, body, hit)
    except Refusal as refusal:
        status, said, headers = refusal.http_code, refusal.body(), refusal.headers()
    if holding is not None:
        simulator.announce(holding)
        holding.books.calls[name, status] += 1
    return _damaged(json(status, said, headers), hit)


def json(status: int, said: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(b"" if said is None else orjson.dumps(said), status, headers, media_type="application/json")


class Truncated(Response):
    """The head promises the whole body, half of it comes, and the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def _damaged(response: Response, hit: dict[str, A]) -> Response:
    whole, status = bytes(response.body), response.status_code
    if "broken_json" in hit:
        return Response(whole[: len(whole) // 2], status, media_type="application/json")
    if "truncated" in hit:
        return Truncated(whole, status, media_type="application/json")
    if "trickle" in hit:
        pieces = _trickle(whole, hit["trickle"].seconds)
        return StreamingResponse(pieces, status, media_type="application/json")
    return response


async def _trickle(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    size = -(-len(body) // PIECES) or 1
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(seconds / PIECES)
