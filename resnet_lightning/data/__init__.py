"""From files to batches: sources -> cache -> loader -> augment, put together by the datamodule."""
