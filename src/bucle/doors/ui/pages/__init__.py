"""Every page, in the order of the menu. A page is a function that reads a record, and a template that shows it."""

from collections.abc import Callable

from bucle.doors.ui.pages.audit import audit
from bucle.doors.ui.pages.compare import compare
from bucle.doors.ui.pages.curves import curves, sparks
from bucle.doors.ui.pages.data import data_page, table
from bucle.doors.ui.pages.deployments import deployments, rollout
from bucle.doors.ui.pages.doctor import doctor
from bucle.doors.ui.pages.features import features_page
from bucle.doors.ui.pages.gates import verdict, verdicts
from bucle.doors.ui.pages.history import diff_page, review_page, reviews_page
from bucle.doors.ui.pages.home import line
from bucle.doors.ui.pages.lineage import lineage
from bucle.doors.ui.pages.loop import cycle, loop, loops
from bucle.doors.ui.pages.metric import metric
from bucle.doors.ui.pages.models import model, models
from bucle.doors.ui.pages.monitor import monitor, monitors
from bucle.doors.ui.pages.passport import passport
from bucle.doors.ui.pages.pipelines import execution, executions
from bucle.doors.ui.pages.predictions import prediction, predictions
from bucle.doors.ui.pages.run import run
from bucle.doors.ui.pages.runs import names, runs
from bucle.doors.ui.view import View
from bucle.ground.core import Record

__all__ = ["LOADED", "VIEWS"]

VIEWS: tuple[View, ...] = (
    View("/", line, "home.html", "", "live"),
    View("/data", data_page, "data.html", "Data", "changes"),
    View("/data/{table}", table, "table.html", "Data", "sample"),
    View("/diff", diff_page, "diff.html", "Data", "tables"),
    View("/reviews", reviews_page, "reviews.html", "Data", "reviews"),
    View("/reviews/{number}", review_page, "review.html", "Data", "tables"),
    View("/features", features_page, "features.html", "Features", "views"),
    View("/pipelines", executions, "executions.html", "Pipelines", "executions"),
    View("/pipelines/{execution:path}", execution, "execution.html", "Pipelines", "bars"),
    View("/runs", runs, "runs.html", "Runs", "runs"),
    View("/runs/{run}", run, "run.html", "Runs", "metrics"),
    View("/runs/{run}/metric", metric, "metric.html", "Runs"),
    View("/compare", compare, "compare.html", "Runs", "rows"),
    View("/models", models, "models.html", "Models", "models"),
    View("/models/{model}", model, "model.html", "Models", "versions"),
    View("/models/{model}/{version}", passport, "passport.html", "Models"),
    View("/gates", verdicts, "verdicts.html", "Gates", "verdicts"),
    View("/gates/{verdict}", verdict, "verdict.html", "Gates", "slices"),
    View("/deployments", deployments, "deployments.html", "Deployments", "rollouts"),
    View("/deployments/{rollout:path}", rollout, "rollout.html", "Deployments", "looks"),
    View("/monitor", monitors, "monitors.html", "Monitor", "signals"),
    View("/monitor/{model}", monitor, "monitor.html", "Monitor", "looks"),
    View("/predictions", predictions, "predictions.html", "Monitor", "answers"),
    View("/predictions/{id:path}", prediction, "prediction.html", "Monitor", "others"),
    View("/loop", loops, "loops.html", "Loop", "loops"),
    View("/loop/{model}", loop, "loop.html", "Loop", "steps"),
    View("/loop/{model}/{number}", cycle, "cycle.html", "Loop", "steps"),
    View("/lineage", lineage, "lineage.html", "", "edges"),
    View("/audit", audit, "audit.html", "Audit", "events"),
    View("/doctor", doctor, "doctor.html", "", "findings"),
)
"""Every page."""

LOADED: tuple[tuple[str, Callable[..., Record]], ...] = (
    ("/curves.json", curves),
    ("/runs/sparks.json", sparks),
    ("/runs/names.json", names),
)
"""What scripts of the pages load by themselves."""
