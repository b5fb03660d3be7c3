"""A sweep from Python: the command of a sweep, then its records."""

import subprocess
import sys
from pathlib import Path

from resnet_lightning.result import RunResult
from resnet_lightning.use.find import find_run

settings = ["model=resnet10", "model.widths=[4,8,8]", "data.train_limit=1000", "epochs=1", "batch=50"]
command = [sys.executable, "-m", "resnet_lightning", "--multirun", "name=from_python", *settings, "lr=0.2,0.02"]
subprocess.run(command, check=True)

for record in sorted(Path("multirun/from_python").glob("*/result.json")):
    result = RunResult.read(record.parent)
    print(
        f"lr {result.config['lr']:<5} test accuracy {result.test['accuracy']:.4f} of {result.test['images']:,} images"
    )
print("best:", find_run("multirun/from_python").why)
