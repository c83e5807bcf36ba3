"""Classifiers whose top-k explanations stay put."""
