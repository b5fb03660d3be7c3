#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning model=resnet18 lr=0.01 batch=32 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet18_lr-0.01_batch-32_605def5c
python -m resnet_lightning model=resnet18 lr=0.01 batch=64 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet18_lr-0.01_batch-64_b21331d8
python -m resnet_lightning model=resnet18 lr=0.01 batch=128 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet18_lr-0.01_batch-128_9dad4e2b
python -m resnet_lightning model=resnet18 lr=0.1 batch=32 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet18_lr-0.1_batch-32_c4cee525
python -m resnet_lightning model=resnet18 lr=0.1 batch=64 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet18_lr-0.1_batch-64_897d4d30
python -m resnet_lightning model=resnet18 lr=0.1 batch=128 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet18_lr-0.1_batch-128_beaaae6a
python -m resnet_lightning model=resnet18 lr=0.001 batch=32 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/lr-0.001_batch-32_2cfaa0e2
python -m resnet_lightning model=resnet18 lr=0.001 batch=64 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/lr-0.001_batch-64_3c39f0eb
python -m resnet_lightning model=resnet18 lr=0.001 batch=128 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/lr-0.001_batch-128_a95af2ae
python -m resnet_lightning model=resnet34 lr=0.01 batch=32 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.01_batch-32_59bc7219
python -m resnet_lightning model=resnet34 lr=0.01 batch=64 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.01_batch-64_82b6352c
python -m resnet_lightning model=resnet34 lr=0.01 batch=128 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.01_batch-128_c9de31d6
python -m resnet_lightning model=resnet34 lr=0.1 batch=32 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.1_batch-32_ff248a21
python -m resnet_lightning model=resnet34 lr=0.1 batch=64 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.1_batch-64_009b7857
python -m resnet_lightning model=resnet34 lr=0.1 batch=128 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.1_batch-128_8c3f8a3d
python -m resnet_lightning model=resnet34 lr=0.001 batch=32 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.001_batch-32_5e0e5b11
python -m resnet_lightning model=resnet34 lr=0.001 batch=64 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.001_batch-64_97bb6b58
python -m resnet_lightning model=resnet34 lr=0.001 batch=128 experiment=r1_lr_batch scale=0.1 hydra.run.dir=multirun/r1_lr_batch_scale-0.1/model-resnet34_lr-0.001_batch-128_3da1b97f
