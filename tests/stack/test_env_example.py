"""The example environment names every setting that the code reads, and none that does not exist."""

import re

from deploy.local import environment

ROOMS = ("schemas", "outbox", "ingress", "processors", "deploy")
SETTING = re.compile(r"\bLIFEOS_[A-Z]+(?:_[A-Z]+)*\b")
# Kills a process on purpose, in development only: naming it to an operator would be an invitation.
HIDDEN = {"LIFEOS_FAILPOINT"}


def named_in_code() -> set[str]:
    files = [path for room in ROOMS for path in (environment.PROJECT / room).rglob("*.py")]
    scripts = [environment.PROJECT / "deploy" / "local" / "venv.sh"]
    found = {name for path in files + scripts for name in SETTING.findall(path.read_text("utf-8"))}
    return {name.removesuffix("_FILE") if name != "LIFEOS_KAFKA_CA_FILE" else name for name in found} - HIDDEN


def named_in_example() -> set[str]:
    lines = (environment.PROJECT / "deploy" / "env.example").read_text("utf-8").splitlines()
    found = {line.lstrip("#").partition("=")[0] for line in lines if re.match(r"#?LIFEOS_[A-Z_]+=", line)}
    return {name.removesuffix("_FILE") if name != "LIFEOS_KAFKA_CA_FILE" else name for name in found}


def test_the_example_and_the_code_name_the_same_settings() -> None:
    assert named_in_example() == named_in_code()
