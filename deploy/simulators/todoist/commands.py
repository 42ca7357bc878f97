"""The write side of `/sync`: commands in, results out. Pure (https://developer.todoist.com/api/v1/, "Write resources")."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from deploy.simulators.todoist import labels, projects, tasks
from deploy.simulators.todoist.account import Account, Entity, Refused, invalid, missing

Handler = Callable[[Account, Entity, str], Entity]

COMMANDS: Final[dict[str, Handler]] = {
    "item_add": tasks.item_add,
    "item_update": tasks.item_update,
    "item_move": tasks.item_move,
    "item_complete": tasks.item_complete,
    "item_close": tasks.item_complete,
    "item_uncomplete": tasks.item_uncomplete,
    "item_update_date_complete": tasks.item_update_date_complete,
    "item_delete": tasks.item_delete,
    "item_reorder": tasks.item_reorder,
    "project_add": projects.project_add,
    "project_update": projects.project_update,
    "project_move": projects.project_move,
    "project_delete": projects.project_delete,
    "project_archive": projects.project_archive,
    "project_unarchive": projects.project_unarchive,
    "section_add": projects.section_add,
    "section_update": projects.section_update,
    "section_move": projects.section_move,
    "section_delete": projects.section_delete,
    "section_archive": projects.section_archive,
    "section_unarchive": projects.section_unarchive,
    "label_add": labels.label_add,
    "label_update": labels.label_update,
    "label_delete": labels.label_delete,
}

MOST_COMMANDS: Final = 100
REFERENCES: Final = ("id", "project_id", "section_id", "parent_id")


@dataclass(slots=True)
class Results:
    """`sync_status` and `temp_id_mapping` of one request."""

    sync_status: dict[str, Entity | Literal["ok"]] = field(default_factory=dict)
    temp_id_mapping: dict[str, str] = field(default_factory=dict)


def execute(account: Account, type_: str, args: Entity, now: datetime) -> Entity:
    """Run one command and return the entity it made or changed. Raises `Refused`."""
    if type_ not in COMMANDS:
        raise invalid("type", f"Unknown command {type_}")
    return COMMANDS[type_](account, args, account.tick(now))


def execute_all(account: Account, commands: Sequence[Any], now: datetime) -> Results:
    """Run a request's commands in order. One that is refused does not stop the next.

    A `uuid` that was executed before is not executed again and reports what it reported then. Raises `Refused` only for
    a request that is wrong as a whole.
    """
    if len(commands) > MOST_COMMANDS:
        raise invalid("commands", f"At most {MOST_COMMANDS} commands are allowed in a request")
    results = Results()
    for command in commands:
        if not isinstance(command, dict) or not isinstance(command.get("uuid"), str):
            raise missing("uuid")
        if command["uuid"] not in account.uuids:
            account.uuids[command["uuid"]] = _status(account, command, results, now)
        results.sync_status[command["uuid"]] = account.uuids[command["uuid"]]
    return results


def _status(account: Account, command: Entity, results: Results, now: datetime) -> Entity | Literal["ok"]:
    try:
        args = command.get("args")
        if not isinstance(args, dict):
            raise missing("args")
        made = execute(account, str(command.get("type")), _resolved(args, results.temp_id_mapping), now)
    except Refused as refusal:
        return refusal.body()
    if isinstance(command.get("temp_id"), str):
        results.temp_id_mapping[command["temp_id"]] = made["id"]
    return "ok"


def _resolved(args: Entity, temp_ids: dict[str, str]) -> Entity:
    return args | {name: temp_ids.get(args[name], args[name]) for name in REFERENCES if isinstance(args.get(name), str)}
