"""From files to batches: readers -> cache -> loader -> augment, put together by the datamodule."""
