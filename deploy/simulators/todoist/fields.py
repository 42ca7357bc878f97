"""What a client may write into each kind of entity, checked. Unknown fields are ignored, as the provider does."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.simulators.todoist.account import Entity, invalid, missing


class _Fields(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Deadline(_Fields):
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    lang: str = "en"


class Duration(_Fields):
    amount: Annotated[int, Field(ge=1)]
    unit: Literal["minute", "day"]


class ItemFields(_Fields):
    content: Annotated[str, Field(min_length=1, max_length=500)] = ""
    description: Annotated[str, Field(max_length=16383)] = ""
    priority: Annotated[int, Field(ge=1, le=4)] = 1
    labels: list[Annotated[str, Field(min_length=1, max_length=60)]] = []
    due: dict[str, Any] | None = None
    deadline: Deadline | None = None
    duration: Duration | None = None
    responsible_uid: str | None = None
    child_order: int = 0
    day_order: int = -1
    is_collapsed: bool = False


class ProjectFields(_Fields):
    name: Annotated[str, Field(min_length=1, max_length=120)] = ""
    description: Annotated[str, Field(max_length=16383)] = ""
    color: str = "charcoal"
    is_favorite: bool = False
    is_collapsed: bool = False
    view_style: Literal["list", "board", "calendar"] = "list"
    child_order: int = 0


class SectionFields(_Fields):
    name: Annotated[str, Field(min_length=1, max_length=2048)] = ""
    section_order: int = 0
    is_collapsed: bool = False


class LabelFields(_Fields):
    name: Annotated[str, Field(min_length=1, max_length=60)] = ""
    color: str = "charcoal"
    item_order: int = 0
    is_favorite: bool = False


F = TypeVar("F", bound=_Fields)


def written(model: type[F], args: Entity, *required: str) -> Entity:
    """The fields of `model` that `args` really sets. Raises `Refused` for a missing or impossible one."""
    for name in required:
        if args.get(name) is None:
            raise missing(name)
    try:
        return model.model_validate(args).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise invalid(str(first["loc"][0]), first["msg"]) from None
