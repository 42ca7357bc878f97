"""Google's refusals, with the words of its documents (developers.google.com/workspace/calendar/api/guides/errors)."""

from dataclasses import dataclass
from typing import Any

from deploy.simulators.refusal import Refusal


@dataclass
class Refused(Refusal):
    """`location` names the parameter or header (`location_type`) that is wrong; empty for none."""

    http_code: int
    reason: str
    message: str
    domain: str = "global"
    location: str = ""
    location_type: str = "parameter"
    retry_after: int | None = None

    def body(self) -> dict[str, Any]:
        error = {"domain": self.domain, "reason": self.reason, "message": self.message}
        if self.location:
            error |= {"locationType": self.location_type, "location": self.location}
        return {"error": {"code": self.http_code, "message": self.message, "errors": [error]}}

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def invalid(parameter: str, message: str = "Invalid Value") -> Refused:
    return Refused(400, "invalid", message, location=parameter)


def bad_request(message: str) -> Refused:
    return Refused(400, "badRequest", message)


def required(message: str) -> Refused:
    return Refused(400, "required", message)


def not_found() -> Refused:
    return Refused(404, "notFound", "Not Found")


def deleted() -> Refused:
    return Refused(410, "deleted", "Resource has been deleted")


def duplicate() -> Refused:
    return Refused(409, "duplicate", "The requested identifier already exists.")


def changed() -> Refused:
    return Refused(412, "conditionNotMet", "Precondition Failed", location="If-Match", location_type="header")


def unauthorized() -> Refused:
    return Refused(401, "authError", "Invalid Credentials", location="Authorization", location_type="header")


def forbidden(role: str) -> Refused:
    return Refused(403, "requiredAccessLevel", f"You need to have {role} access to this calendar.", domain="calendar")


def sync_token_expired() -> Refused:
    message = "Sync token is no longer valid, a full sync is required."
    return Refused(410, "fullSyncRequired", message, domain="calendar", location="syncToken")
