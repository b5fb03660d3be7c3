#!/bin/sh
# Kill a run at a moment that chance chooses, give the same command again, compare with a run that was left in peace.
set -eu
set -- python -m resnet_lightning model=resnet10 model.widths=[8,16,32] data.train_limit=4000 epochs=6 threads=1 \
  dropout=0.2 augment.rotation=15 augment.random_crop=2

rm -rf promise
"$@" hydra.run.dir=promise/peace

"$@" hydra.run.dir=promise/killed &
while [ ! -f promise/killed/last.ckpt ]; do sleep 0.1; done # there is something to go on from
sleep "$(python -c 'import random; print(random.uniform(0, 4))')"
kill -9 $!

"$@" hydra.run.dir=promise/killed

for file in last.ckpt best.ckpt metrics.csv; do
  cmp promise/peace/$file promise/killed/$file && echo "$file: the same bits"
done
