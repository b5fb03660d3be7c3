#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning activation=relu lr=0.01 batch=64 experiment=r3_activation_lr_batch hydra.run.dir=multirun/r3_activation_lr_batch/activation-relu_lr-0.01_batch-64_1bf62733
python -m resnet_lightning activation=sigmoid lr=0.01 batch=64 experiment=r3_activation_lr_batch hydra.run.dir=multirun/r3_activation_lr_batch/activation-sigmoid_lr-0.01_batch-64_49e6f53e
python -m resnet_lightning activation=tanh lr=0.01 batch=64 experiment=r3_activation_lr_batch hydra.run.dir=multirun/r3_activation_lr_batch/activation-tanh_lr-0.01_batch-64_b31c05da
python -m resnet_lightning activation=relu lr=0.1 batch=64 experiment=r3_activation_lr_batch hydra.run.dir=multirun/r3_activation_lr_batch/activation-relu_lr-0.1_batch-64_d1240400
python -m resnet_lightning activation=relu lr=0.01 batch=1000 experiment=r3_activation_lr_batch hydra.run.dir=multirun/r3_activation_lr_batch/activation-relu_lr-0.01_batch-1000_62560ae7
