"""The read side of `/sync`. Pure (https://developer.todoist.com/api/v1/, "Read resources")."""

from typing import Any, Final

from deploy.simulators.todoist.account import KINDS, PLURAL, Account, Entity, invalid

EMPTY: Final = ("notes", "project_notes", "filters", "reminders", "reminders_location", "collaborators", "workspaces")
"""Resources the simulator knows by name and has none of."""

FULL: Final = "*"


def read(account: Account, sync_token: str, resource_types: list[Any], at: str, *, full: bool = False) -> Entity:
    """What `/sync` answers: everything active for `*` (or when `full` forces it), otherwise everything that changed.

    Raises `Refused` for a token this account never gave, and for a resource type that is no text.
    """
    wanted = _wanted(resource_types)
    position = None if sync_token == FULL else account.position(sync_token)
    full = full or position is None
    answer: Entity = {"sync_token": account.token(), "full_sync": full}
    if full:
        answer["full_sync_date_utc"] = at
    for kind in KINDS:
        if PLURAL[kind] in wanted:
            answer[PLURAL[kind]] = account.active(kind) if full else []
    if not full and position is not None:
        _add_changed(answer, account, position)
    return answer | _others(account, wanted)


def _add_changed(answer: Entity, account: Account, position: int) -> None:
    for kind, entity in account.since(position):
        if PLURAL[kind] in answer:
            answer[PLURAL[kind]].append(entity)


def _others(account: Account, wanted: set[str]) -> Entity:
    others: Entity = {name: [] for name in EMPTY if name in wanted}
    if "user" in wanted:
        others["user"] = {
            "id": account.user_id,
            "full_name": account.full_name,
            "email": f"{account.user_id}@example.org",
            "inbox_project_id": account.inbox_id,
        }
    return others


def _wanted(resource_types: list[Any]) -> set[str]:
    """`all`, names, and names to leave out with a leading `-`. Unknown names are ignored."""
    if not all(isinstance(name, str) for name in resource_types):
        raise invalid("resource_types")
    known = {*(PLURAL[kind] for kind in KINDS), *EMPTY, "user"}
    wanted = known if "all" in resource_types else known & set(resource_types)
    return wanted - {name[1:] for name in resource_types if name.startswith("-")}
