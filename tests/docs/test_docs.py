"""The docs hold against the code and the reverse: what exists is named, and what is named exists."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from starlette.routing import Route

from deploy.contracts import published
from deploy.local.environment import PROJECT
from deploy.ops import Readiness, _application
from deploy.simulators.todoist.faults import ApiFaultKind
from ingress.app import App
from ingress.provider import REASONS
from ingress.providers import PROVIDERS
from ingress.publish import CAUSES
from outbox import cursors, kafka, lease, postgres, relay, retention
from processors.providers import exchange, todoist
from processors.providers.todoist_position import LOOK_BACK
from schemas import topics
from schemas.change import VALUES, Attributes, FoundBy, Value
from schemas.providers import KINDS, Kind
from schemas.telemetry import FIELDS
from tests.docs import product
from tests.docs.pages import DOCS, FENCE, LINK, PAGES, README, anchors, code, named, page, rows, section, text

README_TEXT = text(README)
EVERYTHING = "\n".join(text(one) for one in PAGES)
PATH = re.compile(r"(?:schemas|outbox|ingress|processors|deploy|tests)/[\w./-]*\w")

each_page = pytest.mark.parametrize("where", PAGES, ids=lambda where: where.name)


def first_cells(where: str) -> set[str]:
    """What the first cells of a text's tables name."""
    return {name for row in rows(where) for name in named(row[0])}


# What exists is named.


def test_every_route_is_in_the_readme() -> None:
    health = [route for route in (*App({})._rest.routes, *_application(Readiness()).routes) if isinstance(route, Route)]
    webhooks = {f"POST {provider.SPEC.path}" for provider in PROVIDERS}
    exist = webhooks | {f"GET {route.path}" for route in health}
    assert exist == {name for row in rows(section(README_TEXT, "Routes")) for name in named(row[1])}


def test_every_answer_of_a_webhook_route_is_in_the_readme() -> None:
    table = rows(section(README_TEXT, "Routes"))
    for spec in (provider.SPEC for provider in PROVIDERS):
        (said,) = [row[2] for row in table if f"`POST {spec.path}`" in row[1]]
        replies = spec.replies
        for status in (replies.accepted, replies.unavailable, replies.refused, replies.too_large, 405, 415):
            assert f"`{status}`" in said


def test_every_topic_is_in_the_readme_with_what_it_keeps() -> None:
    table = {row[0]: row for row in rows(section(README_TEXT, "Topics"))}
    assert table.keys() == {f"`{topic.name}`" for topic in topics.every()}
    for topic in topics.every():
        assert table[f"`{topic.name}`"][2] == f"{topic.retention.days} days"
    assert f"{topics.PARTITIONS} partitions" in section(README_TEXT, "Topics")


def test_every_table_is_in_the_readme_with_what_it_keeps() -> None:
    table = {row[0].strip("`"): row[1] for row in rows(section(README_TEXT, "Tables"))}
    assert table.keys() == product.tables()
    partitioned = {name: said for name, said in table.items() if "day partitions" in said}
    assert partitioned.keys() == {one.table for one in retention.PARTITIONED}
    for one in retention.PARTITIONED:
        assert partitioned[one.table].endswith(f"{one.keep.days} days")


def test_every_verb_is_in_the_readme_or_the_page_it_names() -> None:
    told = {name.split(" [")[0] for name in named(README_TEXT) | named(page("simulator")) if name.startswith("lifeos ")}
    told = {re.sub(r"( [A-Z]+| --\S+)+$", "", name).removeprefix("lifeos ") for name in told}
    leaves = {name for name, verb in product.verbs().items() if not isinstance(verb, click.Group)}
    assert leaves <= told


def test_every_setting_is_in_the_readme() -> None:
    assert product.settings().keys() <= named(section(README_TEXT, "Settings"))


def test_the_readme_tells_each_setting_its_true_default() -> None:
    told = {name: row for row in rows(section(README_TEXT, "Settings")) for name in named(row[0])}
    for name, field in product.settings().items():
        if name not in told:
            continue
        default = told[name][2]
        assert (default == "required") == field.is_required(), name
        if field.default not in (PydanticUndefined, None, ""):
            shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert default == f"`{shown}`", name


def test_every_variable_is_named() -> None:
    told = set(product.VARIABLE.findall(" ".join(named(README_TEXT) | named(page("settings")))))
    assert product.variables() - {f"{name}_FILE" for name in product.settings()} <= told


