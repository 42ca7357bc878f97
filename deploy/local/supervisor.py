"""Keeps the children of the local stack alive, gives up on one that keeps dying, stops all of them in order."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from deploy.local.process import Child, Refused, StackError, dying_with_parent

Say = Callable[[str], None]
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
WINDOW = 60.0
ENOUGH = 5


class Kept(Protocol):
    """A child or a server: what is started, waited for, explained and stopped."""

    name: str

    async def start(self) -> None: ...
    async def wait(self) -> int: ...
    async def stop(self) -> None: ...
    def why(self) -> str: ...


@dataclass
class Patience:
    """How long to pause after each death: doubling, from the start again after a good minute, and not for ever."""

    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=ENOUGH))
    pause: float = FIRST_PAUSE

    def died(self, now: float) -> float | None:
        """Seconds to pause before the next start; None after the fifth death within a minute."""
        if self.deaths and now - self.deaths[-1] > WINDOW:
            self.pause = FIRST_PAUSE
        self.deaths.append(now)
        if len(self.deaths) == ENOUGH and now - self.deaths[0] <= WINDOW:
            return None
        pause, self.pause = self.pause, min(2 * self.pause, LONGEST_PAUSE)
        return pause


async def keep(
    child: Kept, say: Say, sleep: Callable[[float], Coroutine[None, None, None]] = asyncio.sleep
) -> NoReturn:
    """Start `child` again each time it ends. Raises StackError, with its last words, when that leads nowhere."""
    patience = Patience()
    await child.wait()
    while True:
        why = child.why()
        refused(child)
        pause = patience.died(asyncio.get_running_loop().time())
        if pause is None:
            raise StackError(f"{child.name} ended {ENOUGH} times within a minute, so everything stops here. {why}")
        say(f"{why}\nStarting it again in {pause:g} s.")
        await sleep(pause)
        try:
            await child.start()
            await child.wait()
        except (StackError, OSError) as error:
            # A server that does not come up counts as one more death; why() tells the same from its log.
            say(str(error))
            await child.stop()


def refused(child: Kept) -> None:
    """Raise Refused where one of our own processes ended because its settings are wrong."""
    if isinstance(child, Child) and child.ended == Refused.status:
        raise Refused(child.why())


def lifeos(name: str, arguments: Iterable[str], log: Path, variables: Mapping[str, str]) -> Child:
    """A process of this very program: `lifeos ARGUMENTS`, with `variables` added to the environment."""
    # -P: a folder named like one of ours where the command was typed is not imported instead.
    command = [sys.executable, "-P", "-m", "deploy.lifeos", *arguments]
    everything = os.environ | dict(variables)
    return Child(name, dying_with_parent(command, signal.SIGTERM), log / f"{name}.log", everything)


async def once(child: Child, bound: float = 60.0) -> None:
    """Run `child` to its end. Anything but success is a StackError with its last words."""
    await child.start()
    try:
        async with asyncio.timeout(bound):
            status = await child.wait()
    except TimeoutError:
        raise StackError(f"{child.name} takes longer than {bound:.0f} s. {child.last_words()}") from None
    finally:
        await child.stop()
    refused(child)
    if status != 0:
        raise StackError(child.why())


async def stop_all(children: Iterable[Kept], say: Say) -> None:
    """Stop one after the other, each within its own bound; a failure of one leaves none of the others running."""
    failures: list[str] = []
    for child in children:
        try:
            await child.stop()
        except (StackError, OSError) as error:
            failures.append(f"{child.name} did not stop as it should: {error}")
    for failure in failures:
        say(failure)


async def until_signal(work: Coroutine[None, None, None]) -> None:
    """Run `work` until it ends or this process is asked to end (Ctrl-C, SIGTERM, a closed terminal)."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    asked = False

    def ask() -> None:
        nonlocal asked
        asked = True
        task.cancel()

    for number in signals:
        loop.add_signal_handler(number, ask)
    try:
        await task
    except asyncio.CancelledError:
        if not asked:
            raise
    # The handlers stay: a second Ctrl-C while things stop in order must not leave half of them running.
