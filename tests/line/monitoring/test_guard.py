"""Guards under simulation: what they promise about false alarms, and how soon they see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bucle.line import monitoring
from bucle.line.monitoring.bins import LATENCY_BINS, latency_bin

Counted = Callable[..., monitoring.Window]


def spread(values_us: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(np.bincount(latency_bin(values_us), minlength=LATENCY_BINS).tolist())


class Traffic:
    """A rollout under simulation: requests arrive, arms answer, looks are taken."""

    def __init__(self, counted: Counted, seed: int, share: float, *, errors: tuple[float, float], slower: float = 1.0):
        self.rng, self.counted, self.share, self.errors, self.slower = (
            np.random.default_rng(seed),
            counted,
            share,
            errors,
            slower,
        )
        self.requests, self.failures = [0, 0], [0, 0]
        self.latencies = [np.zeros(LATENCY_BINS, dtype=np.int64), np.zeros(LATENCY_BINS, dtype=np.int64)]

    def arrive(self, requests: int, outage: float = 0.0) -> None:
        canary = int(self.rng.binomial(requests, self.share))
        for arm, number in enumerate((requests - canary, canary)):
            self.requests[arm] += number
            self.failures[arm] += int(self.rng.binomial(number, max(outage, self.errors[arm])))
            taken = self.rng.lognormal(7, 0.6, number) * (self.slower if arm else 1.0)
            self.latencies[arm] += np.bincount(latency_bin(taken), minlength=LATENCY_BINS)

    def look(self) -> monitoring.Guard:
        windows = [
            self.counted(
                name,
                version=arm + 1,
                requests=self.requests[arm],
                failures=self.failures[arm],
                latencies=tuple(self.latencies[arm].tolist()),
            )
            for arm, name in enumerate(("champion", "canary"))
        ]
        return monitoring.guard(windows[0], windows[1])


def follow(counted: Counted, errors: float, seeds: range) -> list[set[str]]:
    """The statuses that rollouts of a canary as good as its champion see over 50 looks."""
    statuses = []
    for seed in seeds:
        traffic = Traffic(counted, seed, 0.1, errors=(errors, errors))
        seen: set[str] = set()
        for _ in range(50):
            traffic.arrive(300)
            seen.add(traffic.look().status)
        statuses.append(seen)
    return statuses


@pytest.mark.parametrize("errors", [0.0, 0.01])
def test_a_canary_as_good_as_the_champion_becomes_healthy_and_never_failing(counted: Counted, errors: float) -> None:
    statuses = follow(counted, errors, range(20))
    assert sum("failing" in seen for seen in statuses) == 0
    assert sum("healthy" in seen for seen in statuses) >= 19


@pytest.mark.full
@pytest.mark.parametrize("errors", [0.0, 0.01, 0.03])
def test_in_200_rollouts_no_good_canary_is_called_failing(counted: Counted, errors: float) -> None:
    """alpha is 0.001 and each rollout has 50 looks: 0.2 false alarms are expected at most."""
    assert sum("failing" in seen for seen in follow(counted, errors, range(200))) == 0


@pytest.mark.full
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_false_alarms_stay_within_alpha_with_a_lax_alpha(counted: Counted, share: float) -> None:
    rules = monitoring.GuardRules(alpha=0.2, max_error_excess=0.0, min_requests=1, max_error_rate=0.9)
    alarms = 0
    for seed in range(200):
        traffic = Traffic(counted, 1000 + seed, share, errors=(0.05, 0.05))
        for _ in range(80):
            traffic.arrive(100)
            champion = counted("champion", requests=traffic.requests[0], failures=traffic.failures[0])
            canary = counted("canary", requests=traffic.requests[1], failures=traffic.failures[1])
            if monitoring.guard(champion, canary, rules).status == "failing":
                alarms += 1
                break
    # The test of the excess alone spends a third of alpha.
    assert alarms / 200 <= 0.2 / 3 + 3 * np.sqrt(0.067 * 0.933 / 200)


@pytest.mark.parametrize(("errors", "within"), [(0.05, 300), (0.2, 60), (1.0, 15)])
def test_a_failing_canary_is_seen_within_so_many_of_its_requests(counted: Counted, errors: float, within: int) -> None:
    needed = []
    for seed in range(40):
        traffic = Traffic(counted, seed, 0.1, errors=(0.001, errors))
        while traffic.look().status != "failing":
            traffic.arrive(20)
            assert traffic.requests[1] < 5000
        needed.append(traffic.requests[1])
    assert np.quantile(needed, 0.9) <= within


def test_a_canary_that_fails_three_points_more_is_hardly_ever_called_healthy(counted: Counted) -> None:
    healthy = 0
    for seed in range(40):
        traffic = Traffic(counted, seed, 0.1, errors=(0.01, 0.04))
        for _ in range(100):
            traffic.arrive(200)
            status = traffic.look().status
            if status != "undecided":
                healthy += status == "healthy"
                break
    assert healthy <= 1


@pytest.mark.parametrize("slower", [2.5, 4.0])
def test_a_slow_canary_is_failing_within_600_of_its_requests(counted: Counted, slower: float) -> None:
    for seed in range(20):
        traffic = Traffic(counted, seed, 0.2, errors=(0.0, 0.0), slower=slower)
        # In milliseconds the simulated champion answers within 3; let the excess count from 1 ms on.
        rules = monitoring.GuardRules(min_latency_excess_ms=1.0)
        for _ in range(60):
            traffic.arrive(50)
            champion = counted("champion", requests=traffic.requests[0], latencies=tuple(traffic.latencies[0].tolist()))
            canary = counted("canary", requests=traffic.requests[1], latencies=tuple(traffic.latencies[1].tolist()))
            found = monitoring.guard(champion, canary, rules)
            if found.status == "failing":
                break
        assert found.status == "failing"
        assert "95th percentile" in found.reasons[0]


@pytest.mark.parametrize("slower", [1.0, 1.3])
def test_a_canary_within_the_allowed_latency_is_not_failing(counted: Counted, slower: float) -> None:
    rules = monitoring.GuardRules(min_latency_excess_ms=0.0)
    for seed in range(30):
        traffic = Traffic(counted, seed, 0.2, errors=(0.0, 0.0), slower=slower)
        for _ in range(40):
            traffic.arrive(200)
            champion = counted("champion", requests=traffic.requests[0], latencies=tuple(traffic.latencies[0].tolist()))
            canary = counted("canary", requests=traffic.requests[1], latencies=tuple(traffic.latencies[1].tolist()))
            assert monitoring.guard(champion, canary, rules).status != "failing"


def test_an_outage_that_strikes_both_arms_is_not_held_against_the_canary_alone(counted: Counted) -> None:
    """Failures of both arms together say nothing of the difference, however suddenly they come."""
    rules = monitoring.GuardRules(max_error_rate=0.9)
    for seed in range(50):
        traffic = Traffic(counted, seed, 0.1, errors=(0.001, 0.001))
        for look in range(30):
            traffic.arrive(200, outage=0.3 if 10 <= look < 15 else 0.0)
            champion = counted("champion", requests=traffic.requests[0], failures=traffic.failures[0])
            canary = counted("canary", requests=traffic.requests[1], failures=traffic.failures[1])
            assert monitoring.guard(champion, canary, rules).status != "failing"


def test_a_canary_with_all_the_traffic_is_held_to_the_absolute_limits(counted: Counted) -> None:
    nobody = counted("champion")
    assert monitoring.guard(nobody, counted("canary", requests=100)).status == "undecided"
    assert monitoring.guard(nobody, counted("canary", requests=2000, failures=3)).status == "healthy"
    failing = monitoring.guard(nobody, counted("canary", requests=2000, failures=300))
    assert failing.status == "failing"
    assert "5.0%" in failing.reasons[0]


def test_answers_of_quite_another_distribution_are_failing(counted: Counted) -> None:
    rng = np.random.default_rng(0)

    def scores(low: float) -> tuple[int, ...]:
        drawn = np.clip(rng.beta(2, 6, 2000) + low, 0, 1)
        return tuple(np.bincount((drawn * 999).astype(int), minlength=monitoring.SCORE_BINS).tolist())

    champion = counted("champion", requests=2000, scores=scores(0.0))
    alike = monitoring.guard(champion, counted("canary", requests=2000, scores=scores(0.0)))
    apart = monitoring.guard(champion, counted("canary", requests=2000, scores=scores(0.5)))
    assert alike.status == "healthy"
    assert alike.score_psi is not None
    assert alike.score_psi < 0.05
    assert apart.status == "failing"
    assert "PSI" in apart.reasons[0]


def test_a_canary_without_requests_is_undecided(counted: Counted) -> None:
    found = monitoring.guard(counted("champion", requests=500), counted("canary"))
    assert (found.status, found.error_excess_high, found.error_evidence) == ("undecided", 1.0, 0.0)
