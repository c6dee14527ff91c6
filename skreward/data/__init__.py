"""Items, pairs and labels: what users give, and what solvers see."""
