"""Figures that the documentation quotes, each from a script that anyone can run."""
