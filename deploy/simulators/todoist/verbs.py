"""The verbs that drive a running Todoist simulator."""

from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from deploy.simulators.driving import driving, show_json
from deploy.simulators.failure import Wrong
from deploy.simulators.todoist.fault_verbs import faults

if TYPE_CHECKING:
    from deploy.simulators.drive import Remote

P = ParamSpec("P")


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
def create(remote: "Remote", account: str, as_json: bool, /, title: str, **fields: Any) -> None:
    """Create a task."""
    _show(remote.mutate(account, "item_add", {"content": title, **_task(**fields)}), "created", as_json)


@click.command()
@click.argument("id")
@click.option("--title")
@task_fields
@driving
def edit(remote: "Remote", account: str, as_json: bool, /, id: str, title: str | None, **fields: Any) -> None:
    """Edit a task."""
    changed = _task(**fields) | ({"content": title} if title else {})
    if not changed:
        raise Wrong("nothing to change: give --title, --due, --priority, --description or --label")
    _show(remote.mutate(account, "item_update", {"id": id, **changed}), "edited", as_json)


@click.command()
@click.argument("id")
@driving
def complete(remote: "Remote", account: str, as_json: bool, /, id: str) -> None:
    """Complete a task; a recurring one moves on to its next date."""
    _show(remote.mutate(account, "item_close", {"id": id}), "completed", as_json)


@click.command()
@click.argument("id")
@driving
def reopen(remote: "Remote", account: str, as_json: bool, /, id: str) -> None:
    """Reopen a completed task."""
    _show(remote.mutate(account, "item_uncomplete", {"id": id}), "reopened", as_json)


@click.command()
@click.argument("id")
@driving
def delete(remote: "Remote", account: str, as_json: bool, /, id: str) -> None:
    """Delete a task and its subtasks."""
    _show(remote.mutate(account, "item_delete", {"id": id}), "deleted", as_json)


@click.command()
@driving
def tasks(remote: "Remote", account: str, as_json: bool, /) -> None:
    """List the account's tasks, completed ones too."""
    listed = remote.books(account, "state")["state"]["items"]
    if as_json:
        show_json(listed)
        return
    for task in listed:
        click.echo(f"{task['id']}  {'x' if task['checked'] else ' '}  {task['content']}{_due(task)}")


@click.command()
@click.argument("changes", type=click.IntRange(1, 100_000))
@click.option("--seed", type=int, help="The same seed makes the same changes.")
@driving
def mix(remote: "Remote", account: str, as_json: bool, /, changes: int, seed: int | None) -> None:
    """Make random changes of every kind."""
    done = remote.mix(account, changes, seed)
    if as_json:
        show_json(done)
    else:
        click.echo(f"made {changes} changes; the account is at sequence {done['sequence']}")


@click.command()
@click.argument("pushes", type=click.IntRange(1, 1_000_000))
@click.option("--edits", is_flag=True, help="Each push tells a real edit instead of repeating the present state.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=64, show_default=True)
@driving
def storm(remote: "Remote", account: str, as_json: bool, /, pushes: int, edits: bool, concurrency: int) -> None:
    """Send very many pushes at full speed."""
    id_ = remote.begin_storm(account, pushes, edits, concurrency)
    ended = _followed(remote, id_, pushes, visible=not as_json)
    if as_json:
        show_json(ended)
    else:
        rate = pushes / max(ended["seconds"], 0.001)
        click.echo(
            f"{ended['accepted']} of {pushes} answered 200, {ended['refused']} not, "
            f"in {ended['seconds']:.1f} s ({rate:,.0f} a second)"
        )


@click.command()
@click.option("--parts", default="state,deleted,changes,pushes,calls", show_default=True, help="Only these, in JSON.")
@driving
def books(remote: "Remote", account: str, as_json: bool, /, parts: str) -> None:
    """Read what the simulator knows of an account."""
    read = remote.books(account, parts)
    if as_json:
        show_json(read)
    else:
        _show_books(read)


@click.command()
@click.option("--create", "new", metavar="ID", help="Make this account first; needs --token.")
@click.option("--token", help="The bearer token of the new account.")
@driving
def accounts(remote: "Remote", account: str, as_json: bool, /, new: str | None, token: str | None) -> None:
    """List the accounts, or make one."""
    if (new is None) != (token is None):
        raise Wrong("--create and --token go together")
    if new is not None and token is not None:
        remote.create_account(new, token)
    listed = remote.accounts()
    if as_json:
        show_json(listed)
        return
    for known in listed:
        click.echo(f"{known['account']}  {known['full_name']}, {known['sequence']} changes")


@click.command()
@driving
def expire(remote: "Remote", account: str, as_json: bool, /) -> None:
    """Make every sync token given so far invalid."""
    remote.expire(account)
    if as_json:
        show_json({"account": account})
    else:
        click.echo(f"the sync tokens of {account} are invalid now")


VERBS = (create, edit, complete, reopen, delete, tasks, mix, storm, expire, faults, books, accounts)


def _followed(remote: "Remote", id_: str, total: int, *, visible: bool) -> dict[str, Any]:
    """Wait for a storm with a progress bar; returns its end."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not visible) as progress:
        bar = progress.add_task("pushes", total=total)
        while True:
            state = remote.storm(id_)
            progress.update(bar, completed=state["accepted"] + state["refused"])
            if state["ended"]:
                return state
            sleep(0.1)


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
        click.echo(f"{what} {task['id']}  {task['content']}{_due(task)}")


def _due(task: dict[str, Any]) -> str:
    return f"  (due {task['due']['date']}: {task['due']['string']})" if task["due"] else ""


def _show_books(read: dict[str, Any]) -> None:
    click.echo(f"account {read['account']}, sequence {read['sequence']}")
    for kind, living in read.get("state", {}).items():
        click.echo(f"  {kind}: {len(living)} living, {len(read.get('deleted', {}).get(kind, ()))} deleted")
    pushes = read.get("pushes", [])
    unheard = sum(not push["accepted"] for push in pushes)
    click.echo(f"  pushes: {len(pushes)}, {unheard} of them never answered 200")
    for call, statuses in read.get("calls", {}).items():
        click.echo(f"  {call}: " + ", ".join(f"{count} × {status}" for status, count in statuses.items()))
