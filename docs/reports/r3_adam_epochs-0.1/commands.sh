#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning activation=relu lr=0.01 batch=64 experiment=r3_adam epochs_scale=0.1 hydra.run.dir=multirun/r3_adam_epochs-0.1/activation-relu_lr-0.01_batch-64_65d0f0ae
python -m resnet_lightning activation=sigmoid lr=0.01 batch=64 experiment=r3_adam epochs_scale=0.1 hydra.run.dir=multirun/r3_adam_epochs-0.1/activation-sigmoid_lr-0.01_batch-64_bb1fc5cc
python -m resnet_lightning activation=tanh lr=0.01 batch=64 experiment=r3_adam epochs_scale=0.1 hydra.run.dir=multirun/r3_adam_epochs-0.1/activation-tanh_lr-0.01_batch-64_81d418b0
python -m resnet_lightning activation=relu lr=0.1 batch=64 experiment=r3_adam epochs_scale=0.1 hydra.run.dir=multirun/r3_adam_epochs-0.1/activation-relu_lr-0.1_batch-64_f3454e08
python -m resnet_lightning activation=relu lr=0.01 batch=1000 experiment=r3_adam epochs_scale=0.1 hydra.run.dir=multirun/r3_adam_epochs-0.1/activation-relu_lr-0.01_batch-1000_43437ee4
