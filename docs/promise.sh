#!/bin/sh
# Kill a run at a moment that chance chooses, give the same command again, compare with a run that was left in peace.
set -eu
set -- python -m resnet_lightning model=resnet10 model.widths=[8,16,32] data.train_limit=4000 epochs=6 threads=1 \
  accelerator=cpu dropout=0.2 augment.rotation=15 augment.random_crop=2
folder=$(mktemp -d "${TMPDIR:-/tmp}/promise.XXXXXX")

"$@" hydra.run.dir="$folder/peace"

"$@" hydra.run.dir="$folder/killed" &
while [ ! -f "$folder/killed/last.ckpt" ]; do # until there is something to resume from
  kill -0 $! || exit 1 # it has ended: what it said is above
  sleep 0.1
done
sleep "$(python -c 'import random; print(random.uniform(0, 4))')"
kill -9 $! || echo "it was done before"

"$@" hydra.run.dir="$folder/killed"

for file in last.ckpt best.ckpt metrics.csv; do
  cmp "$folder/peace/$file" "$folder/killed/$file"
  echo "$file: the same bits"
done
rm -r "$folder"
