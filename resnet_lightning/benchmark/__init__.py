"""Measurements on the user's own machine: interleaved, several rounds, medians with minimum and maximum."""
