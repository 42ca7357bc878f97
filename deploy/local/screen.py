"""What a person sees of the local stack: one live line on a terminal, a few plain ones elsewhere."""

import io
import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from deploy.local.simulated import SIMULATED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SELDOM = 5.0  # seconds between two plain lines of what changes all the time


class Terminal(io.FileIO):
    """Standard output that may be closed under us: what cannot be shown any more is lost, and stops nobody."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def terminal() -> TextIO:
    """Where the screen is drawn."""
    try:
        raw = Terminal(1, "w", closefd=False)
    except OSError:  # there is none
        raw = Terminal(os.devnull, "w")
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "replace")


class Screen:
    """Steps, notices and a live line. Use it as a context, so that the terminal is left as it was found."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=terminal(), highlight=False)
        self._live = self.console.status("")
        self._seldom = 0.0
        self._shown = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def step(self, text: str) -> None:
        """What is being done now."""
        self._live.update(escape(text))
        if not self.console.is_terminal:
            self.console.print(escape(text), soft_wrap=True)

    def live(self, text: str) -> None:
        """What changes all the time; where it cannot be overwritten, now and then and only if it did change."""
        self._live.update(escape(text))
        if self.console.is_terminal or text == self._shown or time.monotonic() < self._seldom:
            return
        self._shown, self._seldom = text, time.monotonic() + SELDOM
        self.console.print(escape(text), soft_wrap=True)

    def say(self, text: str) -> None:
        """Something that happened and stays to be read."""
        self.console.print(escape(text), soft_wrap=True)

    def ready(self, variables: Mapping[str, str], state: Path, *, detached: bool) -> None:
        """What runs where, and what to try."""
        self.console.print()
        self.console.print("[bold]LifeOS Integrations is running[/bold]")
        self._rows(places(variables, state), 10)
        self.console.print("[bold]Try next[/bold]")
        self._rows(suggestions(variables), 44)
        stop = f"{program()} down" if detached else "Ctrl-C"
        self.console.print(f"{escape(stop)} stops everything; the data stays.", style="dim")

    def _rows(self, rows: list[tuple[str, str]], width: int) -> None:
        # Not a table: one cuts or folds what does not fit, and these are lines to copy.
        for name, value in rows:
            self.console.print(f"  [dim]{escape(name.ljust(width))}[/dim]  {escape(value)}", soft_wrap=True)


def places(variables: Mapping[str, str], state: Path) -> list[tuple[str, str]]:
    """What runs where."""
    rows = [("webhooks", f"http://{variables['LIFEOS_INGRESS_LISTEN']}/webhooks/…")]
    rows += [
        (one.title, f"{variables[one.url]}  (simulated, account {one.account})")
        for one in SIMULATED
        if one.listen in variables
    ]
    rows.append(("Kafka", variables.get("LIFEOS_KAFKA_BOOTSTRAP", "as LIFEOS_KAFKA_BOOTSTRAP_FILE says")))
    rows.append(("PostgreSQL", without_password(variables.get("LIFEOS_DATABASE_URL", ""))))
    rows.append(("data, logs", f"{state}, {state / 'log'}"))
    return rows


def suggestions(variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Things to try, each a line to copy."""
    kafka = variables.get("LIFEOS_KAFKA_BOOTSTRAP", "$LIFEOS_KAFKA_BOOTSTRAP")
    topic = f"{variables.get('LIFEOS_TOPIC_PREFIX', '')}changes.task"
    return [
        ("see each change of a task as it is published", f"{program()} tail changes.task"),
        ("change something at a provider", f'{program()} simulate todoist create "Buy milk"'),
        ("the same for a calendar", f"{program()} tail changes.calendar-event"),
        ("", f'{program()} simulate google create "Choir" --every week'),
        ("subscribe with any Kafka client", f"kcat -C -b {kafka} -t {topic} -o end"),
    ]


def without_password(address: str) -> str:
    """A database's address, fit to be shown."""
    if not address:
        return "as LIFEOS_DATABASE_URL_FILE says"
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}@{host}" if parts.username else host, query="").geturl()


def program() -> str:
    """How to call this very command, for this very stack, from where it was called."""
    path = Path(sys.prefix, "bin", "lifeos")
    called = min(os.path.relpath(path), str(path), key=len)
    state = os.environ.get("LIFEOS_STATE_DIR")
    return f"LIFEOS_STATE_DIR={shlex.quote(state)} {called}" if state else called
