"""How a verb fails: one line on standard error and an exit code that means something."""

from collections.abc import Callable
from typing import IO, Any, TypeVar

import click

from deploy.operator.lines import printable
from deploy.outside import NO_STACK

T = TypeVar("T")


class _Told(click.ClickException):
    """Said as every verb says it."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"lifeos: {printable(self.format_message())}", file=file, err=file is None)


class Failure(_Told):
    """Something could not be done: exit code 1."""

    exit_code = 1


class Wrong(_Told):
    """It was asked or set wrongly: exit code 2."""

    exit_code = 2


def loaded(load: Callable[[], T]) -> T:
    """What `load` returns; wrong settings become `Wrong`."""
    from schemas.settings import BadSettings, NotSet

    try:
        return load()
    except NotSet as error:
        raise Wrong(f"{error}{NO_STACK}") from None
    except BadSettings as error:
        raise Wrong(str(error)) from None
