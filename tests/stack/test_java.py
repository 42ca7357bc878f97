"""Java and Maven: a usable one is found, anything else is named with the command that helps."""

import os
from pathlib import Path

import pytest

from deploy.local import java
from deploy.local.process import StackError


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_401"', 1),
        ('openjdk version "25" 2025-09-16', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", 0),
    ],
)
def test_versions_are_read_as_java_writes_them(tmp_path: Path, said: str, major: int) -> None:
    assert java.version(program(tmp_path, "java", f"cat >&2 <<'END'\n{said}\nEND"), 5.0) == major


def test_a_java_that_hangs_or_is_absent_is_none(tmp_path: Path) -> None:
    assert java.version(program(tmp_path, "java", "exec sleep 60"), 0.2) == 0
    assert java.version(tmp_path / "absent", 5.0) == 0


async def test_a_failed_download_shows_what_was_said_and_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "mvn", "mkdir -p libs; echo 'checksum validation failed'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    folder = tmp_path / "state" / "kafka-libs"
    with pytest.raises(StackError, match=r"(?s)maven.log.*checksum validation failed"):
        await java.fetch(Path("/opt/java/bin/java"), folder, "x.stamp", tmp_path / "maven.log", lambda _: None)
    assert not folder.exists()


async def test_jars_are_fetched_once_and_again_when_the_pom_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = java.java()
    assert found is not None
    script = 'for a in "$@"; do case $a in -DoutputDirectory=*) mkdir "${a#*=}"; echo >"${a#*=}/kafka.jar";; esac; done'
    program(tmp_path / "bin", "mvn", f'{script}\necho "Downloaded from somewhere"; echo run >>{tmp_path / "runs"}')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    said: list[str] = []
    _, folder = await java.jars(tmp_path / "state", said.append)
    assert (folder / "kafka.jar").exists()
    assert await java.jars(tmp_path / "state", said.append) == (found, folder)
    assert (tmp_path / "runs").read_text() == "run\n"
    assert len(said) == 1
    next(folder.glob("*.stamp")).rename(folder / "older.stamp")
    await java.jars(tmp_path / "state", said.append)
    assert (tmp_path / "runs").read_text() == "run\n" * 2
    assert len(list(folder.glob("*.stamp"))) == 1
