"""`[serving]` in `bucle.toml`: an endpoint's limits."""

from __future__ import annotations

from bucle.ground.core import Section

__all__ = ["ServingSection"]


class ServingSection(Section, frozen=True):
    """`[serving]`: what an endpoint accepts and how it keeps its log.

    Attributes:
        max_body_bytes: a larger request is refused unread.
        max_rows: a request with more rows is refused.
        trial_timeout_s: a canary that takes longer is given up and the champion answers.
        max_shadows: shadow runs that may wait; more are dropped and counted.
        segment_bytes: the log goes on in a new segment beyond this size.
        segment_age_s: and after this time.
    """

    max_body_bytes: int = 16 << 20
    max_rows: int = 100_000
    trial_timeout_s: float = 1.0
    max_shadows: int = 256
    segment_bytes: int = 32 << 20
    segment_age_s: float = 300.0
