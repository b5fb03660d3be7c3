#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning batch=32 seed=0 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/lr-0.01_batch-32_d9fe12f9
python -m resnet_lightning batch=32 seed=1 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/batch-32_seed-1_91f8cdac
python -m resnet_lightning batch=32 seed=2 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/batch-32_seed-2_3c56c3f4
python -m resnet_lightning batch=64 seed=0 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/lr-0.01_batch-64_32fbaba9
python -m resnet_lightning batch=64 seed=1 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/batch-64_seed-1_984dd5df
python -m resnet_lightning batch=64 seed=2 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/batch-64_seed-2_4ae6110c
python -m resnet_lightning batch=128 seed=0 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/lr-0.01_batch-128_79c5901a
python -m resnet_lightning batch=128 seed=1 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/batch-128_seed-1_f1e034cb
python -m resnet_lightning batch=128 seed=2 experiment=r1_batch_seeds hydra.run.dir=multirun/r1_batch_seeds/batch-128_seed-2_72d1a79c
