"""Features: defined once in Python, computed point in time for training, served online with equal values."""

from bucle.line.features.enrich import Pinned, enricher
from bucle.line.features.errors import BadView, NoSuchView, PeekingView, ViewChanged, WrongRows
from bucle.line.features.online import LocalOnline, OnlineStore, Row
from bucle.line.features.store import (
    check_no_peeking,
    checked,
    compute,
    encoded,
    local_online,
    materialise,
    online,
    pinned_views,
    push,
    training_set,
    views_of,
)
from bucle.line.features.view import FeatureView, RequestView, Source, View, feature_view, request_view

__all__ = [
    "BadView",
    "FeatureView",
    "LocalOnline",
    "NoSuchView",
    "OnlineStore",
    "PeekingView",
    "Pinned",
    "RequestView",
    "Row",
    "Source",
    "View",
    "ViewChanged",
    "WrongRows",
    "check_no_peeking",
    "checked",
    "compute",
    "encoded",
    "enricher",
    "feature_view",
    "local_online",
    "materialise",
    "online",
    "pinned_views",
    "push",
    "request_view",
    "training_set",
    "views_of",
]
