"""A child that dies is named with its last words and started again; one that keeps dying ends the whole."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from deploy.local.process import Child, Refused, StackError, alive, dying_with_parent, end
from deploy.local.supervisor import Patience, keep, once, stop_all, until_signal


def python(tmp_path: Path, code: str, name: str = "worker", grace: float = 5.0) -> Child:
    return Child(name, [sys.executable, "-S", "-c", code], tmp_path / f"{name}.log", grace=grace)


async def soon(_: float) -> None:
    """A pause that takes no time."""
    await asyncio.sleep(0)


def test_pauses_double_up_to_ten_seconds() -> None:
    patience = Patience()
    assert [patience.died(20.0 * n) for n in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_good_minute_restores_the_first_pause() -> None:
    patience = Patience()
    assert [patience.died(now) for now in (0, 10, 71, 80)] == [0.5, 1, 0.5, 1]


def test_the_fifth_death_within_a_minute_is_the_last() -> None:
    patience = Patience()
    assert [patience.died(now) for now in (0, 15, 30, 45, 60)] == [0.5, 1, 2, 4, None]
    patience = Patience()
    assert [patience.died(now) for now in (0, 15, 30, 45, 60.1)] == [0.5, 1, 2, 4, 8]


async def test_a_child_that_keeps_dying_ends_the_whole_with_its_reason(tmp_path: Path) -> None:
    child = python(tmp_path, "print('no such topic'); raise SystemExit(3)")
    said: list[str] = []
    await child.start()
    with pytest.raises(StackError, match=r"(?s)worker ended 5 times.*exit status 3.*no such topic"):
        await keep(child, said.append, soon)
    assert len(said) == 4
    assert all("no such topic" in one and "Starting it again" in one for one in said)
    assert (tmp_path / "worker.log").read_text() == "no such topic\n" * 5


async def test_wrong_settings_are_not_tried_again(tmp_path: Path) -> None:
    child = python(tmp_path, "import sys; print('LIFEOS_VAULT_KEYS: must be a ring'); sys.exit(2)")
    await child.start()
    with pytest.raises(Refused, match="LIFEOS_VAULT_KEYS"):
        await keep(child, print, soon)
    assert child.log.read_text().count("\n") == 1


async def test_last_words_are_those_of_the_last_life(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text("from an earlier life\n")
    child = python(tmp_path, "print('from this one')")
    await once(child)
    assert "this one" in child.why()
    assert "earlier" not in child.why()


async def test_a_child_that_was_killed_runs_again(tmp_path: Path) -> None:
    child = python(tmp_path, "import time; time.sleep(60)")
    again = asyncio.Event()
    said: list[str] = []

    async def pause(_: float) -> None:
        again.set()

    await child.start()
    first, seen = child.pid, child.pid
    keeper = asyncio.create_task(keep(child, said.append, pause))
    child.signal(signal.SIGKILL)
    await asyncio.wait_for(again.wait(), 5)
    while seen in {None, first}:
        await asyncio.sleep(0.01)
        seen = child.pid
    keeper.cancel()
    await stop_all([child], said.append)
    assert not alive(seen)
    assert "SIGKILL" in said[0]


async def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = python(tmp_path, deaf, grace=0.2)
    await child.start()
    while "deaf" not in child.log.read_text():
        await asyncio.sleep(0.01)
    await child.stop()
    assert child.ended == -signal.SIGKILL


async def test_a_step_that_fails_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"(?s)migrate ended with exit status 1.*no database"):
        await once(python(tmp_path, "raise SystemExit('no database')", "migrate"))


async def test_a_step_that_hangs_is_ended(tmp_path: Path) -> None:
    child = python(tmp_path, "import time; print('waiting for PostgreSQL', flush=True); time.sleep(60)", "migrate")
    with pytest.raises(StackError, match=r"(?s)takes longer.*waiting for PostgreSQL"):
        await once(child, bound=1.0)
    assert child.pid is None


async def test_children_die_with_their_supervisor_however_it_dies(tmp_path: Path) -> None:
    grandchild = dying_with_parent([sys.executable, "-S", "-c", "import time; time.sleep(60)"], signal.SIGTERM)
    code = f"import subprocess, time; print(subprocess.Popen({grandchild!r}).pid, flush=True); time.sleep(60)"
    supervisor = python(tmp_path, code, "supervisor")
    await supervisor.start()
    while not (said := supervisor.log.read_text().strip()):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # setpriv sets the mark a moment after the pid is known
    await supervisor.kill()
    async with asyncio.timeout(5):
        while alive(int(said)):
            await asyncio.sleep(0.01)


async def test_a_process_of_somebody_else_is_seen_gone(tmp_path: Path) -> None:
    """`end` is for orphans: no child of ours, so there is nothing to wait for."""
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid)"
    launcher = python(tmp_path, code, "launcher")
    await once(launcher)
    orphan = int(launcher.log.read_text())
    assert alive(orphan)
    await end(orphan, signal.SIGTERM)
    assert not alive(orphan)


async def test_ctrl_c_ends_the_work_and_is_no_error(tmp_path: Path) -> None:
    """In a process of its own, since the handlers are for the whole process."""
    code = (
        "import asyncio, os, signal\n"
        "from deploy.local.supervisor import until_signal\n"
        "async def work():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(until_signal(work()))\n"
        "print('in order')\n"
    )
    child = Child("main", [sys.executable, "-c", code], tmp_path / "main.log")
    await once(child)
    assert child.log.read_text() == "in order\n"


async def test_work_that_ends_by_itself_needs_no_signal() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    loop = asyncio.get_running_loop()
    try:
        await until_signal(work())
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
    assert done == [1]
