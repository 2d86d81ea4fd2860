"""Data modules of the experiments."""
