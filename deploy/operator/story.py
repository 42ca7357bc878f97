"""One delivery's way as a story, in the order of time. Pure."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from deploy.operator.lines import ago, columns, printable

Row = dict[str, Any]

INDENT: Final = " " * 14
NARROW, WIDE = 80, 100
COUNTED: Final = ("created", "updated", "deleted", "rejected")
WELL: Final = ("done", "closed")
"""How runs end that read everything. Any other was tried in vain, but for what it had committed before."""
NO_ROW: Final = {"cut short": "it was cut short, and another began again", "under way": "it is under way"}


class Event(NamedTuple):
    """Something that happened: a sentence, and what there is to know about it."""

    at: datetime
    said: str
    more: Sequence[str] = ()


def tell(told: Row, now: datetime) -> Iterator[str]:
    """The lines of what `deliveries show` has found; none is longer than the screen, at most `WIDE`."""
    width = min(columns() or NARROW, WIDE)
    yield from _wrapped(f"{told['id']} is {_what(told)}", "", "  ", width)
    day = None
    for event in sorted(_events(told, now), key=lambda event: event.at):
        if event.at.date() != day:
            day = event.at.date()
            yield ""
            yield f"{day}, UTC"
        yield from _wrapped(event.said, f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03}  ", INDENT, width)
        for line in event.more:
            yield from _wrapped(line, INDENT, INDENT + "  ", width)
    yield from _now(told, now, width)


def _wrapped(text: str, first: str, others: str, width: int) -> list[str]:
    """Lines of at most `width` columns; ids are never broken, wherever they stand."""
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _what(told: Row) -> str:
    words = {
        "delivery": "a delivery",
        "run": "a run",
        "item": "an item",
        "change": "a change",
        "cause": "what caused a run; its delivery is no longer kept",
    }
    return " and ".join(words[found] for found in dict.fromkeys(told["found"]))


def _events(told: Row, now: datetime) -> Iterator[Event]:
    requests: dict[Any, Row] = {}
    for delivery in told["deliveries"]:
        requests.setdefault((delivery["delivery_id"], delivery["received_at"]), delivery)
        yield from _accepted(delivery)
    for (_, received_at), delivery in requests.items():
        if received_at:
            yield _received(delivery)
    for run in told["runs"]:
        yield from _run(run)
    for change in told["changes"]:
        yield _change(change)
    for cursor in told["waiting"]:
        yield Event(now, *_waiting(cursor, now))


# Deliveries ----------------------------------------------------------------------------------------------------------


def _received(delivery: Row) -> Event:
    more = [f"delivery {delivery['delivery_id']}"]
    if delivery["subscription_id"]:
        message = "" if delivery["message"] is None else f", message {delivery['message']}"
        more.append(f"subscription {delivery['subscription_id']}{message}")
    if delivery["trace"]:
        more.append(f"trace {delivery['trace']}")
    whose = f" for account {delivery['account']}" if delivery["account"] else ""
    return Event(delivery["received_at"], f"received from {delivery['provider']}: {delivery['event']}{whose}", more)


def _accepted(delivery: Row) -> Iterator[Event]:
    stands = f"{delivery['topic']} {delivery['partition']}/{delivery['offset']}"
    more = [f"stands in {stands}{_there(delivery)}", *_groups(delivery)]
    match delivery["outcome"]:
        case "wanted":
            resource = [f"resource {delivery['resource']}"] if delivery["resource"] else []
            more = [f"connection {delivery['connection_id']}", *resource, *more]
            yield Event(delivery["accepted_at"], "accepted as wanted: a run will see it", more)
        case "unmatched":
            yield Event(delivery["accepted_at"], "accepted, unmatched: nobody connected this account", more)
        case "stale":
            yield Event(delivery["accepted_at"], f"accepted, stale: {_stale(delivery)}", more)
        case _:
            why = delivery["parked_detail"] or "its bytes are no longer kept"
            yield Event(delivery["accepted_at"], f"parked as {delivery['reason']}: {why}", more)


def _stale(delivery: Row) -> str:
    """Why a delivery had no effect, as far as what is known now tells it."""
    value = (delivery.get("record") or {}).get("value")
    via = value.get("via") if isinstance(value, dict) else None
    named = via.get("external_id") if isinstance(via, dict) else None
    if named and delivery["announces"] and named != delivery["announces"]:
        return f"it names the resource {named}, and the subscription it came through announces {delivery['announces']}"
    if delivery["subscription_lives"]:
        return "the subscription it came through lives, and announced another resource, or one that existed no more"
    return "the subscription it came through is over"


def _there(thing: Row) -> str:
    """What stands at its place, where that is not what one expects; nothing where Kafka was not asked."""
    state = (thing.get("record") or {}).get("state", "there")
    return {"there": "", "gone": ", past its retention", "another": ", but another record is there"}[state]


def _groups(thing: Row) -> Iterator[str]:
    groups = thing.get("groups") or []
    passed = [group["group"] for group in groups if group["passed"]]
    behind = [f"{group['group']} (at {group['next_offset']})" for group in groups if not group["passed"]]
    if passed:
        yield f"passed by {', '.join(passed)}"
    if behind:
        yield f"not yet by {', '.join(behind)}"
    if not groups and thing.get("record"):
        yield "no group has committed an offset here"


# Runs ----------------------------------------------------------------------------------------------------------------


def _run(run: Row) -> Iterator[Event]:
    more = [f"run {run['run_id']}", f"connection {run['connection_id']}"]
    more += [f"resource {run['resource']}"] if run["resource"] else []
    if run["causation_id"] != str(run["run_id"]):
        more.append(f"caused by {run['causation_id']}")
    began = "first sign of a run" if run["outcome"] in NO_ROW else "run began"
    yield Event(run["started_at"], f"{began}, found by {run['found_by']}", more)
    yield Event(run["ended_at"], _ending(run), [f"run {run['run_id']}", *_saw(run)])


def _saw(run: Row) -> Iterator[str]:
    """The deliveries that one run was for, where they are more than the one that its cause names."""
    every = len(run["saw"]) + run["saw_left_off"]
    if [one["delivery_id"] for one in run["saw"]] == [run["causation_id"]]:
        return
    if every:
        yield f"was the first to see {every} deliver{'y' if every == 1 else 'ies'}:"
    for one in run["saw"]:
        at = one["accepted_at"]
        yield f"{one['delivery_id']} {one['event']}, accepted {at:%H:%M:%S}.{at.microsecond // 1000:03}"
    if run["saw_left_off"]:
        yield f"and {run['saw_left_off']} more"


def _ending(run: Row) -> str:
    if run["outcome"] in NO_ROW:
        return f"last sign of the run: {NO_ROW[run['outcome']]}"
    found = outcome_of(run["outcome"], run) or "nothing that was not known"
    why = f": {run['detail']}" if run["detail"] else ""
    times = run["deliveries"] or 0
    asked = f"; asked for {times} times" if times > 1 and run["outcome"] not in WELL else ""
    return f"run {run['outcome']}{why} ({found}{asked})"


def outcome_of(outcome: str, counts: Mapping[str, int | None]) -> str:
    """What a run changed, in words; of one that failed, what it had committed before. Empty: it found nothing new."""
    found = ", ".join(f"{counts[name]} {name}" for name in COUNTED if counts[name])
    if outcome in WELL:
        return found
    return f"{found} before it failed" if found else "it failed and changed nothing"


def _waiting(cursor: Row, now: datetime) -> tuple[str, list[str]]:
    """What has to happen before a run sees the delivery."""
    more = [f"connection {cursor['connection_id']}", f"resource {cursor['resource']}"]
    if cursor["last_error"]:
        more.append(f"attempt {cursor['attempts']} ended with: {cursor['last_error']}")
    if cursor["done"] >= cursor["wanted"]:
        return "a run has seen it; its row is no longer kept", more
    if cursor["closed"]:
        return "no run will see it: the resource exists no more", more
    if cursor["halted"]:
        return "no run before the account is connected again", more
    if cursor["leased_by"]:
        return f"a run is under way, by {cursor['leased_by']}", more
    if cursor["due_at"] > now:
        return f"the next run is due {ago(cursor['due_at'], now)}", more
    return f"a run has been due for {ago(cursor['due_at'], now)}: does `lifeos processors` run?", more


# Changes -------------------------------------------------------------------------------------------------------------


def _change(change: Row) -> Event:
    names = f" (changed: {', '.join(change['changed'])})" if change["action"] == "updated" and change["changed"] else ""
    more = [f"change {change['change_id']}", *_out(change), *_groups(change)]
    return Event(change["recorded_at"], f"{change['kind']} {change['action']}{names}", more)


def _out(change: Row) -> Iterator[str]:
    if change["state"] == "dropped":
        yield "the outbox no longer holds it, so where it was published is not known"
        return
    lane = f"lane {change['lane']}, number {change['seq']}"
    if change["state"] == "waiting":
        holder = f"{change['relay']} holds the lane" if change["relay"] else "no relay holds the lane"
        yield f"{lane}: not published yet. The lane is at {change['published']} of {change['head']}; {holder}"
    elif change["topic"] is None:
        yield f"{lane}: published; where, was not noted"
    else:
        stands = f"{change['topic']} {change['partition']}/{change['offset']}"
        yield f"{lane}; in {stands} since {change['published_at']:%H:%M:%S}{_there(change)}"


def _now(told: Row, now: datetime, width: int) -> Iterator[str]:
    """How the items are now, and what is not shown."""
    if told["items"]:
        yield ""
        yield "now"
    for item in sorted(told["items"], key=lambda item: bool(item["kind"] == "sync")):
        name = f" {item['name']!r}" if item["name"] else ""
        state = "deleted" if item["deleted"] else f"changed {ago(item['updated_at'], now)} ago"
        part = f", part of {item['part_of']}" if item["part_of"] else ""
        yield from _wrapped(f"{item['kind']}{name}, {state}{part}", "  ", INDENT, width)
        yield from _wrapped(f"{item['item_id']} version {item['version']}", INDENT, INDENT, width)
    yield from _left_off(told)


def _left_off(told: Row) -> Iterable[str]:
    return [f"  and {told['changes_left_off']} more changes: --limit shows them"] if told["changes_left_off"] else []
