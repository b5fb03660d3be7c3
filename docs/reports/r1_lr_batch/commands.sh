#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning model=resnet10 lr=0.01 batch=32 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.01_batch-32_d9fe12f9
python -m resnet_lightning model=resnet10 lr=0.01 batch=64 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.01_batch-64_32fbaba9
python -m resnet_lightning model=resnet10 lr=0.01 batch=128 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.01_batch-128_79c5901a
python -m resnet_lightning model=resnet10 lr=0.1 batch=32 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.1_batch-32_c02e7a18
python -m resnet_lightning model=resnet10 lr=0.1 batch=64 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.1_batch-64_9ed6dbb2
python -m resnet_lightning model=resnet10 lr=0.1 batch=128 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.1_batch-128_9aee4091
python -m resnet_lightning model=resnet10 lr=0.001 batch=32 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.001_batch-32_41f03644
python -m resnet_lightning model=resnet10 lr=0.001 batch=64 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.001_batch-64_63518b31
python -m resnet_lightning model=resnet10 lr=0.001 batch=128 experiment=r1_lr_batch hydra.run.dir=multirun/r1_lr_batch/lr-0.001_batch-128_111fdffa
