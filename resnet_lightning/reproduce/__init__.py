"""The five course reports again: their experiments, run one after the other, and a page for each."""
