"""One seed for all: what is drawn is equal in two processes, whenever a library is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bucle.ground.core import UserError, seed_everything

DRAWS = """
import sys
sys.path.insert(0, sys.argv[2])
early = sys.argv[1] == "early"
if early:
    import numpy, torch
from bucle.ground.core import seed_everything
seed_everything(1)
seed_everything(7)
import random
import numpy, torch
told = torch.SEED
del sys.modules["torch"]  # scikit-learn would look for more of it
from sklearn.linear_model import SGDClassifier
x = numpy.random.default_rng(0).normal(size=(200, 4))
fitted = SGDClassifier(max_iter=5, tol=None).fit(x, x[:, 0] > 0)
print(random.random(), numpy.random.normal(), told, fitted.coef_.tolist())
"""

TORCH = "SEED = None\ndef manual_seed(seed):\n    global SEED\n    SEED = seed\n"
"""What PyTorch offers for it; the real one is too large to be installed for a test."""


@pytest.mark.parametrize("when", ["early", "late"])
def test_two_processes_draw_the_same(tmp_path: Path, when: str) -> None:
    (tmp_path / "torch.py").write_text(TORCH)
    command = [sys.executable, "-c", DRAWS, when, str(tmp_path)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second
    assert first.split()[2] == "7"


def test_a_seed_that_does_not_fit_is_refused() -> None:
    for wrong in (-1, 2**63):
        with pytest.raises(UserError, match="out of range"):
            seed_everything(wrong)
