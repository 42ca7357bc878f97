"""Calendar API v3 over HTTP: authentication and faults around `rest`."""

from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.simulators.api import Said, answered
from deploy.simulators.google.faults import CALENDARS
from deploy.simulators.google.log import Entity
from deploy.simulators.google.refused import Refused, not_found, unauthorized
from deploy.simulators.google.rest import ROUTES, Call, Handler, Hit
from deploy.simulators.google.simulator import Holding, Simulator

LARGEST_BODY: Final = 4 * 1024 * 1024


def routes(simulator: Simulator) -> list[Route]:
    """Google's own paths."""
    return [
        Route(f"{CALENDARS}{path}", _endpoint(simulator, f"{method} {CALENDARS}{path}", handler), methods=[method])
        for method, path, handler in ROUTES
    ]


def _endpoint(simulator: Simulator, name: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        async def answer(holding: Holding | None, body: bytes, hit: Hit) -> Said:
            if holding is None:
                raise unauthorized()
            _refuse(hit)
            if len(body) > LARGEST_BODY:
                raise Refused(413, "uploadTooLarge", "Request is too large.")
            call = Call(
                simulator,
                holding,
                hit,
                {name: str(value) for name, value in request.path_params.items()},
                dict(request.query_params),
                _json_object(body),
                request.headers.get("if-match"),
                request.headers.get("if-none-match"),
            )
            return await handler(call)

        return await answered(simulator, request, name, answer)

    return endpoint


def _refuse(hit: Hit) -> None:
    """Raise the refusal that a fault asks for."""
    if "revoked" in hit:
        raise unauthorized()
    if "no_scope" in hit:
        raise Refused(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
    if fault := hit.get("rate_limited"):
        told = "User Rate Limit Exceeded" if fault.reason == "userRateLimitExceeded" else "Rate Limit Exceeded"
        raise Refused(fault.status or 429, fault.reason, told, "usageLimits", retry_after=fault.retry_after)
    if fault := hit.get("server_error"):
        raise Refused(fault.status or 503, "backendError", "Backend Error")
    if "not_found" in hit:
        raise not_found()


def _json_object(body: bytes) -> Entity:
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "parseError", "Parse Error") from None
    if not isinstance(value, dict):
        raise Refused(400, "parseError", "Parse Error")
    return value
