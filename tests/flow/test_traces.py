"""One trace from the request at the door to the record on the change topic, and nothing at all where none is asked for."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.simulators.server import listening
from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator
from ingress.app import application
from ingress.publish import Publisher
from outbox import connections
from outbox.hint import Hint
from outbox.kafka import create_topics
from outbox.postgres import pool
from outbox.relay import Relay
from outbox.vault import Vault
from processors.consume import Consume
from processors.sync import Sync
from schemas import topics, tracing
from schemas.settings import IngressSettings, KafkaSettings, KeyRing, load
from tests.conftest import Stack
from tests.contract.test_todoist import sign
from tests.flow.books import read_all
from tests.flow.world import RING, SECRET, world
from tests.outbox.conditions import until

ACCOUNT = "2671355"
STOPPED_SECONDS: Final = 20.0
FORGED = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.export("lifeos-test", exporter, at_once=True)
    yield exporter
    tracing.close()


class Service:
    """The whole path in this process, so that one exporter sees all of it."""

    def __init__(self, simulator: Simulator, settings: KafkaSettings, door: httpx.AsyncClient) -> None:
        self._simulator = simulator
        self._settings = settings
        self._door = door

    async def push(self) -> None:
        """A change that the simulator holds, announced by hand: with a trace of its own, which nobody believes."""
        self._simulator.run(ACCOUNT, "item_add", content="Traced")
        body = b'{"event_name":"item:added","user_id":"2671355","event_data":{}}'
        headers = {"x-todoist-hmac-sha256": sign(body, SECRET.encode()).decode(), "traceparent": FORGED}
        assert (await self._door.post("/webhooks/todoist", content=body, headers=headers)).status_code == 200

    async def changed(self) -> dict[str, str]:
        """The headers of the traced change."""
        names = [topics.changes("task", self._settings.topic_prefix)]

        async def found() -> list[dict[str, str]]:
            records = await read_all(self._settings.bootstrap, names)
            return [_headers(record) for record in records if b"Traced" in record.value]

        async def there() -> bool:
            return bool(await found())

        await until(there, "the change is published", within=20)
        return (await found())[0]

    async def received(self) -> list[dict[str, str]]:
        names = [topics.webhooks("todoist", self._settings.topic_prefix)]
        return [_headers(record) for record in await read_all(self._settings.bootstrap, names)]


def _headers(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


@asynccontextmanager
async def service(stack: Stack, database: str, prefix: str) -> AsyncIterator[Service]:
    given = {
        "LIFEOS_ENV": "development",
        "LIFEOS_KAFKA_BOOTSTRAP": stack.bootstrap,
        "LIFEOS_TOPIC_PREFIX": prefix,
        "LIFEOS_OPS_LISTEN": "127.0.0.1:0",
        "LIFEOS_INGRESS_LISTEN": "127.0.0.1:0",
        "LIFEOS_TODOIST_CLIENT_SECRETS": SECRET,
    }
    settings = load(IngressSettings, given)
    await create_topics(settings)
    vault = Vault(KeyRing.parse(RING))
    publisher = Publisher(settings)
    await publisher.start()
    async with running(Simulator(client_secret=SECRET, seed=3)) as simulator, pool(database, "test") as db:
        simulator.webhook_url = None
        simulator.create(ACCOUNT, "demo")
        await connections.add(db, vault, provider="todoist", account=ACCOUNT, token="demo", resources=["everything"])
        sync = Sync(db, vault, Hint(db), "me", {"todoist": simulator.url})
        parts = (sync, Consume(db, vault, settings, "me", sync.wake), Relay(db, database, settings, "me"))
        tasks = [asyncio.create_task(part.run()) for part in parts]

        async def read() -> bool:
            return bool(await db.fetchval("select last_done is not null from sync_cursors"))

        await until(read, "the account is read for the first time", within=20)
        transport = httpx.ASGITransport(application(settings, publisher))
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as door:
            yield Service(simulator, settings, door)
        for part in parts:
            part.stop()
        async with asyncio.timeout(15):
            await asyncio.gather(*tasks)
    await publisher.stop()


def by_name(spans: list[ReadableSpan], trace: int) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans if span.context is not None and span.context.trace_id == trace}


async def test_a_request_its_run_and_its_change_are_one_trace(
    stack: Stack, database: str, prefix: str, exported: InMemorySpanExporter
) -> None:
    async with service(stack, database, prefix) as running_service:
        await running_service.push()
        changed = await running_service.changed()
        (received,) = await running_service.received()
    origin = changed["ce_traceparent"]
    assert received["ce_traceparent"] == origin
    assert origin != FORGED
    trace = int(origin.split("-")[1], 16)
    spans = by_name(list(exported.get_finished_spans()), trace)
    assert {"request", "accept", "sync", "fetch", "apply", "relay"} <= set(spans)
    request = spans["request"]
    assert request.context is not None
    assert request.parent is None
    assert origin.split("-")[2] == f"{request.context.span_id:016x}"
    for name in ("accept", "sync", "relay"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == request.context.span_id, name
    for name in ("fetch", "apply"):
        parent, around = spans[name].parent, spans["sync"].context
        assert parent is not None
        assert around is not None
        assert parent.span_id == around.span_id, name
    of_trace, of_span = changed["traceparent"].split("-")[1:3]
    relayed = {
        f"{span.context.span_id:016x}"
        for span in exported.get_finished_spans()
        if span.name == "relay" and span.context
    }
    assert of_trace == f"{trace:032x}"
    assert of_span in relayed, "the record names the span of its own sending"
    (receipt,) = await _rows(database, "select trace from receipts")
    assert receipt["trace"] == origin


async def test_no_secret_is_in_a_span(stack: Stack, database: str, prefix: str, exported: InMemorySpanExporter) -> None:
    async with service(stack, database, prefix) as running_service:
        await running_service.push()
        await running_service.changed()
    said = "".join(span.to_json() for span in exported.get_finished_spans())
    assert "delivery_id" in said
    for secret in (SECRET, "demo", "Traced"):
        assert secret not in said


async def test_without_an_endpoint_no_record_names_a_trace(stack: Stack, database: str, prefix: str) -> None:
    async with service(stack, database, prefix) as running_service:
        await running_service.push()
        changed = await running_service.changed()
        (received,) = await running_service.received()
    for headers in (changed, received):
        assert not {"traceparent", "ce_traceparent"} & set(headers)
    (receipt,) = await _rows(database, "select trace from receipts")
    assert receipt["trace"] is None


class Collector:
    """An OpenTelemetry collector, as far as processes need one: it takes spans over OTLP/HTTP and keeps them."""

    def __init__(self) -> None:
        self.taken: list[ExportTraceServiceRequest] = []

    async def take(self, request: Request) -> Response:
        self.taken.append(ExportTraceServiceRequest.FromString(decompressed(await request.body())))
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")

    def names(self) -> dict[str, set[tuple[str, str]]]:
        """The services and spans of each trace."""
        traces: dict[str, set[tuple[str, str]]] = {}
        for request in self.taken:
            for resource in request.resource_spans:
                (service,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    traces.setdefault(span.trace_id.hex(), set()).add((service, span.name))
        return traces


def decompressed(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


async def test_three_processes_send_one_trace_to_a_collector(
    stack: Stack, database: str, prefix: str, tmp_path: Path
) -> None:
    collector = Collector()
    routes = [Route("/v1/traces", collector.take, methods=["POST"])]
    async with (
        listening(Starlette(routes=routes)) as address,
        world(stack, database, prefix, tmp_path, LIFEOS_OTLP_ENDPOINT=address) as made,
    ):
        await made.connect()
        await made.service.start()
        await made.settled()
        made.simulator.run(ACCOUNT, "item_add", content="Traced")
        await made.settled()
        for process in (made.service.ingress, made.service.processors, made.service.relay):
            assert await process.stop() == 0, "what is left is sent, and the process ends as asked"
    whole = {
        ("lifeos-ingress", "request"),
        ("lifeos-processors", "accept"),
        ("lifeos-processors", "sync"),
        ("lifeos-processors", "apply"),
        ("lifeos-relay", "relay"),
    }
    assert any(whole <= spans for spans in collector.names().values()), collector.names()


async def test_a_collector_that_is_away_holds_up_nobody(
    stack: Stack, database: str, prefix: str, tmp_path: Path
) -> None:
    async with world(stack, database, prefix, tmp_path, LIFEOS_OTLP_ENDPOINT="http://127.0.0.1:9") as made:
        await made.connect()
        await made.service.start()
        made.simulator.run(ACCOUNT, "item_add", content="Traced by nobody")
        await made.settled()
        began = asyncio.get_running_loop().time()
        for process in (made.service.ingress, made.service.processors, made.service.relay):
            assert await process.stop() == 0
        assert asyncio.get_running_loop().time() - began < STOPPED_SECONDS
        said = "".join(
            process.said() for process in (made.service.ingress, made.service.processors, made.service.relay)
        )
    assert said.count("opentelemetry") < 20, "not a line for each span"


async def _rows(database: str, statement: str) -> list[Any]:
    async with pool(database, "test", size=1) as db:
        return list(await db.fetch(statement))
