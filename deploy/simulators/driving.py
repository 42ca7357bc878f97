"""What every verb that drives a running simulator shares."""

import json
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from deploy.simulators.failure import Failure, loaded

if TYPE_CHECKING:
    from deploy.simulators.drive import Remote

P = ParamSpec("P")


def driving(command: Callable[Concatenate["Remote", str, bool, P], None]) -> Callable[P, None]:
    """Give a verb the running simulator, `--account` and `--json`, and turn trouble into one line."""

    @click.option("--account", default="2671355", show_default=True, help="Whose.")
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
    @wraps(command)
    def verb(*args: P.args, **kwargs: P.kwargs) -> None:
        from deploy.simulators.drive import Remote, Trouble

        account, as_json = str(kwargs.pop("account")), bool(kwargs.pop("as_json"))
        try:
            with Remote(_url()) as remote:
                command(remote, account, as_json, *args, **kwargs)
        except Trouble as trouble:
            raise Failure(str(trouble)) from None

    return verb


def _url() -> str:
    from deploy.local.environment import environment
    from deploy.simulators.settings import drive_settings

    return loaded(lambda: drive_settings(environment())).todoist_url


def show_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))
