"""The ways in which calls of Todoist's API fail on request."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from deploy.simulators.faults import AllFaults, CallFault, PushFaults

__all__ = ["ApiFault", "ApiFaultKind", "Faults", "PushFaults", "malformed"]

ApiFaultKind = Literal[
    "rate_limited",  # 429 with error_extra.retry_after
    "server_error",  # `status`, 503 by default
    "slow",  # the answer begins after `seconds`
    "trickle",  # the body takes `seconds`
    "broken_json",  # 200 with half a body
    "no_sync_token",  # /sync answers without its sync_token
    "invalid_sync_token",  # /sync refuses every token but *
    "full_sync",  # /sync answers in full whatever the token
    "invalid_cursor",  # a list of tasks refuses every page but the first
    "malformed_item",  # the first item of a page is not what the documents promise
    "revoked",  # `status`, 401 by default
]


class ApiFault(CallFault):
    narrow: ClassVar[dict[str, str]] = {
        "no_sync_token": "/api/v1/sync",
        "invalid_sync_token": "/api/v1/sync",
        "full_sync": "/api/v1/sync",
        "invalid_cursor": "/api/v1/tasks",
    }

    kind: ApiFaultKind
    path: str = "/api/v1/"
    retry_after: Annotated[int, Field(ge=0)] = 1

    @model_validator(mode="after")
    def _status_fits(self) -> "ApiFault":
        if self.kind == "revoked" and self.status not in (None, 401, 403):
            raise ValueError("a revoked token is answered with 401 or 403")
        return self


class Faults(AllFaults[ApiFault]):
    """Everything that is switched on."""


def malformed(item: dict[str, Any] | None) -> dict[str, Any]:
    """An item no document promises: `item` without its content and with a number for its project, or a bare one."""
    broken = {name: value for name, value in (item or {"id": "6malformed"}).items() if name != "content"}
    return broken | {"project_id": 17, "labels": "none"}
