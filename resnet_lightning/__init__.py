"""Train a ResNet, sweep it over every device you own, and get the comparison tables and plots."""

__version__ = "0.1.0"
