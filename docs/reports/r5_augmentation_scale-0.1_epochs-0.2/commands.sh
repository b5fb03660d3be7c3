#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning augment=none experiment=r5_augmentation scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_augmentation_scale-0.1_epochs-0.2/augment-none_e26b4932
python -m resnet_lightning augment=normalize experiment=r5_augmentation scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_augmentation_scale-0.1_epochs-0.2/augment-normalize_3c0ac8a2
python -m resnet_lightning augment=report_color experiment=r5_augmentation scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_augmentation_scale-0.1_epochs-0.2/augment-report_color_dd7fad23
python -m resnet_lightning augment=report_geometric experiment=r5_augmentation scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_augmentation_scale-0.1_epochs-0.2/augment-report_geometric_dc354b9a
python -m resnet_lightning augment=report_full experiment=r5_augmentation scale=0.1 epochs_scale=0.2 hydra.run.dir=multirun/r5_augmentation_scale-0.1_epochs-0.2/augment-report_full_dddbcf63
