#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning experiment=r5_headline scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_headline_scale-0.1_epochs-0.2/experiment-r5_headline_scale-0.1_epochs_scale-0.2_bcd6a9b0
