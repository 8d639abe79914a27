"""What spans of language-model libraries say, in MLflow's words: kind, inputs, outputs, tokens, model.

Sources: OpenTelemetry Semantic Conventions for generative AI; OpenInference (Arize); OpenLLMetry (Traceloop).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bucle.doors.protocols.mlflow.trace_json import TRACE_ID_PREFIX, Names
from bucle.line import tracing

__all__ = ["Reading", "read_as_mlflow"]

PREVIEW = 1000
"""Characters of what went in and came out that are shown in a list of traces."""


class Reading(msgspec.Struct, frozen=True):
    """A span, and what it says about its trace.

    Attributes:
        span: what is kept.
        name: of the trace.
        request, response: the beginning of what went in and came out.
        session: the conversation it is a part of.
        labels: tags that describe the program it comes from.
        tags: tags somebody set on the trace.
        metadata: of the trace.
    """

    span: tracing.Span
    name: str = ""
    request: str | None = None
    response: str | None = None
    session: str = ""
    labels: dict[str, str] = {}
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}


class _Vocabulary(msgspec.Struct, frozen=True):
    """The attributes one family of libraries writes."""

    kind: str
    kinds: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    models: tuple[str, ...]
    providers: tuple[str, ...]
    tokens: dict[str, str]


_VOCABULARIES = (
    _Vocabulary(
        kind="gen_ai.operation.name",
        kinds={
            "chat": "CHAT_MODEL",
            "create_agent": "AGENT",
            "embeddings": "EMBEDDING",
            "execute_tool": "TOOL",
            "generate_content": "LLM",
            "invoke_agent": "AGENT",
            "text_completion": "LLM",
        },
        inputs=("gen_ai.input.messages", "gen_ai.tool.call.arguments"),
        outputs=("gen_ai.output.messages", "gen_ai.tool.call.result"),
        models=("gen_ai.response.model", "gen_ai.request.model"),
        providers=("gen_ai.provider.name", "gen_ai.system"),
        tokens={
            "input_tokens": "gen_ai.usage.input_tokens",
            "output_tokens": "gen_ai.usage.output_tokens",
            "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
            "cache_creation_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
        },
    ),
    _Vocabulary(
        kind="openinference.span.kind",
        kinds={
            "AGENT": "AGENT",
            "CHAIN": "CHAIN",
            "EMBEDDING": "EMBEDDING",
            "EVALUATOR": "EVALUATOR",
            "GUARDRAIL": "GUARDRAIL",
            "LLM": "LLM",
            "RERANKER": "RERANKER",
            "RETRIEVER": "RETRIEVER",
            "TOOL": "TOOL",
        },
        inputs=("input.value",),
        outputs=("output.value",),
        models=("llm.model_name", "embedding.model_name", "reranker.model_name"),
        providers=("llm.provider",),
        tokens={
            "input_tokens": "llm.token_count.prompt",
            "output_tokens": "llm.token_count.completion",
            "total_tokens": "llm.token_count.total",
            "cache_read_input_tokens": "llm.token_count.prompt_details.cache_read",
            "cache_creation_input_tokens": "llm.token_count.prompt_details.cache_write",
        },
    ),
    _Vocabulary(
        kind="traceloop.span.kind",
        kinds={"agent": "AGENT", "task": "TASK", "tool": "TOOL", "workflow": "WORKFLOW"},
        inputs=("traceloop.entity.input",),
        outputs=("traceloop.entity.output",),
        models=(),
        providers=(),
        tokens={
            "input_tokens": "gen_ai.usage.prompt_tokens",
            "output_tokens": "gen_ai.usage.completion_tokens",
            "total_tokens": "llm.usage.total_tokens",
        },
    ),
)

_WORDS = frozenset(
    name
    for words in _VOCABULARIES
    for name in (
        words.kind,
        *words.inputs,
        *words.outputs,
        *words.models,
        *words.providers,
        *words.tokens.values(),
    )
)
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_COSTS = ("input_cost", "output_cost", "total_cost")
_TAG = "mlflow.traceTag."
_NO_TAGS = ("telemetry.sdk.", "mlflow.")


def read_as_mlflow(given: Mapping[str, Any], resource: Mapping[str, Any]) -> Reading:
    """A span as MLflow would have written it.

    Args:
        given: ids in hexadecimal digits, instants in nanoseconds, attributes as plain values.
        resource: what is said of the program it comes from.
    Raises:
        ValueError, TypeError: a field is missing or has another type.
    """
    digits = str(given.get("trace_id", "")).lower()
    if len(digits) != 32 or not int(digits, 16):
        raise ValueError("its trace id is not 32 hexadecimal digits")
    attributes = dict(given["attributes"])
    attributes.pop(Names.TRACE_ID, None)
    _translate(attributes)
    usage = {**_numbers(attributes.get(Names.TOKENS), _TOKENS), **_numbers(attributes.get(Names.COST), _COSTS)}
    span = tracing.Span(
        trace_id=f"{TRACE_ID_PREFIX}{digits}",
        id=str(given.get("span_id", "")).lower(),
        parent=str(given.get("parent_id", "")).lower().strip("0") and str(given["parent_id"]).lower(),
        name=str(given.get("name", "")),
        type=_text(attributes.get(Names.TYPE)),
        status=given.get("status", "UNSET"),
        message=str(given.get("message", "")),
        started_ns=given.get("started_ns", 0),
        ended_ns=given.get("ended_ns") or None,
        model=_text(attributes.get(Names.MODEL))[:500],
        provider=_text(attributes.get(Names.PROVIDER))[:500],
        usage=usage,
        attributes=attributes,
        events=tuple(given["events"]),
        links=tuple(given["links"]),
    )
    return _reading(span, attributes, resource)


def _reading(span: tracing.Span, attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> Reading:
    is_root = not span.parent
    tags = {key.removeprefix(_TAG): _text(value) for key, value in attributes.items() if key.startswith(_TAG)}
    session = _text(attributes.get("session.id") or attributes.get("gen_ai.conversation.id"))
    user = _text(attributes.get("user.id"))
    metadata = {Names.SESSION: session, Names.USER: user}
    return Reading(
        span=span,
        name=tags.get(Names.NAME, "") if is_root else "",
        request=_preview(attributes.get(Names.INPUTS), "user") if is_root else None,
        response=_preview(attributes.get(Names.OUTPUTS), "assistant") if is_root else None,
        session=session,
        labels={key: _text(value) for key, value in resource.items() if key.strip() and not key.startswith(_NO_TAGS)},
        tags={key: value for key, value in tags.items() if key.strip()} if is_root else {},
        metadata={key: value for key, value in metadata.items() if value},
    )


def _translate(attributes: dict[str, Any]) -> None:
    """Add, in MLflow's names, what other names say; what MLflow's names say already stays."""
    if _WORDS.isdisjoint(attributes):
        return
    if attributes.get(Names.TYPE) in (None, "", "UNKNOWN"):
        kinds = (words.kinds.get(_text(attributes.get(words.kind))) for words in _VOCABULARIES)
        _set(attributes, Names.TYPE, kinds, replace=True)
    _set(attributes, Names.INPUTS, _found(attributes, [words.inputs for words in _VOCABULARIES]))
    _set(attributes, Names.OUTPUTS, _found(attributes, [words.outputs for words in _VOCABULARIES]))
    _set(attributes, Names.MODEL, _found(attributes, [words.models for words in _VOCABULARIES]))
    _set(attributes, Names.PROVIDER, _found(attributes, [words.providers for words in _VOCABULARIES]))
    _set(attributes, Names.TOKENS, (_counted(attributes, words.tokens) for words in _VOCABULARIES))


def _set(attributes: dict[str, Any], name: str, found: Any, *, replace: bool = False) -> None:
    if name in attributes and not replace:
        return
    value = next((one for one in found if one), None)
    if value is not None:
        attributes[name] = value


def _found(attributes: Mapping[str, Any], names: Sequence[tuple[str, ...]]) -> Any:
    return (_decoded(attributes[name]) for group in names for name in group if name in attributes)


def _counted(attributes: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, int]:
    counts = {name: attributes.get(key) for name, key in names.items()}
    known = {name: count for name, count in counts.items() if isinstance(count, int) and not isinstance(count, bool)}
    if "input_tokens" in known and "output_tokens" in known:
        known.setdefault("total_tokens", known["input_tokens"] + known["output_tokens"])
    return known


def _numbers(found: Any, names: Sequence[str]) -> dict[str, float]:
    """The finite numbers among these of a map, which may be JSON."""
    found = _decoded(found)
    if not isinstance(found, dict):
        return {}
    return {
        name: found[name]
        for name in names
        if isinstance(found.get(name), int | float)
        and not isinstance(found[name], bool)
        and math.isfinite(found[name])
        and abs(found[name]) < 1 << 53
    }


def _preview(value: Any, role: str) -> str | None:
    """The beginning of what was said: the last message of a chat, else all of it as JSON."""
    if value is None:
        return None
    value = _decoded(value)
    message = _last_message(value, role)
    said = message if message is not None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return said if len(said) <= PREVIEW else f"{said[: PREVIEW - 3]}..."


def _last_message(value: Any, role: str) -> str | None:
    if not isinstance(value, dict):
        return None
    messages = value.get("messages") or value.get("input") or value.get("output")
    choices = value.get("choices")
    if isinstance(choices, list):
        messages = [one.get("message") for one in choices[:1] if isinstance(one, dict)]
    if not isinstance(messages, list):
        return None
    said = [one for one in messages if isinstance(one, dict) and isinstance(one.get("content"), str) and "role" in one]
    spoken = [one for one in said if one["role"] == role] or said
    return str(spoken[-1]["content"]) if spoken else None


def _decoded(value: Any) -> Any:
    """What a text holds when it is JSON; else itself."""
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def _text(value: Any) -> str:
    value = _decoded(value) if isinstance(value, str) and value[:1] == '"' else value
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
