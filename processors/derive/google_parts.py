"""The parts of a Google event that are objects of their own: ways in, links, people, alerts. Pure.

Each is known by a key that does not depend on the order in which Google lists them.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Generic, Literal, TypeVar

from pydantic import JsonValue

from processors.derive.google_objects import (
    Attachment,
    Attendee,
    EntryPoint,
    Event,
    GoogleObject,
    Person,
    Reminder,
    canonical,
)
from schemas import item

PARTICIPATION: Final[Mapping[str, Literal["needs-action", "accepted", "declined", "tentative"]]] = {
    "needsAction": "needs-action",
    "accepted": "accepted",
    "declined": "declined",
    "tentative": "tentative",
}
ACTIONS: Final[Mapping[str, Literal["display", "email"]]] = {"popup": "display", "email": "email"}
FEATURES: Final[Mapping[str, Literal["video", "phone"]]] = {"video": "video", "phone": "phone"}

Role = Literal["owner", "attendee", "optional"]
Told = TypeVar("Told")
Part = TypeVar("Part", bound=GoogleObject)


@dataclass(frozen=True, slots=True)
class Parts(Generic[Told]):
    """The parts of an event by keys that do not depend on their order, and Google's words of those `left` untold."""

    told: dict[str, Told]
    left: list[JsonValue] | None


def _parts(parts: Sequence[Part], identity: Callable[[Part], str | None], tell: Callable[[Part], Told]) -> Parts[Told]:
    whole = [part for part in parts if identity(part)]
    left: list[JsonValue] = sorted((part.words() for part in parts if not identity(part)), key=canonical)
    keys = _keys(whole, lambda part: identity(part) or "")
    return Parts({key: tell(part) for key, part in zip(keys, whole, strict=True)}, left or None)


def _keys(parts: Sequence[Part], identity: Callable[[Part], str]) -> list[str]:
    """A part is known by its identity, and by all its words where it shares that with another."""
    times_named = Counter(map(identity, parts))
    return [
        _key(name if times_named[name] == 1 else canonical(part.words())) for part in parts for name in [identity(part)]
    ]


def _key(identity: str) -> str:
    return blake2b(identity.encode(), digest_size=8).hexdigest()


def unknown(word: str | None, known: Container[str]) -> str | None:
    """The word, where there is none of ours for it."""
    return None if word in known else word


# Ways in --------------------------------------------------------------------------------------------------------------


def meetings(event: Event) -> Parts[item.VirtualLocation]:
    """The ways into the conference. `hangoutLink` repeats one of them, or is the only one."""
    points = (event.conference_data and event.conference_data.entry_points) or []
    found = _parts(points, lambda point: point.uri, _meeting)
    if event.hangout_link and event.hangout_link not in {point.uri for point in points}:
        found.told["hangout"] = item.VirtualLocation(uri=event.hangout_link, features={"video": True})
    return found


def _meeting(point: EntryPoint) -> item.VirtualLocation:
    feature = FEATURES.get(point.entry_point_type or "")
    return item.VirtualLocation(
        name=point.label,
        uri=point.uri or "",
        features={feature: True} if feature else None,
        google_more=point.more(entryPointType=unknown(point.entry_point_type, FEATURES)),
    )


# Links ----------------------------------------------------------------------------------------------------------------


def links(event: Event) -> dict[str, item.Link]:
    """Google's own page of the event, and what it was made from."""
    found = {"page": item.Link(href=event.html_link, rel="alternate")} if event.html_link else {}
    if (source := event.source) and source.url:
        found["source"] = item.Link(href=source.url, rel="via", title=source.title, google_more=source.more())
    return found


def attachments(event: Event) -> Parts[item.Link]:
    """What is attached. One without an address is no link."""
    return _parts(event.attachments or [], lambda one: one.file_url, _attachment)


def _attachment(one: Attachment) -> item.Link:
    return item.Link(
        href=one.file_url or "", rel="enclosure", content_type=one.mime_type, title=one.title, google_more=one.more()
    )


# People ---------------------------------------------------------------------------------------------------------------


def participants(event: Event) -> dict[str, item.Participant]:
    """Who is invited, and who organises: one participant where it is the same person."""
    attendees, organizer = event.attendees or [], event.organizer
    invited = dict(zip(_keys(attendees, _identity), attendees, strict=True))
    own = min((key for key, one in invited.items() if organizer and _same(one, organizer)), default=None)
    people = {key: _invited(one, organizer if key == own else None) for key, one in invited.items()}
    if organizer and own is None:
        people[_key(organizer.identity)] = _organizer(organizer)
    return people


def _identity(person: Person) -> str:
    return person.identity or canonical(person.words())


def _same(one: Attendee, organizer: Person) -> bool:
    return one.organizer or (one.identity == organizer.identity != "")


def _invited(one: Attendee, organizer: Person | None) -> item.Participant:
    """`organizer` is who this is, too: what is said of him there and not here is kept."""
    owner = one.organizer or organizer is not None
    words = one.words() if organizer and one.identity == organizer.identity else {}
    other = {name: value for name, value in organizer.words().items() if words.get(name) != value} if organizer else {}
    roles: dict[Role, Literal[True]] = {"attendee": True}
    if owner:
        roles["owner"] = True
    if one.optional:
        roles["optional"] = True
    return item.Participant(
        name=one.display_name,
        email=one.email,
        send_to=_imip(one.email),
        kind="resource" if one.resource else None,
        roles=roles,
        participation_status=PARTICIPATION.get(one.response_status or ""),
        participation_comment=one.comment,
        expect_reply=True if one.response_status == "needsAction" and not owner else None,
        google_more=one.more(
            id=one.id, responseStatus=unknown(one.response_status, PARTICIPATION), organizer=other or None
        ),
    )


def _organizer(one: Person) -> item.Participant:
    return item.Participant(
        name=one.display_name,
        email=one.email,
        send_to=_imip(one.email),
        roles={"owner": True},
        google_more=one.more(id=one.id),
    )


def reply_to(event: Event) -> dict[Literal["imip"], str] | None:
    """RFC 8984 §4.4.4: only where somebody is invited is there anybody to answer."""
    return _imip(event.organizer.email) if event.organizer and event.attendees else None


def _imip(email: str | None) -> dict[Literal["imip"], str] | None:
    return {"imip": f"mailto:{email}"} if email else None


# Alerts ---------------------------------------------------------------------------------------------------------------


def alerts(event: Event) -> Parts[item.Alert]:
    """The reminders that the event has instead of its calendar's. One that does not say when is none."""
    return _parts((event.reminders and event.reminders.overrides) or [], _reminded, _alert)


def _reminded(one: Reminder) -> str | None:
    return None if one.minutes is None else f"{one.method} {one.minutes}"


def _alert(one: Reminder) -> item.Alert:
    offset = f"-PT{one.minutes}M" if one.minutes else "PT0S"
    action = ACTIONS.get(one.method or "", "display")
    more = one.more(method=unknown(one.method, ACTIONS))
    return item.Alert(trigger=item.OffsetTrigger(offset=offset), action=action, google_more=more)
