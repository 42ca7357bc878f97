"""Standard output as a verb writes it: where it cannot be written, that is one line and a status, whoever finds out."""

import errno
import io
import sys
from typing import IO, TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ENOUGH: Final = (errno.EPIPE, errno.ECONNRESET)
"""Whoever reads has had enough and closed the pipe."""


class Unwritable(click.ClickException):
    """What is said cannot be written. Exit status 1: nobody may take it for an answer."""

    exit_code = 1

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror}")
        self._quiet = error.errno in ENOUGH

    def show(self, file: IO[Any] | None = None) -> None:
        if not self._quiet:
            click.echo(f"lifeos: {self.format_message()}", file=file, err=file is None)


class Output(io.FileIO):
    """A file that raises `Unwritable` once. What comes after is lost, or the interpreter would complain on its way out."""

    _lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self._lost:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._lost = True
            raise Unwritable(error) from None


def guard() -> None:
    """Makes `sys.stdout` an `Output`. A letter that its encoding lacks is replaced there, and ends nothing."""
    if sys.stdout is None:  # closed before we began: what is said is lost
        return
    old = sys.stdout
    raw = io.BufferedWriter(Output(old.fileno(), "w", closefd=False))
    sys.stdout = io.TextIOWrapper(raw, old.encoding, "replace", line_buffering=old.isatty())
