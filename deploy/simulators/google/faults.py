"""The ways in which calls of Google's API fail on request."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from deploy.simulators.faults import AllFaults, CallFault, PushFaults

__all__ = ["ApiFault", "ApiFaultKind", "Faults", "PushFaults"]

CALENDARS = "/calendar/v3/"

ApiFaultKind = Literal[
    "rate_limited",  # `status` 429 (default) or 403 with `reason`; Retry-After where `retry_after` is given
    "server_error",  # `status`, 503 by default
    "slow",  # the answer begins after `seconds`
    "trickle",  # the body takes `seconds`
    "broken_json",  # 200 with half a body
    "truncated",  # half a body, then the connection is closed
    "no_sync_token",  # the last page comes without nextSyncToken
    "invalid_sync_token",  # every syncToken has expired: 410
    "invalid_page_token",  # every pageToken has expired: `status` 410 (default) or 400
    "empty_page",  # a page without items that has a next one
    "malformed_item",  # the first item of a page is not what the documents promise
    "not_found",  # 404, as for a calendar that has just gone
    "revoked",  # 401
    "no_scope",  # 403 insufficientPermissions
]


class ApiFault(CallFault):
    narrow: ClassVar[dict[str, str]] = {}

    kind: ApiFaultKind
    path: str = CALENDARS
    reason: Literal["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"] = "rateLimitExceeded"
    retry_after: Annotated[int, Field(ge=0)] | None = None
    """Seconds; None sends no such header."""

    @model_validator(mode="after")
    def _status_fits(self) -> "ApiFault":
        allowed = {"rate_limited": (403, 429), "invalid_page_token": (400, 410)}.get(self.kind)
        if allowed is not None and self.status not in (None, *allowed):
            raise ValueError(f"{self.kind} is answered with {allowed[0]} or {allowed[1]}")
        return self


class Faults(AllFaults[ApiFault]):
    """Everything that is switched on."""
