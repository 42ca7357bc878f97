"""A verb finds the stack that runs in its clone, and nothing that has stopped."""

import fcntl
import stat
from pathlib import Path

import pytest

from deploy.local import environment, secrets, stack


def test_variables_of_a_running_stack_are_found_and_the_caller_wins(tmp_path: Path) -> None:
    given = {"LIFEOS_STATE_DIR": str(tmp_path), "LIFEOS_ENV": "production"}
    with stack.locked(tmp_path):
        environment.write(tmp_path / "env", {"LIFEOS_ENV": "development", "LIFEOS_KAFKA_BOOTSTRAP": "here:1"})
        found = environment.environment(given)
    assert found["LIFEOS_KAFKA_BOOTSTRAP"] == "here:1"
    assert found["LIFEOS_ENV"] == "production"


def test_what_a_killed_supervisor_wrote_is_not_believed(tmp_path: Path) -> None:
    given = {"LIFEOS_STATE_DIR": str(tmp_path)}
    environment.write(tmp_path / "env", {"LIFEOS_KAFKA_BOOTSTRAP": "here:1"})
    (tmp_path / "lock").touch()
    assert environment.environment(given) == given


def test_a_second_supervisor_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    refused = pytest.raises(stack.AlreadyRunning, match="running already")
    with stack.locked(tmp_path), refused as refusal, stack.locked(tmp_path):
        pass
    assert str(tmp_path) in str(refusal.value)
    assert stack.supervisor(tmp_path) is None


def test_a_verb_that_asks_in_the_same_instant_keeps_nobody_from_starting(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    with lock.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert not environment.held(lock)


def test_secrets_are_made_once_and_are_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    made = secrets.development(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secrets.development(path) == made == environment.read(path)
    assert len(set(made.values())) == len(made)


def test_a_secret_that_came_later_is_added_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    before = secrets.development(path)
    environment.write(path, {k: v for k, v in before.items() if k != "LIFEOS_VAULT_KEYS"})
    after = secrets.development(path)
    assert {k for k in before if before[k] != after[k]} == {"LIFEOS_VAULT_KEYS"}


def test_key_rings_are_what_the_settings_read(tmp_path: Path) -> None:
    from schemas.settings import KeyRing

    assert KeyRing.parse(secrets.development(tmp_path / "secrets.env")["LIFEOS_CHANNEL_KEYS"]).first == 1
