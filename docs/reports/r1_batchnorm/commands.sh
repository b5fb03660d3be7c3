#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning lr=0.01 batch=32 batchnorm=running experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.01_batch-32_d9fe12f9
python -m resnet_lightning lr=0.01 batch=32 batchnorm=reestimated experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.01_batch-32_batchnorm-reestimated_39810504
python -m resnet_lightning lr=0.01 batch=64 batchnorm=running experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.01_batch-64_32fbaba9
python -m resnet_lightning lr=0.01 batch=64 batchnorm=reestimated experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.01_batch-64_batchnorm-reestimated_b4c4fca0
python -m resnet_lightning lr=0.01 batch=128 batchnorm=running experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.01_batch-128_79c5901a
python -m resnet_lightning lr=0.01 batch=128 batchnorm=reestimated experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.01_batch-128_batchnorm-reestimated_ba1dc607
python -m resnet_lightning lr=0.1 batch=32 batchnorm=running experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.1_batch-32_c02e7a18
python -m resnet_lightning lr=0.1 batch=32 batchnorm=reestimated experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.1_batch-32_batchnorm-reestimated_f5711443
python -m resnet_lightning lr=0.1 batch=64 batchnorm=running experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.1_batch-64_9ed6dbb2
python -m resnet_lightning lr=0.1 batch=64 batchnorm=reestimated experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.1_batch-64_batchnorm-reestimated_010adb15
python -m resnet_lightning lr=0.1 batch=128 batchnorm=running experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.1_batch-128_9aee4091
python -m resnet_lightning lr=0.1 batch=128 batchnorm=reestimated experiment=r1_batchnorm hydra.run.dir=multirun/r1_batchnorm/lr-0.1_batch-128_batchnorm-reestimated_da10ac6e
