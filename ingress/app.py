"""The public port: webhook routes by a dictionary, health by Starlette, and nothing else."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Final, assert_never

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ingress.accept import Accept, Clock, Publisher, utc_now
from ingress.provider import Path, Verify
from ingress.providers import PROVIDERS, google, todoist
from ingress.signatures import prepare
from schemas.settings import IngressSettings

log = logging.getLogger(__name__)

NO_STORE: Final = {"cache-control": "no-store"}


class App:
    """The ASGI application. `ready` is false only while the process starts or drains.

    Not while Kafka is away: then our own 503 with its `Retry-After` is the answer, and no balancer may give another.
    """

    def __init__(self, webhooks: Mapping[str, Accept]) -> None:
        self._webhooks = dict(webhooks)
        self._rest = Starlette(
            routes=[Route("/healthz", self._healthz), Route("/readyz", self._readyz)],
            exception_handlers={HTTPException: _constant},
        )
        self._rest.router.redirect_slashes = False
        self.ready = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._webhooks.get(scope["path"], self._rest)(scope, receive, send)

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("alive\n", headers=NO_STORE)

    async def _readyz(self, _: Request) -> Response:
        if self.ready:
            return PlainTextResponse("ready\n", headers=NO_STORE)
        return PlainTextResponse("starting or draining\n", 503, headers=NO_STORE)


async def _constant(_: Request, error: Exception) -> Response:
    """404 and 405: the same words for everything that is not here."""
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)


def application(settings: IngressSettings, publisher: Publisher, clock: Clock = utc_now) -> App:
    """The application with every route whose secret is set. Without a secret there is no route."""
    webhooks: dict[str, Accept] = {}
    for provider in PROVIDERS:
        spec = provider.SPEC
        if verify := _verify(spec.path, settings):
            webhooks[spec.path] = Accept(provider, verify, publisher, clock)
        else:
            log.warning(
                "no secret is set: there is no such route", extra={"provider": spec.provider, "path": spec.path}
            )
    return App(webhooks)


def _verify(path: Path, settings: IngressSettings) -> Verify | None:
    """How requests to `path` are verified with the keys that are set; None where none are."""
    match path:
        case "/webhooks/google/channel":
            ring = settings.channel_keys
            return partial(google.verify, keys=ring) if ring else None
        case "/webhooks/todoist":
            secrets = settings.todoist_client_secrets or ()
            keys = [secret.get_secret_value().encode("utf-8", "surrogateescape") for secret in secrets]
            return partial(todoist.verify, keys=prepare(keys)) if keys else None
        case _:
            assert_never(path)
