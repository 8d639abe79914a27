"""Moving in and out: readers of other trackers' databases and folders, and a writer of MLflow's."""

from bucle.doors.migrate.carry import carry_over
from bucle.doors.migrate.errors import BadSource, NotEmpty, UnknownSchema
from bucle.doors.migrate.found import Source
from bucle.doors.migrate.mlflow_database import MlflowDatabase
from bucle.doors.migrate.mlflow_export import export_to_mlflow
from bucle.doors.migrate.mlflow_folder import MlflowFolder
from bucle.doors.migrate.mlproject import MlprojectFiles, export_to_mlproject
from bucle.doors.migrate.neptune import NeptuneExport
from bucle.doors.migrate.report import Report
from bucle.doors.migrate.wandb import WandbFolder

__all__ = [
    "BadSource",
    "MlflowDatabase",
    "MlflowFolder",
    "MlprojectFiles",
    "NeptuneExport",
    "NotEmpty",
    "Report",
    "Source",
    "UnknownSchema",
    "WandbFolder",
    "carry_over",
    "export_to_mlflow",
    "export_to_mlproject",
]
