"""What every verb that drives a running simulator shares."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import click

from deploy.operator.lines import printable
from deploy.simulators.failure import Failure, loaded

if TYPE_CHECKING:
    from deploy.simulators.drive import Remote

P = ParamSpec("P")
R = TypeVar("R", bound="Remote")


@dataclass(frozen=True)
class Driven(Generic[R]):
    """One provider's simulator as its verbs know it."""

    account: str
    """Whose, where nobody says: the demo's."""
    remote: Callable[[Mapping[str, str]], R]
    """The one that runs where this environment says. Raises `BadSettings`."""
    parts: str
    """What its books have."""

    def __call__(self, command: Callable[Concatenate[R, str, bool, P], None]) -> Callable[P, None]:
        """Give a verb the running simulator, `--account` and `--json`, and turn trouble into one line."""

        @click.option("--account", default=self.account, show_default=True, help="Whose.")
        @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
        @wraps(command)
        def verb(*args: P.args, **kwargs: P.kwargs) -> None:
            from deploy.local.environment import environment
            from deploy.simulators.drive import Trouble

            account, as_json = str(kwargs.pop("account")), bool(kwargs.pop("as_json"))
            try:
                with loaded(lambda: self.remote(environment())) as remote:
                    command(remote, account, as_json, *args, **kwargs)
            except Trouble as trouble:
                raise Failure(str(trouble)) from None

        return verb


def say(line: str) -> None:
    """Print a line with names that anybody may have given; no terminal obeys it."""
    click.echo(printable(line))


def show_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))
