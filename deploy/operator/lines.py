"""Answers on a terminal, in a pipe and for machines."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click


def columns() -> int | None:
    """How wide a line may be: as the terminal, and as it likes where a program reads it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def say(text: str) -> None:
    """Prints one line, whatever is in it, as wide as it may be."""
    click.echo(cut(printable(text), columns()))


def table(headings: Sequence[str], cells: Sequence[Sequence[str]], most: int | None) -> Iterator[str]:
    """One line each, headings first, with nothing in them that a terminal obeys. What one needs most comes first: where
    there are only `most` columns, the right edge is cut."""
    lines = [[printable(cell) for cell in line] for line in (headings, *cells)]
    widths = _widths(headings, cells)
    for line in lines:
        yield cut("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), most)


def _widths(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(headings, *cells, strict=True)]


def show(headings: Sequence[str], cells: Sequence[Sequence[str]], colours: Sequence[str | None], painted: int) -> None:
    """Prints a table; the cell number `painted` of each line gets the line's colour."""
    heading, *lines = table(headings, cells, columns())
    click.secho(heading, bold=True)
    first = sum(width + 2 for width in _widths(headings, cells)[:painted])
    for line, row, colour in zip(lines, cells, colours, strict=True):
        end = first + len(row[painted])
        click.echo(line[:first] + click.style(line[first:end], fg=colour) + line[end:] if colour else line)


def json_lines(rows: Iterable[Any]) -> None:
    """One JSON object a line."""
    for row in rows:
        click.echo(json(row))


def json(value: Any) -> str:
    """One line of JSON. Moments are RFC 3339; a moment that never comes is null."""
    import orjson

    return orjson.dumps(value, default=str).decode()


def printable(text: str) -> str:
    """A text that no terminal obeys: what providers and topics hold may be none of ours."""
    return "".join(character if character.isprintable() else "�" for character in text)


def count(number: int, one: str, many: str | None = None) -> str:
    """So many of something: `1 lane`, `2 lanes`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long since a moment, or until it: `3 min`, `in 2 d`; `never` where there is none."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    return span(seconds) if seconds >= 0 else f"in {span(-seconds)}"


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length)} {unit}"
    return f"{round(seconds)} s"
