"""MLflow's protocol: what its clients call over HTTP, and the same in their own process."""

from bucle.doors.protocols.mlflow.absent import ABSENT, Absent
from bucle.doors.protocols.mlflow.app import Door, is_mlflow
from bucle.doors.protocols.mlflow.errors import MlflowError
from bucle.doors.protocols.mlflow.routes import ROUTES, Wire
from bucle.doors.protocols.mlflow.wire import Answer, Call, Route

__all__ = ["ABSENT", "ROUTES", "Absent", "Answer", "Call", "Door", "MlflowError", "Route", "Wire", "is_mlflow"]
