"""The one vocabulary of metrics and logs.

Metrics are few; each label is bounded by a closed set. Log lines are one JSON object each, with the same names for the
same ids everywhere (`delivery_id`, `provider`, `connection_id`, `cursor_id`, `run_id`, `attempt`).
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from prometheus_client import Counter, Gauge, Histogram

ACCEPTED: Final = Counter("lifeos_deliveries_accepted", "Deliveries that Kafka acknowledged.", ["provider", "event"])
REFUSED: Final = Counter("lifeos_requests_refused", "Requests answered with a refusal.", ["provider", "path", "reason"])
UNAVAILABLE: Final = Counter(
    "lifeos_requests_unavailable", "Authentic requests answered 503.", ["provider", "path", "reason"]
)
PUBLISH_BREAKER: Final = Gauge("lifeos_publish_breaker_open", "1 while the ingress answers 503 without asking Kafka.")
PRODUCER_REBUILDS: Final = Counter(
    "lifeos_producer_rebuilds", "Kafka producers thrown away and made anew.", ["process"]
)

HANDLED: Final = Counter("lifeos_deliveries_handled", "Deliveries whose receipt is committed.", ["provider", "outcome"])
CONSUMER_LAG: Final = Gauge(
    "lifeos_consumer_lag", "Records between next_offset and the end of the partition.", ["topic", "partition"]
)
CURSOR_OLDEST_DUE: Final = Gauge(
    "lifeos_cursor_oldest_due_seconds", "How long the oldest due cursor has been waiting.", ["provider"]
)
RUNS: Final = Counter("lifeos_sync_runs", "Synchronisation runs by how they ended.", ["provider", "outcome"])
PROVIDER_CALLS: Final = Counter("lifeos_provider_calls", "Calls to a provider's API.", ["provider", "outcome"])
CHANGES: Final = Counter("lifeos_changes_committed", "Changes committed to the outbox.", ["kind", "found_by"])

SUBSCRIPTION_NEAREST_EXPIRY: Final = Gauge(
    "lifeos_subscription_nearest_expiry_seconds", "Until the first active subscription ends; infinite without any."
)

PUBLISHED: Final = Counter("lifeos_changes_published", "Outbox rows that Kafka acknowledged.", ["kind"])
OUTBOX_BEHIND: Final = Gauge("lifeos_outbox_behind", "Outbox rows not yet published, over all lanes.")
LANES_HELD: Final = Gauge("lifeos_outbox_lanes_held", "Lanes this relay holds.")
RELAY_CYCLE: Final = Histogram(
    "lifeos_relay_cycle_seconds",
    "One read, send, advance of the relay.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2, 5),
)

FIELDS: Final = frozenset(
    {
        "account", "attempt", "connection_id", "count", "cursor_id", "delivery_id", "detail", "epoch", "event", "kind",
        "lane", "offset", "outcome", "partition", "path", "provider", "reason", "resource", "run_id", "status", "topic",
        "version", "role", "address", "subscription_id",
    }
)  # fmt: skip
"""The names a log line may carry. Never headers, bodies or tokens."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in record.__dict__.items() if name in FIELDS and name != "process"})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure_logging() -> None:
    """Logs to standard error. Libraries that log once per request or per retry are held to warnings or errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    for noisy in ("httpx", "httpcore", "uvicorn.error", "uvicorn.access", "asyncpg.pool", "opentelemetry", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
