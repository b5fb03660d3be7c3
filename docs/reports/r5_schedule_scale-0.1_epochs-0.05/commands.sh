#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning experiment=r5_schedule scale=0.1 epochs_scale=0.05 hydra.run.dir=multirun/r5_schedule_scale-0.1_epochs-0.05/experiment-r5_schedule_scale-0.1_epochs_scale-0.05_c98ab26a