def test_every_metric_is_in_operating_with_its_labels() -> None:
    table = {row[0].strip("`"): row for row in rows(section(page("operating"), "Metrics")) if len(row) == 4}
    assert {name: row[2] for name, row in table.items()} == {
        name: ", ".join(labels) for name, labels in product.metrics().items()
    }


def test_every_reason_is_in_operating() -> None:
    assert first_cells(section(page("operating"), "Reasons")) == REASONS.keys() | CAUSES.keys()


def test_every_log_message_and_field_is_in_operating() -> None:
    logs = section(page("operating"), "Logs")
    assert first_cells(logs) == product.log_messages()
    assert named(logs) >= FIELDS


def test_every_header_and_field_of_a_change_is_in_subscribe() -> None:
    assert first_cells(section(page("subscribe"), "Headers")) == aliases(Attributes)
    assert first_cells(section(page("subscribe"), "How a change was found")) == set(get_args(FoundBy))
    assert first_cells(section(page("subscribe"), "Value")) == aliases(Value)


def aliases(model: type[BaseModel]) -> set[str]:
    """The names of a model's fields on the wire."""
    return {str(field.serialization_alias or field.alias) for field in model.model_fields.values()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_and_word_of_an_item_is_in_subscribe(kind: Kind) -> None:
    (model,) = VALUES[kind].__pydantic_generic_metadata__["args"]
    told = of_kind(kind)
    fields = [row for row in rows(told) if row[0].startswith("`")]
    assert {name for row in fields for name in named(row[0])} == aliases(model)
    assert words(published.value(kind)["$defs"][model.__name__]) <= named(told)


def test_every_field_and_word_of_a_part_of_an_event_is_in_subscribe() -> None:
    told = {row[0]: named(row[1]) for row in rows(of_kind("calendar-event"))}
    parts = published.value("calendar-event")["$defs"]
    for name in parts.keys() - {"Event", "JsonValue"}:
        assert parts[name]["properties"].keys() <= told[name], name
        # How a rule is written is RFC 8984's to say.
        assert name in ("RecurrenceRule", "NDay") or words(parts[name]) <= told[name], name


def of_kind(kind: Kind) -> str:
    """What the page says of the items of a kind."""
    (heading,) = re.findall(rf"^## (.*\(`changes\.{kind}`\))$", page("subscribe"), re.MULTILINE)
    return section(page("subscribe"), heading)


def words(node: Any) -> set[str]:
    """The words of every vocabulary in a schema."""
    if not isinstance(node, dict):
        return set()
    return set(node.get(published.OPEN, ())).union(*map(words, node.values()))


def test_every_fault_of_the_simulator_is_in_its_page() -> None:
    assert set(get_args(ApiFaultKind)) <= first_cells(section(page("simulator"), "Faults"))


def test_subscribe_tells_how_far_back_a_full_read_looks() -> None:
    assert set(re.findall(r"(\d+) days", section(page("subscribe"), "Value"))) == {str(LOOK_BACK.days)}


def test_subscribe_tells_how_long_a_topic_keeps() -> None:
    (days,) = {topic.retention.days for topic in topics.every() if topic.name.startswith("changes.")}
    for where in ("The rules", "The first time"):
        assert set(re.findall(r"(\d+) days", section(page("subscribe"), where))) == {str(days)}


def test_the_fail_over_budget_is_that_of_the_code() -> None:
    budget = {row[0]: row[1] for row in rows(section(page("operating"), "Fail-over budget"))}
    publish, protocol = import_module("ingress.publish"), import_module("ingress.protocol")
    server = import_module("ingress.server")

    def bound(beginning: str) -> str:
        (found,) = [told for what, told in budget.items() if what.startswith(beginning)]
        return found

    assert bound("a request waits") == f"{publish.DEADLINE:g} s"
    limits = (protocol.HEAD_SECONDS, protocol.RECEIPT_SECONDS, protocol.IDLE_SECONDS, protocol.ANSWER_SECONDS)
    assert bound("a request's head") == ", ".join(f"{limit:g}" for limit in limits) + " s"
    assert bound("the ingress drains") == f"{server.DRAIN_SECONDS:g} s"
    assert bound("lease") == f"{lease.LEASE.total_seconds():g} s; {lease.RENEW_SECONDS:g} s"
    assert bound("consumer session") == f"{kafka.SESSION_TIMEOUT_MS / 1000:g} s; {kafka.ASSIGN_SECONDS:g} s"
    assert bound("statement") == (
        f"{postgres.STATEMENT_TIMEOUT_MS / 1000:g} s; {postgres.TRANSACTION_TIMEOUT_MS / 1000:g} s; 10 s"
    )
    assert bound("relay") == f"{relay.SEND_SECONDS:g} s; {relay.IDLE_SECONDS:g} s"
    assert bound("a call to Todoist") == f"{exchange.DEADLINE:g} s"
    assert bound("from the start of one run") == f"{cursors.SPACING.total_seconds():g} s"
    longest, wait = cursors.LONGEST_BACKOFF.total_seconds() / 60, exchange.MAX_WAIT.total_seconds() / 3600
    assert bound("back-off") == f"1 s, doubling, to {longest:g} min; {wait:g} h"
    assert bound("safety poll") == f"{todoist.SAFETY_POLL.total_seconds() / 3600:g} h ± 10 %"
    properties = (PROJECT / "deploy" / "local" / "server.properties").read_text("utf-8")
    told = bound("brokers").split(", ")
    for name, milliseconds in zip(("group.min.session", "broker.session"), told, strict=True):
        assert f"\n{name}.timeout.ms={milliseconds}\n" in properties


# What is named exists.


@each_page
def test_every_verb_and_option_that_a_page_names_exists(where: Path) -> None:
    verbs, options = product.verbs(), product.options()
    for snippet in code(text(where)):
        for words in re.findall(r"\blifeos((?: [a-z]+)+)", snippet):
            known = words.split()
            while known and " ".join(known) not in verbs:
                known.pop()
            command = verbs.get(" ".join(known))
            assert command is not None, f"lifeos{words}"
            left = words.split()[len(known) :]
            assert not (left and isinstance(command, click.Group)), f"lifeos{words}"
        if "lifeos" in snippet or snippet.startswith("--"):
            unknown = set(re.findall(r"(?<!\S)\[?(--[a-z-]+)", snippet)) - options
            assert not unknown


@each_page
def test_every_variable_that_a_page_names_exists(where: Path) -> None:
    exist = product.variables() | {f"{name}_FILE" for name in product.settings()}
    # An edit that a page proposes names what is not there yet.
    said = FENCE.sub(lambda block: "" if block[1] == "diff" else block[0], text(where))
    assert set(product.VARIABLE.findall(said)) <= exist


@each_page
def test_every_metric_that_a_page_names_exists(where: Path) -> None:
    assert set(re.findall(r"\blifeos_[a-z_]+", text(where))) <= product.metrics().keys()


@each_page
def test_every_topic_that_a_page_names_exists(where: Path) -> None:
    exist = {topic.name for topic in topics.every()}
    assert set(re.findall(r"\b(?:changes|webhooks)\.[a-z]+(?:-[a-z]+)*", text(where))) <= exist


@each_page
def test_every_file_that_a_page_names_exists(where: Path) -> None:
    for snippet in named(text(where)):
        for path in PATH.findall(snippet):
            assert (PROJECT / path).exists(), path


@each_page
def test_every_link_of_a_page_leads_somewhere(where: Path) -> None:
    for link in LINK.findall(text(where)):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (where.parent / path).resolve() if path else where
        assert target.is_relative_to(PROJECT), link
        assert target.exists(), link
        assert not fragment or fragment in anchors(text(target)), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = {(README.parent / link.partition("#")[0]).resolve() for link in LINK.findall(README_TEXT)}
    assert set(DOCS.glob("*.md")) <= linked


def test_architecture_names_what_is_in_the_files() -> None:
    for _, where, _ in rows(page("architecture")):
        module = None
        for name in re.findall(r"`([^`]+)`", where):
            if name.endswith(".py"):
                module = import_module(name.removesuffix(".py").replace("/", "."))
                continue
            found: object = module
            for part in name.split("."):
                assert hasattr(found, part), f"{where}: {name}"
                found = getattr(found, part)


@each_page
def test_no_inline_code_of_a_page_is_broken_over_two_lines(where: Path) -> None:
    """It would look right and be seen by no other test here."""
    assert [line for line in FENCE.sub("", text(where)).splitlines() if line.count("`") % 2] == []


@each_page
def test_no_page_names_a_place_on_the_machine_it_was_written_on(where: Path) -> None:
    assert not re.search(r"(?<![\w.:])/(?:work|root|home|tmp|Users)/", text(where))
