"""Scores of the network and of the baselines on sets of brackets with known truth."""
