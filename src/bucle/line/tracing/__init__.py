"""Traces: what an application did to answer, span by span, and what was said about it."""

from bucle.line.tracing.assessment import (
    Assessment,
    AssessmentError,
    assessment,
    delete_assessment,
    log_assessment,
    log_assessments,
    update_assessment,
)
from bucle.line.tracing.errors import BadAssessment, BadTrace, NoSuchAssessment, NoSuchTrace, TraceIncomplete
from bucle.line.tracing.figure import MOST_FIGURES, Aggregation, TraceFigure, trace_figures
from bucle.line.tracing.log import log_spans, log_trace, write_spans, write_trace
from bucle.line.tracing.search import Correlation, correlation, count_traces, search_traces
from bucle.line.tracing.span import Span, SpanEvent, SpanLink, SpanStatus, check_span, storable
from bucle.line.tracing.trace import (
    Trace,
    TraceState,
    change_trace,
    delete_trace_tag,
    delete_traces,
    link_prompts,
    link_traces,
    span_pages,
    trace,
    traces_by_ids,
)

__all__ = [
    "MOST_FIGURES",
    "Aggregation",
    "Assessment",
    "AssessmentError",
    "BadAssessment",
    "BadTrace",
    "Correlation",
    "NoSuchAssessment",
    "NoSuchTrace",
    "Span",
    "SpanEvent",
    "SpanLink",
    "SpanStatus",
    "Trace",
    "TraceFigure",
    "TraceIncomplete",
    "TraceState",
    "assessment",
    "change_trace",
    "check_span",
    "correlation",
    "count_traces",
    "delete_assessment",
    "delete_trace_tag",
    "delete_traces",
    "link_prompts",
    "link_traces",
    "log_assessment",
    "log_assessments",
    "log_spans",
    "log_trace",
    "search_traces",
    "span_pages",
    "storable",
    "trace",
    "trace_figures",
    "traces_by_ids",
    "update_assessment",
    "write_spans",
    "write_trace",
]
