"""`lifeos up` and `lifeos down`."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import click

from deploy.local import environment, preflight, stack
from deploy.local.process import Refused, StackError, last_lines
from deploy.local.screen import Screen


@click.command()
@click.option("--detach", is_flag=True, help="Return once everything is ready; `lifeos down` stops it.")
def up(detach: bool) -> None:
    """Start the whole stack on this machine: PostgreSQL, Kafka, the processes, simulated Todoist and Google accounts.

    What is missing is fetched first. Everything lives below .lifeos (LIFEOS_STATE_DIR moves it) and stays there
    between starts. LIFEOS_DATABASE_URL and LIFEOS_KAFKA_BOOTSTRAP name servers to use instead of our own;
    LIFEOS_POSTGRES_PORT, LIFEOS_KAFKA_PORT, LIFEOS_INGRESS_LISTEN, LIFEOS_TODOIST_SIMULATOR_LISTEN and
    LIFEOS_GOOGLE_SIMULATOR_LISTEN fix addresses.

    Exit status: 0 stopped as asked, 1 something keeps it from running, 2 it runs
    already, or a setting is wrong.
    """
    state = environment.state_directory()
    with Screen() as screen:
        sys.exit(in_background(state, screen) if detach else in_foreground(state, screen))


@click.command()
def down() -> None:
    """Stop the stack that runs from this clone and wait until it has stopped. The data stays."""
    state = environment.state_directory()
    with Screen() as screen:
        if stack.supervisor(state) is not None:
            screen.step("Stopping")
        try:
            stopped = asyncio.run(stack.down(state))
        except StackError as error:
            screen.say(str(error))
            sys.exit(error.status)
        screen.say("Stopped." if stopped else "Nothing was running.")
        if not stopped and (log := gave_up(state)):
            screen.say(f"The last one in the background ended by itself: {log} says why.")


def gave_up(state: Path) -> Path | None:
    """The log of a stack in the background that ended without being asked to; None where the last one was asked."""
    log = state / "log" / "up.log"
    return log if last_lines(log, 1) not in ([], ["Stopped."]) else None


def in_foreground(state: Path, screen: Screen) -> int:
    """Supervise until asked to end; the exit status."""
    try:
        with stack.locked(state):
            preflight.check(os.environ)
            asyncio.run(stack.up(state, screen))
    except (StackError, ExceptionGroup) as error:
        found = reasons(error)
        for reason in found:
            screen.say(str(reason))
        return max(reason.status for reason in found)
    screen.say("Stopped.")
    return 0


def reasons(error: Exception) -> list[StackError]:
    """What to tell a person. Anything that is not a StackError is ours, and raised again with its trace."""
    if isinstance(error, StackError):
        return [error]
    if not isinstance(error, ExceptionGroup):
        raise error
    return [reason for one in error.exceptions for reason in reasons(one)]


def in_background(state: Path, screen: Screen) -> int:
    """Start a supervisor of its own session and wait until it is ready or has ended; the exit status."""
    if (pid := stack.supervisor(state)) is not None:
        screen.say(f"The stack of {state} is running already (process {pid}). `lifeos down` stops it.")
        return Refused.status
    try:
        preflight.check(os.environ)
        log = environment.usable(state) / "log" / "up.log"
    except Refused as error:
        screen.say(str(error))
        return error.status
    log.parent.mkdir(mode=0o700, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "deploy.lifeos", "up"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        return follow(process, state, log, screen)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def follow(process: subprocess.Popen[bytes], state: Path, log: Path, screen: Screen) -> int:
    """Show the supervisor's last line until it is ready; its exit status and words where it ended instead."""
    while environment.text(state / "ready") != str(process.pid):
        if process.poll() is not None:
            screen.say("\n".join(last_lines(log, 20)))
            return process.returncode or 1
        screen.live(" ".join(last_lines(log, 1)))
        time.sleep(0.05)
    screen.ready(environment.read(state / "env"), state, detached=True)
    # It outlives us on purpose; without this, the interpreter would complain about it on its way out.
    process.returncode = 0
    return 0
