#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning batch=8 experiment=r5_batch scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_batch_scale-0.1_epochs-0.2/batch-8_6e89b267
python -m resnet_lightning batch=16 experiment=r5_batch scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_batch_scale-0.1_epochs-0.2/batch-16_513fa855
python -m resnet_lightning batch=32 experiment=r5_batch scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_batch_scale-0.1_epochs-0.2/batch-32_fcd2a2e9
python -m resnet_lightning batch=128 experiment=r5_batch scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_batch_scale-0.1_epochs-0.2/batch-128_6c27d333
python -m resnet_lightning batch=512 experiment=r5_batch scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_batch_scale-0.1_epochs-0.2/batch-512_3a719bd2
python -m resnet_lightning batch=1024 experiment=r5_batch scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_batch_scale-0.1_epochs-0.2/batch-1024_3ab08bc9
