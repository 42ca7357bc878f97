"""The demo account of the local stack: a small life that keeps changing gently."""

import asyncio
from random import Random
from typing import Final

from deploy.simulators.todoist.account import Account, Entity
from deploy.simulators.todoist.commands import execute
from deploy.simulators.todoist.mix import title
from deploy.simulators.todoist.simulator import Simulator

ACCOUNT: Final = "2671355"
TOKEN: Final = "demo"  # noqa: S105 - opens a simulated account
FEWEST: Final = 10
MOST: Final = 30


def furnish(simulator: Simulator) -> Account:
    """Make the demo account with its projects, sections, labels and first tasks, unless it is there already.

    Nothing of it is pushed: it was there before anybody connected it, and connecting reads it.
    """
    if ACCOUNT in simulator.state:
        return simulator.holding(ACCOUNT).account
    account = simulator.create(ACCOUNT, TOKEN, "Dana Demo")

    def add(kind: str, **args: object) -> str:
        return str(execute(account, f"{kind}_add", args, simulator.now())["id"])

    home = add("project", name="Home", color="green")
    work = add("project", name="Work", color="blue", is_favorite=True)
    kitchen = add("section", name="Kitchen", project_id=home)
    review = add("section", name="In review", project_id=work)
    for name in ("errand", "waiting", "deep work"):
        add("label", name=name)
    add("item", content="Water the plants", project_id=home, due={"string": "every day"})
    add("item", content="Descale the kettle", section_id=kitchen, priority=2, labels=["errand"])
    add("item", content="Read the design", section_id=review, priority=4, labels=["deep work"])
    report = add("item", content="Write the report", project_id=work, due={"string": "tomorrow at 17:00"})
    add("item", content="Collect the figures", parent_id=report, duration={"amount": 45, "unit": "minute"})
    add("item", content="Buy a present for Ann", deadline={"date": "2027-03-01"})
    account.take()
    return account


async def live(simulator: Simulator, every: float = 2.0, dice: Random | None = None) -> None:
    """Make one change every so many seconds, for ever, keeping the number of tasks within bounds."""
    dice = dice or Random()
    account = simulator.holding(ACCOUNT).account
    while True:
        await asyncio.sleep(every)
        type_, args = step(account, dice)
        simulator.run(ACCOUNT, type_, **args)


def step(account: Account, dice: Random) -> tuple[str, Entity]:
    """What happens next."""
    open_ = account.active("item")
    done = [item for item in account.living("item") if item["checked"]]
    if len(open_) < FEWEST:
        return "item_add", {"content": title(dice), "project_id": dice.choice(account.active("project"))["id"]}
    if len(done) > MOST:
        return "item_delete", {"id": dice.choice(done)["id"]}
    task = dice.choice(open_)["id"]
    choices: list[tuple[str, Entity]] = [
        ("item_update", {"id": task, "content": title(dice)}),
        ("item_update", {"id": task, "priority": dice.randint(1, 4)}),
        ("item_update", {"id": task, "due": {"string": dice.choice(("today", "tomorrow", "every day"))}}),
        ("item_close", {"id": task}),
        ("item_add", {"content": title(dice)}),
    ]
    if done:
        choices.append(("item_uncomplete", {"id": dice.choice(done)["id"]}))
    return dice.choice(choices if len(open_) < MOST else choices[:4])
