"""How a verb fails: one line on standard error and an exit code that means something."""

from collections.abc import Callable
from typing import TypeVar

import click

T = TypeVar("T")


class Failure(click.ClickException):
    """Something could not be done: exit code 1."""

    exit_code = 1


class Wrong(click.ClickException):
    """It was asked or set wrongly: exit code 2."""

    exit_code = 2


def loaded(load: Callable[[], T]) -> T:
    """What `load` returns; wrong settings become `Wrong`."""
    from schemas.settings import BadSettings, NotSet

    try:
        return load()
    except NotSet as error:
        raise Wrong(f"{error} (`lifeos up` sets it for this machine)") from None
    except BadSettings as error:
        raise Wrong(str(error)) from None
