"""What a provider at the door is: the few names each of them exposes, and the shapes that pass between it and the door."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

import schemas.providers
from schemas.delivery import Delivery
from schemas.identity import Channel

Path = Literal["/webhooks/google/channel", "/webhooks/todoist"]
"""Every webhook route: a provider may have several, each with keys of its own. A closed set, the label of a metric."""

Reason = Literal[
    "method",
    "encoded",
    "too_large",
    "incomplete",
    "signature_missing",
    "signature_repeated",
    "signature_malformed",
    "signature_wrong",
    "token_missing",
    "token_repeated",
    "token_malformed",
    "token_wrong",
    "channel_mismatch",
]
"""Why a request was refused. A closed set: it is the label of a metric that anybody on the internet can count up."""

REASONS: Final[Mapping[Reason, str]] = {
    "method": "Not a POST: a browser, a scanner or a health check is looking at a webhook address.",
    "encoded": "The body is compressed; no provider of ours does that, and nothing is unpacked before it is verified.",
    "too_large": "The body is larger than this provider ever sends.",
    "incomplete": "The sender hung up before its body was complete.",
    "signature_missing": "No signature: not sent by the provider, or a proxy removes its header.",
    "signature_repeated": "More than one signature: somebody tries which of them is looked at.",
    "signature_malformed": "The signature is not written as this provider writes it: forged, cut off or re-encoded.",
    "signature_wrong": "The signature fits none of our secrets: forged, changed on the way, or our secret is outdated.",
    "token_missing": "No channel token: not sent by the provider, or a proxy removes its header.",
    "token_repeated": "More than one channel token: somebody tries which of them is looked at.",
    "token_malformed": "The channel token is not written as we write it: not from a channel of ours, or cut off.",
    "token_wrong": "No key of ours made the channel token: forged, changed on the way, or its key was taken out.",
    "channel_mismatch": "The channel token is ours, but of another channel than the one that the request names.",
}
"""What each reason means to an operator."""


class Request(NamedTuple):
    """One complete request: the values of the fields that `Spec.headers` names, and the body's exact bytes.

    Other fields never get past the door, so that nothing can log or store them.
    """

    headers: Mapping[bytes, Sequence[bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """An authentic request. Only a provider's `verify` makes one, and `normalize` takes nothing else.

    `channel` is what its channel token names, where that is what showed it to be authentic.
    """

    request: Request
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is not shown to be authentic."""

    reason: Reason


Verify = Callable[[Request], Verified | Refused]
"""A provider's `verify` with its keys: nothing that handles requests holds a key."""


class Reply(NamedTuple):
    """An answer that a provider's handshake asks for."""

    status: int
    body: bytes
    content_type: bytes


@dataclass(frozen=True, slots=True)
class Replies:
    """The statuses this provider has to see, so that it retries when and only when it should."""

    accepted: int
    unavailable: int
    refused: int
    unknown_subject: int
    too_large: int
    malformed: int


@dataclass(frozen=True, slots=True)
class Spec:
    """What the door has to know of a route before it asks its provider anything.

    `provider` names the topic and the metrics of what comes in, `path` the way it came.
    """

    provider: schemas.providers.Provider
    path: Path
    headers: frozenset[bytes]
    max_body_bytes: int
    replies: Replies


Keys = TypeVar("Keys", contravariant=True)


class Provider(Protocol[Keys]):
    """Pure functions: no I/O, no clock, no environment. A module is one.

    `Keys` is what its requests are verified with. Who has a `Provider[Never]` has any provider, and cannot verify.
    """

    @property
    def SPEC(self) -> Spec: ...  # noqa: N802 - the constant of a module

    def challenge(self, request: Request) -> Reply | None:
        """The answer to a handshake, None for an ordinary delivery."""

    def verify(self, request: Request, keys: Keys) -> Verified | Refused:
        """Whether the provider sent exactly this. Tries every key that may fit; takes as long whichever does."""

    def normalize(self, verified: Verified, received_at: datetime, entropy: bytes) -> Sequence[Delivery]:
        """One delivery per item. Total: an authentic request is never refused for what it says.

        `entropy` is 10 random bytes, for the id of a delivery that has none.
        """
