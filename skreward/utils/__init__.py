"""Tools that know nothing of rewards."""
