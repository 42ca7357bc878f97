"""`deploy/up` before anything of ours can run: what keeps the environment from being made is said."""

import os
import shutil
from pathlib import Path

from deploy.local.environment import PROJECT
from deploy.local.process import run

NEEDED = (
    "deploy/up",
    "deploy/local/venv.sh",
    "deploy/requirements.txt",
    "deploy/requirements-dev.txt",
    "pyproject.toml",
)


async def test_dependencies_that_cannot_be_fetched_are_said_with_pips_own_words(tmp_path: Path) -> None:
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, tmp_path / name)
    nowhere = ["PIP_INDEX_URL=http://127.0.0.1:1/simple", "PIP_RETRIES=0", "PIP_CONFIG_FILE=" + os.devnull]
    clean = ["env", "-u", "PIP_FIND_LINKS", "-u", "PIP_EXTRA_INDEX_URL", "-u", "PIP_NO_INDEX", *nowhere]

    status, said = await run([*clean, str(tmp_path / "deploy" / "up")])

    lines = said.splitlines()
    assert status == 1
    assert lines[0].startswith("Installing ")
    assert any("ERROR: No matching distribution found" in line for line in lines), said
    assert lines[-1].endswith(f"all of what pip said is in {tmp_path / '.venv' / 'lifeos.log'}.")
    assert not (tmp_path / ".venv" / "lifeos.stamp").exists()
