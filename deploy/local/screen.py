"""What a person sees of the local stack: one live line on a terminal, a few plain ones elsewhere."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

SELDOM = 5.0  # seconds between two plain lines of what changes all the time


class Screen:
    """Steps, notices and a live line. Use it as a context, so that the terminal is left as it was found."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
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
        """What runs where, and three things to try."""
        self.console.print()
        self.console.print("[bold]LifeOS Integrations is running[/bold]")
        self.console.print(places(variables, state))
        self.console.print("[bold]Try next[/bold]")
        self.console.print(suggestions(variables))
        stop = f"{program()} down" if detached else "Ctrl-C"
        self.console.print(f"{escape(stop)} stops everything; the data stays.", style="dim")


def places(variables: Mapping[str, str], state: Path) -> Table:
    table = grid()
    table.add_row("webhooks", f"http://{variables['LIFEOS_INGRESS_LISTEN']}/webhooks/todoist")
    if "LIFEOS_SIMULATOR_LISTEN" in variables:
        table.add_row("Todoist", f"{variables['LIFEOS_TODOIST_URL']} (simulated; account 2671355)")
    table.add_row("Kafka", variables.get("LIFEOS_KAFKA_BOOTSTRAP", "as LIFEOS_KAFKA_BOOTSTRAP_FILE says"))
    table.add_row("PostgreSQL", without_password(variables.get("LIFEOS_DATABASE_URL", "")))
    table.add_row("state, logs", f"{state}, {state / 'log'}")
    return table


def suggestions(variables: Mapping[str, str]) -> Table:
    table = grid()
    kafka = variables.get("LIFEOS_KAFKA_BOOTSTRAP", "$LIFEOS_KAFKA_BOOTSTRAP")
    table.add_row(f"{program()} tail changes.task", "each change of a task, as it is published")
    table.add_row(f'{program()} simulate todoist create "Buy milk"', "a change at the provider")
    table.add_row(f"kcat -C -b {kafka} -t changes.task -o end", "the same, as any subscriber sees it")
    return table


def grid() -> Table:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True, overflow="ignore")
    table.add_column(no_wrap=True, overflow="ignore", style="dim")
    table.title_justify = "left"
    return table


def without_password(address: str) -> str:
    """A database's address, fit to be shown."""
    if not address:
        return "as LIFEOS_DATABASE_URL_FILE says"
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}@{host}" if parts.username else host, query="").geturl()


def program() -> str:
    """How to call this very command from where it was called."""
    path = Path(sys.prefix, "bin", "lifeos")
    return min(os.path.relpath(path), str(path), key=len)
