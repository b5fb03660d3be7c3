"""One training run: the LightningModule and what watches, saves and draws it."""
