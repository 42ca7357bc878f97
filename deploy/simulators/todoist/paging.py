"""Pages of lists: `limit` and `cursor`, as every list of API v1 takes them ("Pagination"). Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final

from deploy.simulators.todoist.account import Account, invalid

PAGE: Final = 50
LARGEST_PAGE: Final = 200


def limit(query: dict[str, str]) -> int:
    """How many a page holds. Raises `Refused`."""
    text = query.get("limit")
    if text is None:
        return PAGE
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LARGEST_PAGE:
        raise invalid("limit", f"Must be from 1 to {LARGEST_PAGE}")
    return int(text)


def seal(account: Account, listed: str, query: dict[str, str]) -> str:
    """What binds a cursor to the question it answers: the account, the list and every other parameter."""
    said = sorted((name, value) for name, value in query.items() if name != "cursor")
    return blake2b(repr((account.user_id, listed, said)).encode(), digest_size=6).hexdigest()


def cursor(last: str, sealed: str) -> str:
    """Where the page after `last` begins. Two words and a dot, as the documents promise."""
    return f"{sealed}.{urlsafe_b64encode(last.encode()).decode().rstrip('=')}"


def after(query: dict[str, str], sealed: str) -> str | None:
    """The last one of the page before; None when the first page is asked for. Raises `Refused` for another's cursor."""
    if not query.get("cursor"):
        return None
    given, _, last = query["cursor"].partition(".")
    if given != sealed:
        raise invalid("cursor")
    try:
        return urlsafe_b64decode(last + "=" * (-len(last) % 4)).decode()
    except ValueError:
        raise invalid("cursor") from None
