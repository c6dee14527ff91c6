"""Linear rewards: the convex problem and its solution."""
