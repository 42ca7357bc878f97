"""The page on adding a provider as a test follows it: its steps, their edits and the new files they name."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.environment import PROJECT

PAGE: Final = PROJECT / "deploy" / "docs" / "adding-a-provider.md"
KEPT: Final = Path(__file__).parent / "postbox"
"""The imaginary provider's files, each where the page puts it. Code ends in `.py.txt`: it belongs to a later version."""

_STEP: Final = re.compile(r"^## (\d+\. .+)$", re.MULTILINE)
_BLOCK: Final = re.compile(r"^```(diff|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EDITED: Final = re.compile(r"^\+\+\+ b/(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its heading, and its blocks in their order: an edit, or the new files it names."""

    name: str
    blocks: tuple[str | tuple[str, ...], ...]

    @property
    def edited(self) -> tuple[str, ...]:
        return tuple(path for block in self.blocks if isinstance(block, str) for path in _EDITED.findall(block))

    @property
    def new(self) -> tuple[str, ...]:
        return tuple(path for block in self.blocks if not isinstance(block, str) for path in block)


def steps(page: str) -> list[Step]:
    _, *parts = _STEP.split(page)
    return [Step(name, tuple(_blocks(said))) for name, said in zip(parts[::2], parts[1::2], strict=True)]


def _blocks(said: str) -> Iterator[str | tuple[str, ...]]:
    for language, block in _BLOCK.findall(said):
        yield block if language == "diff" else tuple(block.split())


def kept() -> set[str]:
    """Where each of the imaginary provider's files belongs."""
    files = (path.relative_to(KEPT) for path in KEPT.rglob("*") if path.is_file())
    return {str(path).removesuffix(".txt") for path in files}


def copied(into: Path) -> Path:
    """The repository's tracked files as they are here and now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=True, capture_output=True, text=True)
    for name in listed.stdout.split("\0"):
        if (PROJECT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, into / name)
    return into


def follow(page: str, copy: Path) -> None:
    """Does what the page says, step by step. Fails with the name of the step that can no longer be done."""
    for step in steps(page):
        for block in step.blocks:
            if isinstance(block, str):
                _edit(step, block, copy)
            else:
                _add(step, block, copy)


def _edit(step: Step, block: str, copy: Path) -> None:
    # A place below some repository would make git look for the files from the top of that one.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    command = ["git", "apply", "--whitespace=error", "-"]
    done = subprocess.run(command, cwd=copy, input=block, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"step {step.name!r}: an edit does not apply:\n{done.stderr}\n{block}"


def _add(step: Step, names: tuple[str, ...], copy: Path) -> None:
    for name in names:
        source = KEPT / (f"{name}.txt" if name.endswith(".py") else name)
        assert source.is_file(), f"step {step.name!r}: {name} is not kept under {KEPT.name}"
        target = copy / name
        assert not target.exists(), f"step {step.name!r}: {name} is there already"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
