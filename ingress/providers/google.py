"""Google's notification channels, Calendar's and Drive's alike: developers.google.com/workspace/calendar/api/guides/push
and developers.google.com/workspace/drive/api/guides/push. All that is said stands in header fields; the body is empty.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from ingress.provider import Refused, Replies, Reply, Request, Spec, Verified
from schemas.delivery import UNKNOWN, Delivery, Via, minted_id
from schemas.identity import ChannelKeys, channel

TOKEN: Final = b"x-goog-channel-token"
CHANNEL_ID: Final = b"x-goog-channel-id"

MESSAGE: Final = "X-Goog-Message-Number"
RESOURCE_ID: Final = "X-Goog-Resource-ID"
STATE: Final = "X-Goog-Resource-State"
EXPIRATION: Final = "X-Goog-Channel-Expiration"

KEPT: Final = {
    name.lower().encode(): name
    for name in (
        "X-Goog-Channel-ID", MESSAGE, RESOURCE_ID, STATE, "X-Goog-Resource-URI", EXPIRATION, "X-Goog-Changed",
    )
}  # fmt: skip
"""The fields that a delivery keeps, as the guides spell them: all but the token, which is a secret of ours."""

Value = str | list[str] | None
"""What a field says: several texts where it came several times, so that none is taken for the one that is meant."""

SPEC: Final = Spec(
    provider="google",
    path="/webhooks/google/channel",
    headers=frozenset({TOKEN, *KEPT}),
    max_body_bytes=64 << 10,
    # Success is 200, 201, 202, 204 or 102; 500, 502, 503 and 504 come again, backed off; anything else is given up.
    replies=Replies(accepted=200, unavailable=503, refused=401, unknown_subject=200, too_large=413, malformed=400),
)

EVENTS: Final = frozenset(
    {
        "sync",
        "exists", "not_exists",
        "add", "remove", "update", "trash", "untrash",
        "change", "changed",
    }
)  # fmt: skip
"""Every resource state the guides name: of any channel, a calendar's, a file's, of Drive's changes (two spellings)."""

MAX_VALUES: Final = 4
MAX_VALUE_BYTES: Final = 2048
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{67}")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_PLAIN_ID: Final = re.compile(r"[!-~]{1,256}")
_MONTHS: Final = {
    "Jan": "01", "Feb": "02", "Mar": "03", "Apr": "04", "May": "05", "Jun": "06",
    "Jul": "07", "Aug": "08", "Sep": "09", "Oct": "10", "Nov": "11", "Dec": "12",
}  # fmt: skip
_HTTP_DATE: Final = re.compile(
    "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4})"
    " ((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]) GMT"
)
_NOBODY: Final = UUID(int=0)


def challenge(_: Request) -> Reply | None:
    """Google has no handshake: a channel's first push, `sync`, is a push like any other."""
    return None


def verify(request: Request, keys: ChannelKeys) -> Verified | Refused:
    """Nothing is signed: Google echoes the token that we gave the channel, and names the channel (DESIGN.md §4)."""
    tokens = request.headers.get(TOKEN, ())
    if not tokens:
        return Refused("token_missing")
    if len(tokens) > 1:
        return Refused("token_repeated")
    if not _TOKEN.fullmatch(tokens[0]):
        return Refused("token_malformed")
    named = channel(keys, "google", tokens[0])
    ids = request.headers.get(CHANNEL_ID, ())
    # Compared whatever the token is worth: how long it takes must not tell a token of ours from another.
    subscription_id = named.subscription_id if named is not None else _NOBODY
    fits = hmac.compare_digest(str(subscription_id).encode(), ids[0] if len(ids) == 1 else b"")
    if named is None:
        return Refused("token_wrong")
    return Verified(request, named) if fits else Refused("channel_mismatch")


def normalize(verified: Verified, received_at: datetime, entropy: bytes) -> Sequence[Delivery]:
    """One look: a push says that something changed, never what. Whatever its body is, it says nothing."""
    named = verified.channel
    assert named is not None, "verify names the channel of every request that it lets in"
    said = _said(verified.request.headers)
    return (
        Delivery(
            id=minted_id(received_at, entropy),
            provider="google",
            kind="look",
            account="",
            lane=named.lane,
            event=_event(said.get(STATE)),
            received_at=received_at.isoformat(timespec="microseconds"),
            raw=orjson.dumps(said),
            raw_is_json=True,
            via=Via(
                subscription_id=named.subscription_id,
                external_id=_id(said.get(RESOURCE_ID)),
                message=_number(said.get(MESSAGE)),
                expires_at=_moment(said.get(EXPIRATION)),
            ),
        ),
    )


def _said(headers: Mapping[bytes, Sequence[bytes]]) -> dict[str, Value]:
    """The kept fields by their names, within bounds. Bytes become characters one by one, so that any of them are text."""
    said: dict[str, Value] = {}
    for name, values in headers.items():
        if values and (kept := KEPT.get(name)) is not None:
            texts = [value[:MAX_VALUE_BYTES].decode("latin-1") for value in values[:MAX_VALUES]]
            said[kept] = texts if len(texts) > 1 else texts[0]
    return said


def _event(state: Value) -> str:
    return state if isinstance(state, str) and state in EVENTS else UNKNOWN


def _id(resource_id: Value) -> str | None:
    return resource_id if isinstance(resource_id, str) and _PLAIN_ID.fullmatch(resource_id) else None


def _number(message: Value) -> int | None:
    """A count that PostgreSQL's bigint holds."""
    if not isinstance(message, str) or not _NUMBER.fullmatch(message):
        return None
    number = int(message)
    return number if number < 1 << 63 else None


def _moment(http_date: Value) -> str | None:
    """An HTTP-date (RFC 9110 §5.6.7, in the one form that may be sent) in RFC 3339."""
    found = _HTTP_DATE.fullmatch(http_date) if isinstance(http_date, str) else None
    if found is None:
        return None
    day, month, year, clock = found.groups()
    moment = f"{year}-{_MONTHS.get(month)}-{day}T{clock}+00:00"
    try:
        datetime.fromisoformat(moment)
    except ValueError:  # a month or a day that no calendar has
        return None
    return moment
