"""The networks: one configurable ResNet; every variant is a file of ``conf/model``."""
