"""Spans of a batch end with it, and fail with it."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas import tracing

PARENT = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.export("lifeos-test", exporter, at_once=True)
    yield exporter
    tracing.close()


def test_each_of_a_batch_is_a_span_under_its_own_parent(exported: InMemorySpanExporter) -> None:
    with tracing.Spans("accept") as spans:
        hop = spans.begin(PARENT, outcome="wanted")
        assert spans.begin(None) is None, "what came without a trace gets none"
        assert exported.get_finished_spans() == ()
    (span,) = exported.get_finished_spans()
    assert span.parent is not None
    assert (span.name, span.parent.span_id, span.events) == ("accept", int("2" * 16, 16), ())
    assert hop == f"00-{'1' * 32}-{span.context.span_id:016x}-01"


def test_a_batch_that_fails_says_so_on_each_of_its_spans(exported: InMemorySpanExporter) -> None:
    def fail() -> None:
        with tracing.Spans("accept") as spans:
            spans.begin(PARENT)
            spans.begin(PARENT)
            raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        fail()
    told = [[event.attributes for event in span.events] for span in exported.get_finished_spans()]
    assert [[one and one["exception.type"] for one in events] for events in told] == [["ValueError"]] * 2


def test_where_nothing_is_traced_there_are_no_spans() -> None:
    with tracing.Spans("accept") as spans:
        assert spans.begin(PARENT) is None
