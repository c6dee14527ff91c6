"""Reward networks: their forward pass, and training in batches."""
