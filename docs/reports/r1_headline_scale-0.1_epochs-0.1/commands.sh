#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning experiment=r1_headline scale=0.1 epochs_scale=0.1 hydra.run.dir=multirun/r1_headline_scale-0.1_epochs-0.1/experiment-r1_headline_scale-0.1_epochs_scale-0.1_0105054e
