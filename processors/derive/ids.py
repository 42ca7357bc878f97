"""Whose items they are, and so what their ids are."""

from dataclasses import dataclass
from uuid import UUID

from schemas.identity import item_id
from schemas.providers import Kind, Provider


@dataclass(frozen=True, slots=True)
class Ids:
    """The item ids of one external account in one tenant."""

    tenant_id: UUID
    provider: Provider
    account: str

    def item(self, kind: Kind, external_id: str) -> UUID:
        return item_id(self.tenant_id, self.provider, self.account, kind, external_id)
