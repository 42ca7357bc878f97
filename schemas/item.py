"""What an item is to LifeOS: the published vocabularies, and the subset of them that is used.

Tasks are JSCalendar Task objects (RFC 8984); what JSCalendar cannot hold stays under a vendor property (RFC 8984 §3.3)
such as `todoist.com:project`. A collection (project, section, label) and the state of synchronisation are our own.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

LocalDateTime = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$")]
"""RFC 8984 §1.4.5: a date and time without an offset; `time_zone` says where."""
UTCDateTime = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
"""RFC 8984 §1.4.4: ends in Z."""


class _Item(BaseModel):
    # A name outside camelCase is given as both aliases, not as `alias`: so type checkers know the argument by its field.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def snapshot(self) -> dict[str, object]:
        """The item as published: JSON-ready, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Relation(_Item):
    """RFC 8984 §1.4.10: how another object relates to this one."""

    type: Literal["Relation"] = Field(default="Relation", validation_alias="@type", serialization_alias="@type")
    relation: dict[Literal["parent"], Literal[True]]


class Task(_Item):
    """RFC 8984 §5.2. `uid` is the LifeOS item id."""

    type: Literal["Task"] = Field(default="Task", validation_alias="@type", serialization_alias="@type")
    uid: str
    title: str
    description: str | None = None
    created: UTCDateTime | None = None
    updated: UTCDateTime | None = None
    due: LocalDateTime | None = None
    time_zone: str | None = None
    show_without_time: bool | None = None
    estimated_duration: str | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = 0
    progress: Literal["needs-action", "completed"] = "needs-action"
    progress_updated: UTCDateTime | None = None
    keywords: dict[str, Literal[True]] | None = None
    related_to: dict[str, Relation] | None = None
    todoist_project: str | None = Field(
        default=None, validation_alias="todoist.com:project", serialization_alias="todoist.com:project"
    )
    todoist_section: str | None = Field(
        default=None, validation_alias="todoist.com:section", serialization_alias="todoist.com:section"
    )
    todoist_order: int | None = Field(
        default=None, validation_alias="todoist.com:order", serialization_alias="todoist.com:order"
    )
    todoist_deadline: str | None = Field(
        default=None, validation_alias="todoist.com:deadline", serialization_alias="todoist.com:deadline"
    )
    todoist_recurrence: str | None = Field(
        default=None, validation_alias="todoist.com:recurrence", serialization_alias="todoist.com:recurrence"
    )
    todoist_responsible: str | None = Field(
        default=None, validation_alias="todoist.com:responsible", serialization_alias="todoist.com:responsible"
    )


class Collection(_Item):
    """Something that holds items: a project, a section of one, or a label. References are LifeOS item ids."""

    type: Literal["Collection"] = Field(default="Collection", validation_alias="@type", serialization_alias="@type")
    uid: str
    role: Literal["project", "section", "label"]
    name: str
    color: str | None = None
    parent: str | None = None
    order: int | None = None
    archived: bool | None = None
    favorite: bool | None = None


class Sync(_Item):
    """How the synchronisation of one resource stands, after a run that changed something or ended in another way."""

    type: Literal["Sync"] = Field(default="Sync", validation_alias="@type", serialization_alias="@type")
    uid: str
    resource: str
    run: str
    status: Literal["ok", "retrying", "needs_reauthorization"]
    found_by: str
    full: bool
    created: int
    updated: int
    deleted: int
    rejected: int
    detail: str | None = None
