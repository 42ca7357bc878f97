"""What Todoist promises of an account, without any I/O."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from deploy.simulators.todoist import sync
from deploy.simulators.todoist.account import Account, Entity, Refused, Saved
from deploy.simulators.todoist.commands import MOST_COMMANDS, execute, execute_all
from deploy.simulators.todoist.due import advanced, due
from deploy.simulators.todoist.projects import open_account

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday


@pytest.fixture
def account() -> Account:
    return new_account("1")


def new_account(user_id: str, generation: bytes = b"life-1") -> Account:
    ids = (f"id{number}" for number in count())
    return open_account(user_id, ids=lambda: next(ids), generation=generation, full_name="Ann", now=NOON)


def run(account: Account, type_: str, **args: Any) -> Entity:
    return execute(account, type_, args, NOON)


def read(account: Account, token: str = "*", **options: Any) -> Entity:
    return sync.read(account, token, ["all"], "2026-11-22T12:00:00Z", **options)


def test_a_full_sync_shows_what_is_active_and_only_that(account: Account) -> None:
    kept = run(account, "item_add", content="kept")
    run(account, "item_delete", id=run(account, "item_add", content="deleted")["id"])
    run(account, "item_complete", id=run(account, "item_add", content="completed")["id"])
    answer = read(account)
    assert answer["full_sync"] is True
    assert answer["full_sync_date_utc"] == "2026-11-22T12:00:00Z"
    assert [item["id"] for item in answer["items"]] == [kept["id"]]
    assert [project["inbox_project"] for project in answer["projects"]] == [True]


def test_an_incremental_sync_shows_each_changed_thing_once_with_its_tombstone(account: Account) -> None:
    gone, done, untouched = (run(account, "item_add", content=name) for name in ("gone", "done", "untouched"))
    token = read(account)["sync_token"]
    run(account, "item_update", id=done["id"], priority=4)
    run(account, "item_complete", id=done["id"])
    run(account, "item_delete", id=gone["id"])
    answer = read(account, token)
    assert answer["full_sync"] is False
    assert {item["id"]: (item["is_deleted"], item["checked"]) for item in answer["items"]} == {
        gone["id"]: (True, False),
        done["id"]: (False, True),
    }
    assert untouched["id"] not in str(answer)
    assert read(account, answer["sync_token"])["items"] == []


def test_a_token_can_be_used_again_and_tells_the_same_and_more(account: Account) -> None:
    token = read(account)["sync_token"]
    run(account, "label_add", name="errand")
    assert [label["name"] for label in read(account, token)["labels"]] == ["errand"]
    run(account, "label_add", name="waiting")
    assert {label["name"] for label in read(account, token)["labels"]} == {"errand", "waiting"}


@pytest.mark.parametrize("token", ["", "nonsense", "é", "AAAA", "*" * 40])
def test_a_token_that_was_never_given_is_refused(account: Account, token: str) -> None:
    with pytest.raises(Refused) as refusal:
        read(account, token)
    assert refusal.value.http_code == 400
    assert refusal.value.extra == {"argument": "sync_token"}


def test_a_token_of_another_account_or_another_life_is_refused(account: Account) -> None:
    for other in (new_account("2"), new_account("1", generation=b"life-2")):
        with pytest.raises(Refused):
            read(account, read(other)["sync_token"])
    token = read(account)["sync_token"]
    account.renew(b"life-3")
    with pytest.raises(Refused):
        read(account, token)


def test_resource_types_choose_and_exclude(account: Account) -> None:
    chosen = sync.read(account, "*", ["items", "labels"], "now")
    assert "projects" not in chosen
    assert chosen["items"] == chosen["labels"] == []
    excluded = sync.read(account, "*", ["all", "-projects"], "now")
    assert "projects" not in excluded
    assert excluded["reminders"] == []
    assert excluded["user"]["id"] == "1"


def test_a_command_is_executed_once_however_often_its_uuid_comes(account: Account) -> None:
    command = {"type": "item_add", "uuid": "u1", "temp_id": "t1", "args": {"content": "once"}}
    first = execute_all(account, [command], NOON)
    assert first.sync_status == {"u1": "ok"}
    again = execute_all(account, [command], NOON)
    assert again.sync_status == {"u1": "ok"}
    assert [item["id"] for item in account.living("item")] == [first.temp_id_mapping["t1"]]


def test_a_batch_goes_on_after_a_refused_command_and_knows_its_temporary_ids(account: Account) -> None:
    commands = [
        {"type": "project_add", "uuid": "u1", "temp_id": "p", "args": {"name": "Home"}},
        {"type": "item_add", "uuid": "u2", "args": {"content": "nowhere", "project_id": "unknown"}},
        {"type": "item_add", "uuid": "u3", "args": {"content": "at home", "project_id": "p"}},
        {"type": "dance", "uuid": "u4", "args": {}},
    ]
    results = execute_all(account, commands, NOON)
    refused = results.sync_status["u2"]
    assert isinstance(refused, dict)
    assert (refused["error_tag"], refused["http_code"]) == ("PROJECT_NOT_FOUND", 404)
    assert results.sync_status["u3"] == "ok"
    assert results.sync_status["u4"] != "ok"
    assert [item["project_id"] for item in account.living("item")] == [results.temp_id_mapping["p"]]


def test_too_many_commands_are_refused_as_a_whole(account: Account) -> None:
    command = {"type": "item_add", "args": {"content": "x"}}
    with pytest.raises(Refused):
        execute_all(account, [command | {"uuid": str(n)} for n in range(MOST_COMMANDS + 1)], NOON)
    assert account.living("item") == []


def test_a_recurring_task_moves_on_and_stays_open(account: Account) -> None:
    task = run(account, "item_add", content="Water", due={"string": "every day"})
    account.take()
    moved = run(account, "item_close", id=task["id"])
    assert (task["due"]["date"], moved["due"]["date"]) == ("2026-11-22", "2026-11-23")
    assert moved["checked"] is False
    (change,) = account.take()
    assert change.event == "item:updated"
    assert change.extra == {"update_intent": "item_completed", "old_item": task}


def test_what_a_deleted_project_held_is_told_by_sync_alone(account: Account) -> None:
    project = run(account, "project_add", name="Home")
    section = run(account, "section_add", name="Kitchen", project_id=project["id"])
    task = run(account, "item_add", content="Clean", section_id=section["id"])
    token = read(account)["sync_token"]
    account.take()
    run(account, "project_delete", id=project["id"])
    assert [change.event for change in account.take() if change.event] == ["project:deleted"]
    answer = read(account, token)
    assert all(entity["is_deleted"] for kind in ("projects", "sections", "items") for entity in answer[kind])
    assert [item["id"] for item in answer["items"]] == [task["id"]]


def test_subtasks_follow_their_parent(account: Account) -> None:
    parent = run(account, "item_add", content="parent")
    child = run(account, "item_add", content="child", parent_id=parent["id"])
    home = run(account, "project_add", name="Home")
    run(account, "item_move", id=parent["id"], project_id=home["id"])
    assert account.get("item", child["id"])["project_id"] == home["id"]
    run(account, "item_complete", id=parent["id"])
    assert account.get("item", child["id"])["checked"] is True
    run(account, "item_uncomplete", id=child["id"])
    assert account.get("item", parent["id"])["checked"] is False
    with pytest.raises(Refused):
        run(account, "item_move", id=parent["id"], parent_id=child["id"])


def test_a_label_takes_its_name_along(account: Account) -> None:
    label = run(account, "label_add", name="errand")
    task = run(account, "item_add", content="x", labels=["errand", "other"])
    run(account, "label_update", id=label["id"], name="shopping")
    assert account.get("item", task["id"])["labels"] == ["other", "shopping"]
    run(account, "label_delete", id=label["id"])
    assert account.get("item", task["id"])["labels"] == ["other"]


def test_stamps_only_rise_even_when_the_clock_does_not(account: Account) -> None:
    stamps = [execute(account, "item_add", {"content": "x"}, NOON - timedelta(hours=n))["updated_at"] for n in range(3)]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("type_", "args"),
    [
        ("item_add", {}),
        ("item_add", {"content": ""}),
        ("item_add", {"content": 7}),
        ("item_add", {"content": "x", "priority": 5}),
        ("item_add", {"content": "x", "due": {"string": "when pigs fly"}}),
        ("item_add", {"content": "x", "due": {"date": "2026-02-30"}}),
        ("item_add", {"content": "x", "deadline": {"date": "tomorrow"}}),
        ("item_update", {"content": "x"}),
        ("item_move", {"id": "id0"}),
        ("project_delete", {"id": "id0"}),
        ("section_add", {"name": "x"}),
        ("label_add", {"name": "x" * 61}),
    ],
)
def test_what_makes_no_sense_changes_nothing(account: Account, type_: str, args: Entity) -> None:
    before = account.seq
    with pytest.raises(Refused):
        execute(account, type_, args, NOON)
    assert account.seq == before


@pytest.mark.parametrize(
    ("string", "first", "following"),
    [
        ("every day", "2026-11-22", "2026-11-23"),
        ("Every 3 days", "2026-11-22", "2026-11-25"),
        ("every monday at 09:30", "2026-11-23T09:30:00", "2026-11-30T09:30:00"),
        ("every 2 weeks", "2026-11-22", "2026-12-06"),
        ("every month", "2026-11-22", "2026-12-22"),
    ],
)
def test_recurring_dates(string: str, first: str, following: str) -> None:
    made = due({"string": string}, NOON.date())
    assert made is not None
    assert (made["date"], made["is_recurring"]) == (first, True)
    assert advanced(made, NOON.date())["date"] == following


def test_a_month_that_is_shorter_keeps_the_date_within_it() -> None:
    january = {"string": "every month", "date": "2027-01-31", "is_recurring": True}
    assert advanced(january, NOON.date())["date"] == "2027-02-28"


def saved(account: Account) -> Saved:
    return Saved.model_validate_json(account.saved().model_dump_json())


def restored(what: Saved, generation: bytes) -> Account:
    return Account.restored(what, ids=lambda: "fresh", generation=generation)


def test_an_account_goes_on_where_it_was_saved(account: Account) -> None:
    old = read(account)["sync_token"]
    run(account, "item_add", content="Water the plants")
    token = read(account)["sync_token"]

    again = restored(saved(restored(saved(account), b"life-2")), b"life-3")

    assert again.entities == account.entities
    assert read(again, token)["items"] == []
    assert [item["content"] for item in read(again, old)["items"]] == ["Water the plants"]
    run(again, "item_add", content="Buy milk")
    assert [item["content"] for item in read(again, token)["items"]] == ["Buy milk"]
    assert read(again, read(again)["sync_token"])["items"] == []


def test_a_token_of_what_a_crash_made_forgotten_is_refused(account: Account) -> None:
    before = saved(account)
    run(account, "item_add", content="never saved")
    token = read(account)["sync_token"]
    again = restored(before, b"life-2")
    for title in ("other", "changes", "since"):
        run(again, "item_add", content=title)
        with pytest.raises(Refused):
            read(again, token)


def test_expired_tokens_stay_expired_over_a_restart(account: Account) -> None:
    token = read(account)["sync_token"]
    account.renew(b"life-2")
    with pytest.raises(Refused):
        read(restored(saved(account), b"life-3"), token)
