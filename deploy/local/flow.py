"""What flows through the local stack, read from its processes' own /metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

# word on the screen → (process, metric), summed. Counters start at 0 with their process; gauges are taken as they are.
COUNTERS = {
    "accepted": ("ingress", "lifeos_deliveries_accepted_total"),
    "handled": ("processors", "lifeos_deliveries_handled_total"),
    "published": ("relay", "lifeos_changes_published_total"),
}
GAUGES = (("processors", "lifeos_consumer_lag"), ("relay", "lifeos_outbox_behind"))


def total(metrics: str, name: str) -> float:
    """The sum of all samples of one metric in a text that a process exposed; 0 where it has none."""
    families = text_string_to_metric_families(metrics)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@dataclass
class Meter:
    """Totals since `up` began, over restarts of the processes that count them."""

    before: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def read(self, metrics: Mapping[str, str]) -> str:
        """The live line for the texts of those processes that answered."""
        words = [f"{word} {self._counted(word, metrics):,.0f}" for word in COUNTERS]
        lag = sum(total(metrics[process], name) for process, name in GAUGES if process in metrics)
        away = [process for process, _ in COUNTERS.values() if process not in metrics]
        return " · ".join([*words, f"lag {lag:,.0f}", *(f"{process} does not answer" for process in away)])

    def _counted(self, word: str, metrics: Mapping[str, str]) -> float:
        process, name = COUNTERS[word]
        last = self.last.get(word, 0.0)
        now = total(metrics[process], name) if process in metrics else last
        if now < last:  # it was started again and counts from 0
            self.before[word] = self.before.get(word, 0.0) + last
        self.last[word] = now
        return self.before.get(word, 0.0) + now


async def scrape(client: httpx.AsyncClient, addresses: Mapping[str, str]) -> dict[str, str]:
    """The metrics of each process that answers at its ops address (host:port)."""
    found = {}
    for process, address in addresses.items():
        try:
            answer = await client.get(f"http://{address}/metrics")
        except httpx.HTTPError:
            continue
        if answer.status_code == httpx.codes.OK:
            found[process] = answer.text
    return found


async def is_ready(client: httpx.AsyncClient, address: str) -> bool:
    """Whether the process with this ops address has started."""
    try:
        return (await client.get(f"http://{address}/readyz")).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
