"""The simulator's API over HTTP: authentication, limits and faults around the pure `rest` and `sync`."""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.simulators.api import answered, json
from deploy.simulators.todoist import rest, sync
from deploy.simulators.todoist.account import Entity, Refused, invalid, missing
from deploy.simulators.todoist.commands import execute_all
from deploy.simulators.todoist.faults import ApiFault, malformed
from deploy.simulators.todoist.limits import Reading, too_many
from deploy.simulators.todoist.simulator import Holding, Simulator

LARGEST_BODY: Final = 1024 * 1024
SYNC: Final = "/api/v1/sync"

Hit = dict[str, ApiFault]
Endpoint = Callable[[Request], Awaitable[Response]]


def routes(simulator: Simulator) -> list[Route]:
    """Todoist's own paths."""
    listed = [
        Route(path, _endpoint(simulator, f"{method} {path}", handler), methods=[method])
        for method, path, handler in rest.ROUTES
    ]
    return [Route(SYNC, _sync_endpoint(simulator), methods=["POST"]), *listed]


def _endpoint(simulator: Simulator, name: str, handler: rest.Handler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        async def answer(holding: Holding, body: bytes, hit: Hit) -> rest.Answer:
            call = rest.Call(
                request.path_params.get("id", ""), dict(request.query_params), _json_object(body), simulator.now()
            )
            if "invalid_cursor" in hit and "cursor" in call.query:
                raise invalid("cursor")
            status, said = handler(holding.account, call)
            return status, _with_malformed(said, hit) if said else said

        return await answered(simulator, request, name, _checked(answer))

    return endpoint


def _sync_endpoint(simulator: Simulator) -> Endpoint:
    async def answer(holding: Holding, body: bytes, hit: Hit) -> rest.Answer:
        return 200, _synced(simulator, holding, body, hit)

    async def endpoint(request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return json(415, {"error": "Send a form", "http_code": 415})
        return await answered(simulator, request, f"POST {SYNC}", _checked(answer))

    return endpoint


Answer = Callable[[Holding, bytes, Hit], Awaitable[rest.Answer]]


def _checked(answer: Answer) -> Callable[[Holding | None, bytes, Hit], Awaitable[rest.Answer]]:
    """`answer` behind what every call has to pass."""

    async def checked(holding: Holding | None, body: bytes, hit: Hit) -> rest.Answer:
        if holding is None:
            raise Refused("UNAUTHORIZED", 401, 401, "Unauthorized", {})
        _refuse(hit)
        if len(body) > LARGEST_BODY:
            raise Refused("REQUEST_TOO_LARGE", 413, 413, "Request is too large", {"max_bytes": LARGEST_BODY})
        return await answer(holding, body, hit)

    return checked


def _synced(simulator: Simulator, holding: Holding, body: bytes, hit: Hit) -> Entity:
    """`/sync`: commands first, then the read that sees their effect."""
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    now = simulator.now()
    said: Entity = {}
    if "commands" in form:
        results = execute_all(holding.account, _json_list(form["commands"], "commands"), now)
        said |= {"sync_status": results.sync_status, "temp_id_mapping": results.temp_id_mapping}
    if "sync_token" in form or "commands" not in form:
        said |= _read(simulator, holding, form, hit)
    else:
        said |= {"sync_token": holding.account.token(), "full_sync": False}
    if "no_sync_token" in hit:
        del said["sync_token"]
    return said


def _read(simulator: Simulator, holding: Holding, form: dict[str, str], hit: Hit) -> Entity:
    token = form.get("sync_token", sync.FULL)
    if "resource_types" not in form:
        raise missing("resource_types")
    if "invalid_sync_token" in hit and token != sync.FULL:
        raise invalid("sync_token")
    at = simulator.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = _json_list(form["resource_types"], "resource_types")
    said = sync.read(holding.account, token, wanted, at, full="full_sync" in hit)
    reading: Reading = "full" if said["full_sync"] else "partial"
    holding.meter.count(reading, simulator.limits, simulator.now())
    holding.books.syncs[reading] += 1
    return _with_malformed(said, hit)


def _with_malformed(said: Entity, hit: Hit) -> Entity:
    if "malformed_item" in hit and "items" in said:
        items = said["items"]
        return said | {"items": [malformed(items[0] if items else None), *items[1:]]}
    return said


def _refuse(hit: Hit) -> None:
    """Raise the refusal that a fault asks for."""
    if fault := hit.get("revoked"):
        status = fault.status or 401
        raise Refused("UNAUTHORIZED" if status == 401 else "FORBIDDEN", status, status, "Token is revoked", {})
    if fault := hit.get("rate_limited"):
        raise too_many(fault.retry_after)
    if fault := hit.get("server_error"):
        status = fault.status or 503
        raise Refused("INTERNAL_ERROR", status, status, "Simulated failure", {})


def _json_list(text: str, name: str) -> list[Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise invalid(name, "Must be JSON") from None
    if not isinstance(value, list):
        raise invalid(name, "Must be a JSON array")
    return value


def _json_object(body: bytes) -> Entity:
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid("body", "Must be JSON") from None
    if not isinstance(value, dict):
        raise invalid("body", "Must be a JSON object")
    return value
