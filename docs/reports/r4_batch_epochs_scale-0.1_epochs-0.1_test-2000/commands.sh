#!/bin/sh
# Every job of this sweep as a command of its own, in any order, on any queue.

python -m resnet_lightning batch=128 epochs=100 experiment=r4_batch_epochs scale=0.1 epochs_scale=0.1 data.test_limit=2000 hydra.run.dir=multirun/r4_batch_epochs_scale-0.1_epochs-0.1_test-2000/batch-128_epochs-100_experiment-r4_batch_epochs_scale-0.1_epochs_scale-0.1_data_e916b434
python -m resnet_lightning batch=64 epochs=10 experiment=r4_batch_epochs scale=0.1 epochs_scale=0.1 data.test_limit=2000 hydra.run.dir=multirun/r4_batch_epochs_scale-0.1_epochs-0.1_test-2000/batch-64_epochs-10_1063a32a
python -m resnet_lightning batch=128 epochs=10 experiment=r4_batch_epochs scale=0.1 epochs_scale=0.1 data.test_limit=2000 hydra.run.dir=multirun/r4_batch_epochs_scale-0.1_epochs-0.1_test-2000/batch-128_epochs-10_5ba6a297
python -m resnet_lightning batch=64 epochs=20 experiment=r4_batch_epochs scale=0.1 epochs_scale=0.1 data.test_limit=2000 hydra.run.dir=multirun/r4_batch_epochs_scale-0.1_epochs-0.1_test-2000/batch-64_epochs-20_affb8060
python -m resnet_lightning batch=128 epochs=20 experiment=r4_batch_epochs scale=0.1 epochs_scale=0.1 data.test_limit=2000 hydra.run.dir=multirun/r4_batch_epochs_scale-0.1_epochs-0.1_test-2000/batch-128_epochs-20_1efe9666
