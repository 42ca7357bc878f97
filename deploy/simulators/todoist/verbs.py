"""The verbs that drive a running Todoist simulator."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, get_args

import click

from deploy.simulators.driving import Driven, say, show_json
from deploy.simulators.failure import Wrong
from deploy.simulators.fault_verbs import fault_verbs
from deploy.simulators.todoist.faults import ApiFaultKind
from deploy.simulators.verbs import shared_verbs

if TYPE_CHECKING:
    from deploy.simulators.todoist.drive import TodoistRemote

P = ParamSpec("P")


def _remote(environ: Mapping[str, str]) -> "TodoistRemote":
    from deploy.simulators.settings import TodoistDriving
    from deploy.simulators.todoist.drive import TodoistRemote
    from schemas.settings import load

    return TodoistRemote(load(TodoistDriving, environ).url)


driving = Driven("2671355", _remote, "state,deleted,changes,pushes,calls")


def task_fields(command: Callable[P, None]) -> Callable[P, None]:
    """The options that describe a task."""
    for option in (
        click.option("--label", "labels", multiple=True, help="May be given several times."),
        click.option("--description"),
        click.option("--priority", type=click.IntRange(1, 4), help="4 is the most urgent."),
        click.option("--due", help="Such as: tomorrow, 2027-03-01, every day, every monday at 09:30, no date."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("title")
@task_fields
@driving
def create(remote: "TodoistRemote", account: str, as_json: bool, /, title: str, **fields: Any) -> None:
    """Create a task."""
    _show(remote.mutate(account, "item_add", {"content": title, **_task(**fields)}), "created", as_json)


@click.command()
@click.argument("id")
@click.option("--title")
@task_fields
@driving
def edit(remote: "TodoistRemote", account: str, as_json: bool, /, id: str, title: str | None, **fields: Any) -> None:
    """Edit a task."""
    changed = _task(**fields) | ({"content": title} if title else {})
    if not changed:
        raise Wrong("nothing to change: give --title, --due, --priority, --description or --label")
    _show(remote.mutate(account, "item_update", {"id": id, **changed}), "edited", as_json)


@click.command()
@click.argument("id")
@driving
def complete(remote: "TodoistRemote", account: str, as_json: bool, /, id: str) -> None:
    """Complete a task; a recurring one moves on to its next date."""
    _show(remote.mutate(account, "item_close", {"id": id}), "completed", as_json)


@click.command()
@click.argument("id")
@driving
def reopen(remote: "TodoistRemote", account: str, as_json: bool, /, id: str) -> None:
    """Reopen a completed task."""
    _show(remote.mutate(account, "item_uncomplete", {"id": id}), "reopened", as_json)


@click.command()
@click.argument("id")
@driving
def delete(remote: "TodoistRemote", account: str, as_json: bool, /, id: str) -> None:
    """Delete a task and its subtasks."""
    _show(remote.mutate(account, "item_delete", {"id": id}), "deleted", as_json)


@click.command()
@driving
def tasks(remote: "TodoistRemote", account: str, as_json: bool, /) -> None:
    """List the account's tasks, completed ones too."""
    listed = remote.books(account, "state")["state"]["items"]
    if as_json:
        show_json(listed)
        return
    for task in listed:
        say(f"{task['id']}  {'x' if task['checked'] else ' '}  {task['content']}{_due(task)}")


@click.command()
@driving
def expire(remote: "TodoistRemote", account: str, as_json: bool, /) -> None:
    """Make every sync token given so far invalid."""
    remote.expire(account)
    if as_json:
        show_json({"account": account})
    else:
        click.echo(f"the sync tokens of {account} are invalid now")


def _counted(read: dict[str, Any]) -> list[str]:
    deleted = read.get("deleted", {})
    return [
        f"{kind}: {len(living)} living, {len(deleted.get(kind, ()))} deleted"
        for kind, living in read.get("state", {}).items()
    ]


VERBS = (
    *(create, edit, complete, reopen, delete, tasks, expire),
    *shared_verbs(driving, _counted),
    fault_verbs(driving, get_args(ApiFaultKind)),
)


def _task(due: str | None, priority: int | None, description: str | None, labels: tuple[str, ...]) -> dict[str, Any]:
    given: dict[str, Any] = {"priority": priority, "description": description, "labels": list(labels) or None}
    fields = {name: value for name, value in given.items() if value is not None}
    if due is not None:
        fields["due"] = None if due == "no date" else {"string": due}
    return fields


def _show(task: dict[str, Any], what: str, as_json: bool) -> None:
    if as_json:
        show_json(task)
    else:
        say(f"{what} {task['id']}  {task['content']}{_due(task)}")


def _due(task: dict[str, Any]) -> str:
    return f"  (due {task['due']['date']}: {task['due']['string']})" if task["due"] else ""
