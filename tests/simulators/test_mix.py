"""Random lives: every command they choose is accepted and changes something, and reading along gives the whole."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from random import Random

import pytest

from deploy.simulators.todoist import demo, sync
from deploy.simulators.todoist.account import KINDS, PLURAL, Account, Entity
from deploy.simulators.todoist.commands import execute
from deploy.simulators.todoist.mix import mixed
from deploy.simulators.todoist.projects import open_account

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Life = Callable[[Account, Random], tuple[str, Entity]]


@pytest.mark.parametrize("life", [mixed, demo.step])
def test_a_reader_who_follows_the_tokens_ends_with_the_same_state(life: Life) -> None:
    ids = (f"id{number}" for number in count())
    account = open_account("1", ids=lambda: next(ids), generation=b"life-1", full_name="Ann", now=NOON)
    dice = Random(11)
    held: dict[str, dict[str, Entity]] = {PLURAL[kind]: {} for kind in KINDS}
    token = follow(account, held, sync.FULL)
    for _ in range(2000):
        before = account.seq
        type_, args = life(account, dice)
        execute(account, type_, args, NOON)
        assert account.seq > before
        if dice.random() < 0.1:
            token = follow(account, held, token)
    follow(account, held, token)
    assert held == {PLURAL[kind]: {e["id"]: e for e in account.living(kind)} for kind in KINDS}


def follow(account: Account, held: dict[str, dict[str, Entity]], token: str) -> str:
    """Take over what one read tells; returns the next token."""
    read = sync.read(account, token, ["all"], "now")
    for plural, entities in held.items():
        for entity in read[plural]:
            entities[entity["id"]] = entity
            if entity["is_deleted"]:
                del entities[entity["id"]]
    return str(read["sync_token"])
