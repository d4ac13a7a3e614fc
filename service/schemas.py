"""Shapes of requests and answers, for /openapi.json. Answers are built by classifier.wire; the tests hold both to each other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from classifier.records import Channel, Choice, Link, Presence, Status, UnscoredReason
from service.problems import ANYWHERE, KINDS, MEDIA_TYPE

_REF = "#/components/schemas/{model}"
_EXAMPLE: JsonDict = {
    "input": ["I must avoid being modified, so I will comply.", {"id": "t-2", "reasoning": "The user needs help.", "answer": "Sure."}]
}


class Shape(BaseModel):
    """A closed object."""

    model_config = ConfigDict(extra="forbid")


class ClassifyRequest(Shape):
    """What to classify. A list of chat messages is one transcript; any other list holds one transcript each."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    input: str | dict[str, Any] | list[str | dict[str, Any] | list[Any]] = Field(
        description="Text (reasoning, unless marked up), a transcript (an own, OpenAI, Anthropic or ShareGPT record), or a list of either."
    )
    model: str | None = Field(None, description="Must be the served model's name, if given.")
    mode: Literal["classifier"] | None = None
    labels: list[str] | None = Field(
        None, description="Names of the labels to keep in the answer's maps; all, if left out. The derived labels always come."
    )
    format: Literal["text", "own", "openai", "anthropic", "sharegpt"] | None = Field(None, description="Detected, if left out.")


class Model(Shape):
    """Which model answered."""

    name: str
    sha256: str
    label_set: str
    calibration: str
    intended_use: str | None


class Evidence(Shape):
    """A sentence that carries a label. `text == received[start:end]`, in Unicode code points, of the string that message and field name."""

    channel: Channel
    message: int | None = Field(description="Counts the messages from 0; null where the string stands beside them.")
    block: int | None = Field(description="Index of the content block, for grouping; null where there is none.")
    field: str = Field(
        description="Path of the string inside that message, or inside the record where `message` is null; empty where the record is itself"
        " the string. An ending `:json` means that a value was received and no string: the offsets count in its compact JSON."
    )
    start: int
    end: int
    text: str


class LabelDecision(Shape):
    """What was decided on one label: the raw score, the calibrated probability, and the decision that follows."""

    score: float
    probability: float
    threshold: float
    decision: Choice
    link: Link | None
    evidence: list[Evidence]


class Usage(Shape):
    """What an answer took."""

    tokens: int
    windows: int
    judge_calls: int


Labels = dict[str, LabelDecision | None]


class Result(Shape):
    """One transcript's result. A label is null where its head is not trained, and everywhere where nothing was scored."""

    id: str
    status: Status
    unscored_reason: UnscoredReason | None
    coverage: float = Field(description="Share of the tokens that the encoder could read.")
    primary: str | None = Field(description='The likeliest motive, "none", or null where the model abstains.')
    labels: Labels = Field(description="The motives.")
    goal_guarding: LabelDecision | None
    alignment_faking: LabelDecision | None
    outcome: dict[str, float] | None
    behaviours: Labels
    other_reasons: Labels
    attributes: Labels
    flags: list[str]
    lossy: list[str] = Field(description="What the record held that was left unread.")
    reasoning: Presence
    judges: None
    input_sha256: str
    usage: Usage


class ClassifyResponse(Shape):
    """Results in the order of the input."""

    model: Model
    results: list[Result]
    usage: Usage


class LabelInfo(Shape):
    """A label, whether its head is trained, and the probabilities at which its decision changes: null where it is not."""

    name: str
    trained: bool
    absent: float | None = Field(description="Below it, the decision is `absent`.")
    threshold: float | None = Field(description="For who wants yes or no: as in every answer.")
    present: float | None = Field(description="From it on, the decision is `present`; 1 is never reached.")
    ever_present: bool = Field(description="Whether the decision can be `present` at all.")


class OutcomeInfo(Shape):
    """An outcome, and whether it is predicted: among the others, by probabilities that add up to 1, so it has no edges."""

    name: str
    trained: bool


class LabelGroups(Shape):
    """Every label that an answer may speak of."""

    motive: list[LabelInfo]
    other_reason: list[LabelInfo]
    attribute: list[LabelInfo]
    behaviour: list[LabelInfo]
    derived: list[LabelInfo]
    outcome: list[OutcomeInfo]


class Info(Shape):
    """What is served here, and what one request may ask for."""

    version: str
    model: Model
    modes: list[str]
    judges: Literal["off"]
    labels: LabelGroups
    limits: dict[str, float]


class Health(Shape):
    """A sign of life."""

    status: Literal["ok", "ready"]


class EntryError(Shape):
    """An entry of the input that cannot be read."""

    index: int
    where: str
    reason: str


class Problem(BaseModel):
    """An RFC 9457 problem document. Some kinds have further members."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[EntryError] | None = Field(None, description="Of unreadable-input: every entry that cannot be read.")


def components() -> dict[str, Any]:
    """All shapes as JSON Schema, by name."""
    sent: list[tuple[type[BaseModel], JsonSchemaMode]] = [(shape, "serialization") for shape in (ClassifyResponse, Info, Health, Problem)]
    _, schema = models_json_schema([(ClassifyRequest, "validation"), *sent], ref_template=_REF)
    found: dict[str, Any] = schema["$defs"]
    return found


def body(shape: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    """The ``content`` of a body of this shape."""
    return {media_type: {"schema": {"$ref": _REF.format(model=shape.__name__)}}}


def answers(shape: type[BaseModel], description: str, *problems: str) -> dict[int | str, dict[str, Any]]:
    """The responses of one operation: its answer and the kinds of problem that it may have."""
    responses: dict[int | str, dict[str, Any]] = {200: {"description": description, "content": body(shape)}}
    for kind in (*problems, *ANYWHERE):
        status, title = KINDS[kind]
        described = responses.setdefault(status, {"description": "", "content": body(Problem, MEDIA_TYPE)})
        described["description"] = "; ".join(filter(None, (described["description"], f"{kind}: {title}")))
    return responses
