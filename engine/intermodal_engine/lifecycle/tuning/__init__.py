"""Hyperparameter tuning: which trials to run, and when one is not worth finishing."""
