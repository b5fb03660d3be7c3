#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning optimizer=sgd experiment=r5_optimizer scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_optimizer_scale-0.1_epochs-0.2/optimizer-sgd_c858d178
python -m resnet_lightning optimizer=momentum optimizer.momentum=0.5 experiment=r5_optimizer scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_optimizer_scale-0.1_epochs-0.2/optimizer-momentum_optimizer.momentum-0.5_cf49dc75
python -m resnet_lightning optimizer=momentum optimizer.momentum=0.9 experiment=r5_optimizer scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_optimizer_scale-0.1_epochs-0.2/optimizer-momentum_optimizer.momentum-0.9_0815fff8
python -m resnet_lightning optimizer=adadelta experiment=r5_optimizer scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_optimizer_scale-0.1_epochs-0.2/optimizer-adadelta_71ecdb75
python -m resnet_lightning optimizer=rmsprop experiment=r5_optimizer scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_optimizer_scale-0.1_epochs-0.2/optimizer-rmsprop_250d3b63
python -m resnet_lightning optimizer=adam experiment=r5_optimizer scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_optimizer_scale-0.1_epochs-0.2/optimizer-adam_fcd2a2e9
python -m resnet_lightning optimizer=asgd experiment=r5_optimizer scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_optimizer_scale-0.1_epochs-0.2/optimizer-asgd_99c4a35f
