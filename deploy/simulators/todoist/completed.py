"""`tasks/completed/by_completion_date`: what was completed within a window of three months at most. Pure.

The newest comes first. The documents leave the order open; the window is inclusive at both ends, as the official SDK says.
"""

from calendar import monthrange
from datetime import UTC, datetime
from typing import Final

from deploy.simulators.todoist.account import Account, Entity, invalid, missing
from deploy.simulators.todoist.paging import after, cursor, limit, seal

MONTHS: Final = 3


def page(account: Account, query: dict[str, str]) -> Entity:
    """One page of completed tasks, as `items`; `next_cursor` is null on the last. Raises `Refused`."""
    most, sealed = limit(query), seal(account, "completed", query)
    since, until = _window(query)
    last = after(query, sealed)
    found = [item for item in account.living("item") if item["checked"] and _matches(item, query)]
    found = [item for item in found if since <= datetime.fromisoformat(item["completed_at"]) <= until]
    found.sort(key=_order, reverse=True)
    found = [item for item in found if last is None or _order(item) < last]
    more = len(found) > most
    return {"items": found[:most], "next_cursor": cursor(_order(found[most - 1]), sealed) if more else None}


def _order(item: Entity) -> str:
    return f"{item['completed_at']} {item['id']}"


def _matches(item: Entity, query: dict[str, str]) -> bool:
    return all(item[name] == query[name] for name in ("project_id", "section_id", "parent_id") if name in query)


def _window(query: dict[str, str]) -> tuple[datetime, datetime]:
    since, until = _time(query, "since"), _time(query, "until")
    if until < since:
        raise invalid("until", "Must not be before since")
    if until > _later(since):
        raise invalid("until", f"Must be at most {MONTHS} months after since")
    return since, until


def _time(query: dict[str, str], name: str) -> datetime:
    if name not in query:
        raise missing(name)
    try:
        at = datetime.fromisoformat(query[name])
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        raise invalid(name, "Must be a date and time") from None


def _later(at: datetime) -> datetime:
    """The same day some months later, or the last of its month."""
    year, month = divmod(at.year * 12 + at.month - 1 + MONTHS, 12)
    return at.replace(year=year, month=month + 1, day=min(at.day, monthrange(year, month + 1)[1]))
