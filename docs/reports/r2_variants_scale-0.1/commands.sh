#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning stem=imagenet dropout=0.0 experiment=r2_variants scale=0.1 hydra.run.dir=multirun/r2_variants_scale-0.1/stem-imagenet_dropout-0.0_f22ee9f6
python -m resnet_lightning stem=cifar dropout=0.0 experiment=r2_variants scale=0.1 hydra.run.dir=multirun/r2_variants_scale-0.1/stem-cifar_dropout-0.0_f0b06f25
python -m resnet_lightning stem=cifar dropout=0.3 experiment=r2_variants scale=0.1 hydra.run.dir=multirun/r2_variants_scale-0.1/stem-cifar_dropout-0.3_c63eaeaf
