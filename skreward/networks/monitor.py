"""When training stops, and which epoch is kept."""

import numpy as np


class Monitor:
    """When to stop, and which weights to keep."""

    def __init__(self, settings, name=""):
        self._settings, self._name = settings, name
        self.losses: list[float] = []
        self.watched: list[float] = []
        self.best_iter = 0
        self.converged = False
        self._best = self._reference = np.inf
        self._last_improvement = 0

    def update(self, epoch, loss, watched):
        """Take in the training loss of an epoch, and the one watched or None.

        Gives whether this is the epoch to keep so far, and whether to stop.
        """
        decisive = loss if watched is None else watched
        if not (np.isfinite(loss) and np.isfinite(decisive)):
            raise ValueError(
                f"The network diverged in epoch {epoch}: its loss is no longer "
                "finite. Lower learning_rate_init, or look for outliers in X."
            )
        self.losses.append(loss)
        if watched is not None:
            self.watched.append(watched)
        if self._settings.verbose:
            validation = "" if watched is None else f", validation {watched:.6f}"
            print(f"{self._name}Epoch {epoch}: loss {loss:.6f}{validation}")
        # Where nothing is held out the last weights stay.
        is_best = watched is None or decisive < self._best
        if is_best:
            self._best, self.best_iter = decisive, epoch
        if decisive < self._reference - self._settings.tol:
            self._reference, self._last_improvement = decisive, epoch
        self.converged = (
            epoch - self._last_improvement >= self._settings.n_iter_no_change
        )
        return is_best, self.converged
