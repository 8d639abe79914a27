"""Makes the run beside it: python make.py, in an environment with wandb==0.31 and numpy. The tests do not run it."""

import shutil
from pathlib import Path

import wandb

here = Path(__file__).parent
run = wandb.init(
    project="digits", name="quiet-fox-3", notes="first try\nof many", tags=["baseline", "cnn"], mode="offline",
    dir=here.parent, group="g1", job_type="train",
    config={"lr": 0.01, "layers": [16, 32], "optimizer": {"name": "adam", "betas": [0.9, 0.999]}, "seed": None},
    settings=wandb.Settings(host="box", x_disable_meta=True),
)  # fmt: skip
for step in range(150):
    run.log({"loss": 1 / (step + 1), "nested": {"acc": step / 150}}, step=step * 2)
run.log({"nan": float("nan"), "top": float("inf"), "flag": True})
run.log({"hist": wandb.Histogram([1, 2, 3], num_bins=4), "said": "hello"})
run.define_metric("val/*", step_metric="epoch")
run.log({"epoch": 1, "val/loss": 0.5})
run.config.update({"lr": 0.02}, allow_val_change=True)
run.summary["best"], run.summary["verdict"] = 0.98, "fine"
print("a line that was printed")  # noqa: T201
run.finish(exit_code=3)
found = next(iter((here.parent / "wandb").glob("offline-run-*")))
for left in ("logs", "tmp"):
    shutil.rmtree(found / left, ignore_errors=True)
(found / "files" / "requirements.txt").unlink(missing_ok=True)
