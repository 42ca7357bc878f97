"""The label commands of the Sync API. Pure. Tasks carry labels by name, so a rename or a deletion reaches them too."""

from deploy.simulators.todoist.account import Account, Entity, invalid
from deploy.simulators.todoist.fields import LabelFields, written


def label_add(account: Account, args: Entity, at: str) -> Entity:
    fields = written(LabelFields, args, "name")
    _refuse_taken(account, fields["name"], None)
    return account.record("label", _new(account, at) | fields, at, "label:added")


def label_update(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("label", args.get("id"))
    fields = written(LabelFields, args)
    name = str(fields.get("name", old["name"]))
    if name != old["name"]:
        _refuse_taken(account, name, old["id"])
        _relabel(account, old["name"], [name], at)
    return account.record("label", old | fields, at, "label:updated")


def label_delete(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("label", args.get("id"))
    _relabel(account, old["name"], [], at)
    return account.record("label", old | {"is_deleted": True}, at, "label:deleted")


def _new(account: Account, at: str) -> Entity:
    return {
        "id": account.ids(),
        "name": "",
        "color": "charcoal",
        "item_order": len(account.entities["label"]) + 1,
        "is_deleted": False,
        "is_favorite": False,
        "updated_at": at,
    }


def _refuse_taken(account: Account, name: str, id_: str | None) -> None:
    if any(label["name"] == name and label["id"] != id_ for label in account.living("label")):
        raise invalid("name", "A label of this name exists")


def _relabel(account: Account, name: str, instead: list[str], at: str) -> None:
    for item in account.living("item"):
        if name in item["labels"]:
            kept = [label for label in item["labels"] if label != name]
            account.record("item", item | {"labels": [*kept, *instead]}, at)
