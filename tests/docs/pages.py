"""The documentation as a test reads it: pages, their code, tables and links."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from deploy.local.environment import PROJECT

README = PROJECT / "README.md"
DOCS = PROJECT / "deploy" / "docs"
PAGES = (README, *sorted(DOCS.glob("*.md")), *sorted((PROJECT / "deploy" / "decisions").glob("*.md")))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@cache
def text(page: Path) -> str:
    return page.read_text("utf-8")


def page(name: str) -> str:
    """The text of a page of deploy/docs."""
    return text(DOCS / f"{name}.md")


def named(where: str) -> set[str]:
    """What stands between backticks in a text."""
    return set(SPAN.findall(FENCE.sub("", where)))


def code(where: str) -> Iterator[str]:
    """What a reader would type or meet in the product: inline code and code blocks."""
    yield from (block for _, block in FENCE.findall(where))
    yield from SPAN.findall(FENCE.sub("", where))


def blocks(where: str, language: str) -> list[str]:
    return [block for named_language, block in FENCE.findall(where) if named_language == language]


def section(where: str, heading: str) -> str:
    """The part of a page below a heading, to the next one of the same rank or a higher one."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", where, re.MULTILINE)
    assert found, f"there is no heading {heading!r}"
    rank = len(found[1])
    rest = where[found.end() :]
    end = re.search(rf"^#{{1,{rank}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(where: str) -> list[list[str]]:
    """The cells of every row of the tables in a text, without their heads."""
    lines = where.splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for number, line in enumerate(lines)
        if line.startswith("|") and not line.startswith("|--") and not _is_head(lines, number)
    ]


def _is_head(lines: list[str], number: int) -> bool:
    return number + 1 < len(lines) and lines[number + 1].startswith("|--")


def anchors(where: str) -> set[str]:
    """The fragments that a page's headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", where), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
