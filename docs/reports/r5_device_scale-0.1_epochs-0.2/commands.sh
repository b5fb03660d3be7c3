#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning accelerator=cpu experiment=r5_device scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_device_scale-0.1_epochs-0.2/accelerator-cpu_29197c23
python -m resnet_lightning accelerator=gpu experiment=r5_device scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_device_scale-0.1_epochs-0.2/accelerator-gpu_0ec58cd0
