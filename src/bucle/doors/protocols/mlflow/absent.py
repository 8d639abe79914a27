"""What MLflow's server offers and this door does not, each with the reason; a client that asks gets NOT_IMPLEMENTED."""

from __future__ import annotations

import msgspec

__all__ = ["ABSENT", "Absent"]


class Absent(msgspec.Struct, frozen=True):
    """A family of addresses that is not offered.

    Attributes:
        under: where they begin, without `/api/…/mlflow/`; or a whole address.
        what: what MLflow calls it.
        why: the reason, for people.
    """

    under: str
    what: str
    why: str


ABSENT = (
    Absent(
        "gateway",
        "AI gateway: endpoints, secrets, budgets, guardrails",
        "Bucle keeps no keys of language-model providers and calls none of them.",
    ),
    Absent(
        "issues", "Issues found in traces", "They are found by a language model that the server would have to call."
    ),
    Absent("label-schemas", "Label schemas", "They belong to MLflow's own review pages, which Bucle does not serve."),
    Absent("review-queues", "Review queues", "They belong to MLflow's own review pages, which Bucle does not serve."),
    Absent(
        "prompt-optimization",
        "Prompt optimization jobs",
        "The server would have to run them with a model's key; run "
        "`mlflow.genai.optimize_prompts` where your code runs.",
    ),
    Absent("mcp-servers", "Registry of MCP servers", "It holds no model, run or trace."),
    Absent("workspaces", "Workspaces", "A Bucle project is a folder with its own database; start one server for each."),
    Absent("scorer/invoke", "Scoring traces on the server", "The server runs no code of clients and calls no model."),
    Absent(
        "scorers/online-config",
        "Scoring live traces on the server",
        "The server runs no code of clients and calls no model; score where your code runs, with "
        "`mlflow.genai.evaluate`.",
    ),
    Absent("genai", "Evaluating on the server", "The server runs no code of clients; use `mlflow.genai.evaluate`."),
    Absent("jobs", "Jobs of MLflow's server", "Work is done by Bucle's pipelines and its loop."),
    Absent("/api/3.0/jobs", "Jobs of MLflow's server", "Work is done by Bucle's pipelines and its loop."),
    Absent("demo", "MLflow's demo data", "`bucle demo` plays Bucle's own."),
    Absent("assistant", "MLflow's assistant", "It belongs to MLflow's own pages, which Bucle does not serve."),
    Absent("runs/create-promptlab-run", "Runs of the prompt lab", "It belongs to MLflow's own pages."),
    Absent("gateway-proxy", "Calls through the AI gateway", "Bucle calls no language model."),
    Absent("unified-traces", "Unified traces", "Only Databricks answers it; MLflow's own server does not either."),
    Absent("get-online-trace-details", "Online trace details", "Only Databricks answers it."),
    Absent(
        "users", "Users, passwords and permissions", "Who may do what is Bucle's governance, not yet behind this door."
    ),
    Absent("roles", "Roles", "Who may do what is Bucle's governance, not yet behind this door."),
    Absent("experiments/permissions", "Permissions on experiments", "As for users."),
    Absent("registered-models/permissions", "Permissions on models", "As for users."),
    Absent("ui-telemetry", "Telemetry of MLflow's pages", "Bucle sends nothing about its users to anybody."),
    Absent("/graphql", "GraphQL of MLflow's pages", "Bucle serves its own pages."),
)
