"""Traces, from a request at the door to its record on a change topic: OpenTelemetry spans, joined by W3C trace context.

Off unless `configure` was called; then nothing of OpenTelemetry is imported, and every function here is one comparison.
A trace begins at our door: what a request says of its own trace is not believed. Spans carry ids and words of closed sets,
never headers, bodies or tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

FLUSH_MS: Final = 2_000
"""A process that ends waits so long for its last spans to be taken."""
EXPORT_SECONDS: Final = 2.0

_tracer: "Tracer | None" = None
_provider: "TracerProvider | None" = None


def configure(service: str, endpoint: str) -> None:
    """Sends spans of this process to `endpoint`/v1/traces over OTLP/HTTP, in batches, from a thread of its own."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    export(service, OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS))


def export(service: str, exporter: "SpanExporter", *, at_once: bool = False) -> None:
    """Hands spans to `exporter`. `at_once`: each as it ends, which only a test can afford."""
    global _provider, _tracer
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    processor = SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter)
    _provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    _provider.add_span_processor(processor)
    _tracer = _provider.get_tracer("lifeos")


def close() -> None:
    """Sends what is left, in bounded time, and traces no more."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None and provider.force_flush(FLUSH_MS):
        provider.shutdown()


@contextmanager
def span(name: str, parent: str | None = None, **attributes: str | int) -> Iterator[str | None]:
    """One span around the block, under `parent` (a traceparent), else under the span around it. Gives its traceparent."""
    if _tracer is None:
        yield None
        return
    with _tracer.start_as_current_span(name, context=_context(parent), attributes=attributes) as current:
        yield _traceparent(current)


class Spans:
    """Spans of the same name that begin one by one and end together with the block, or fail with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun: list[Span] = []

    def begin(self, parent: str | None, **attributes: str | int) -> str | None:
        """The traceparent of a span under `parent`; None, and no span, where nothing is traced."""
        if _tracer is None or parent is None:
            return None
        begun = _tracer.start_span(self._name, context=_context(parent), attributes=attributes)
        self._begun.append(begun)
        return _traceparent(begun)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        for begun in self._begun:
            if error is not None:
                begun.record_exception(error)
            begun.end()


def _context(traceparent: str | None) -> "Context | None":
    """The context of W3C Trace Context §3.2.2 `version-traceid-parentid-flags`; None where there is none to join."""
    if traceparent is None:
        return None
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    _, trace_id, span_id, flags = traceparent.split("-")
    parent = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(parent))


def _traceparent(of: "Span") -> str:
    context = of.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
