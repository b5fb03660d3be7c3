#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning epochs=10 experiment=r2_norm_after_block hydra.run.dir=multirun/r2_norm_after_block/epochs-10_experiment-r2_norm_after_block_315370cf
