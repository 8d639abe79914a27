"""Serving: load, route, answer, and have every prediction on record; a data plane that needs no database."""

from bucle.line.serving.app import App
from bucle.line.serving.batch import score
from bucle.line.serving.client import Client, Inference
from bucle.line.serving.collect import PREDICTIONS, collect, live, predictions
from bucle.line.serving.config import ServingSection
from bucle.line.serving.endpoint import Endpoint
from bucle.line.serving.errors import (
    BadBody,
    BadInput,
    BodyTooLarge,
    EndpointFailed,
    EndpointRunning,
    EnrichMissing,
    LogUnwritable,
    ModelFailed,
    NoRoutes,
    NotReady,
    NotRunning,
    PortInUse,
    RequestFailed,
    SegmentDamaged,
    UnknownModel,
    UnknownPath,
    WrongMedia,
    WrongMethod,
)
from bucle.line.serving.frame import PREDICTION_COLUMNS, frame_of
from bucle.line.serving.model import Enrich, Model, load_model
from bucle.line.serving.process import Process, ask, find_process, start_process, stop_process
from bucle.line.serving.route import CHAMPION, Arm, Routes, endpoint_folder, load_routes, pick, save_routes
from bucle.line.serving.segment import Prediction, PredictionLog, closed_segments, read_live, read_segments
from bucle.line.serving.server import main, serve, serve_package
from bucle.line.serving.store import Segment, collected_segments

__all__ = [
    "CHAMPION",
    "PREDICTIONS",
    "PREDICTION_COLUMNS",
    "App",
    "Arm",
    "BadBody",
    "BadInput",
    "BodyTooLarge",
    "Client",
    "Endpoint",
    "EndpointFailed",
    "EndpointRunning",
    "Enrich",
    "EnrichMissing",
    "Inference",
    "LogUnwritable",
    "Model",
    "ModelFailed",
    "NoRoutes",
    "NotReady",
    "NotRunning",
    "PortInUse",
    "Prediction",
    "PredictionLog",
    "Process",
    "RequestFailed",
    "Routes",
    "Segment",
    "SegmentDamaged",
    "ServingSection",
    "UnknownModel",
    "UnknownPath",
    "WrongMedia",
    "WrongMethod",
    "ask",
    "closed_segments",
    "collect",
    "collected_segments",
    "endpoint_folder",
    "find_process",
    "frame_of",
    "live",
    "load_model",
    "load_routes",
    "main",
    "pick",
    "predictions",
    "read_live",
    "read_segments",
    "save_routes",
    "score",
    "serve",
    "serve_package",
    "start_process",
    "stop_process",
]
