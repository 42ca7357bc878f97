"""Random but repeatable changes of every kind, as a busy person makes them. Pure: the dice are given."""

from random import Random
from typing import Final

from deploy.simulators.todoist.account import Account, Entity, Kind

Command = tuple[str, Entity]

VERBS: Final = ("Call", "Write to", "Visit", "Pay", "Plan", "Fix", "Read", "Thank", "Ask", "Book")
THINGS: Final = (
    "the dentist",
    "Ann",
    "the bicycle",
    "the café",
    "rent",
    "the garden",
    "chapter 3",
    "Grandma",
    "the train",
)
DUES: Final = (
    "today",
    "tomorrow",
    "every day",
    "every 2 weeks",
    "every monday at 09:30",
    "2027-03-01",
    "2027-03-01 at 17:00",
)

WEIGHTS: Final[dict[str, int]] = {
    "item_add": 30,
    "item_update": 30,
    "item_complete": 9,
    "item_uncomplete": 6,
    "item_move": 6,
    "item_delete": 6,
    "project_add": 3,
    "project_update": 2,
    "project_delete": 1,
    "section_add": 2,
    "section_update": 2,
    "section_delete": 1,
    "label_add": 2,
    "label_update": 1,
    "label_delete": 1,
}


def title(dice: Random) -> str:
    return f"{dice.choice(VERBS)} {dice.choice(THINGS)}"


def mixed(account: Account, dice: Random) -> Command:
    """The next command: always one that this account, as it is, will accept and that changes something."""
    type_ = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    kind, _, verb = type_.partition("_")
    if verb == "add":
        return type_, _fresh(account, kind, dice)
    target = _target(account, kind, verb, dice)
    if target is None:
        return "item_add", _fresh(account, "item", dice)
    if verb == "update":
        return type_, {"id": target["id"], **_edit(account, kind, dice)}
    if verb == "move":
        return type_, {"id": target["id"], "project_id": dice.choice(account.living("project"))["id"]}
    return type_, {"id": target["id"]}


def _target(account: Account, kind: str, verb: str, dice: Random) -> Entity | None:
    candidates = account.living(_kind(kind))
    if verb == "complete":
        candidates = [item for item in candidates if not item["checked"]]
    elif verb == "uncomplete":
        candidates = [item for item in candidates if item["checked"]]
    elif kind == "project" and verb == "delete":
        # The newest: it holds the least, so an account grows although projects go.
        candidates = [project for project in candidates if not project["inbox_project"]][-1:]
    return dice.choice(candidates) if candidates else None


def _fresh(account: Account, kind: str, dice: Random) -> Entity:
    if kind == "item":
        return _edit(account, kind, dice) | {"content": title(dice), **_place(account, dice)}
    if kind == "section":
        return {"name": title(dice), "project_id": dice.choice(account.living("project"))["id"]}
    return {"name": f"{title(dice)} {account.seq}"}


def _place(account: Account, dice: Random) -> Entity:
    name = dice.choice(("project_id", "section_id", "parent_id"))
    kinds: dict[str, Kind] = {"project_id": "project", "section_id": "section", "parent_id": "item"}
    candidates = account.active(kinds[name])
    return {name: dice.choice(candidates)["id"]} if candidates else {}


def _edit(account: Account, kind: str, dice: Random) -> Entity:
    if kind != "item":
        return {"name": f"{title(dice)} {account.seq}", "color": dice.choice(("red", "blue", "green", "taupe"))}
    labels = [label["name"] for label in account.living("label")]
    return dice.choice(
        (
            {"content": title(dice)},
            {"description": f"As agreed in step {account.seq}."},
            {"priority": dice.randint(1, 4)},
            {"due": {"string": dice.choice(DUES)}},
            {"due": None},
            {"labels": dice.sample(labels, min(2, len(labels)))},
            {"deadline": {"date": f"2027-{dice.randint(1, 12):02}-15"}},
            {"duration": {"amount": dice.choice((15, 30, 60)), "unit": "minute"}},
        )
    )


def _kind(name: str) -> Kind:
    kinds: dict[str, Kind] = {"item": "item", "project": "project", "section": "section", "label": "label"}
    return kinds[name]
