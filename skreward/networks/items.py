"""Items to gather batches from, on the host or on a device."""

import numpy as np
import scipy.sparse as sp

from skreward.utils.arrays import rows_as
from skreward.utils.device import copied, torch_dtype
from skreward.utils.optional import wanted_by

with wanted_by("A reward network", "torch"):
    import torch


def gatherable(items, dtype, device):
    """Give items to gather from: on the device where it is not the CPU's memory."""
    on_device = device.type != "cpu" and not sp.issparse(items)
    return (DeviceItems if on_device else HostItems)(items, dtype, device)


class HostItems:
    """Rows gathered on the host, then sent to the device."""

    index_device = torch.device("cpu")

    def __init__(self, items, dtype, device):
        self._items, self._dtype, self._device = items, torch_dtype(dtype), device
        self._rows = None
        # torch gathers with all threads, but takes no memory that is read-only or
        # runs backwards.
        is_shared = isinstance(items, np.ndarray) and items.flags.carray
        self._shared = torch.from_numpy(items) if is_shared else None

    def gather(self, rows):
        """Give rows as a dense tensor on the device, good until the next call."""
        if self._shared is None:
            here = self._items[rows.numpy()]
            batch = torch.from_numpy(rows_as(here, here.dtype))
        else:
            # Memory is asked of the system once, not once a batch.
            if self._rows is None or len(rows) > len(self._rows):
                self._rows = self._shared.new_empty(len(rows), self._shared.shape[1])
            batch = self._rows[: len(rows)]
            torch.index_select(self._shared, 0, rows, out=batch)
        return batch.to(self._device).to(self._dtype)


class DeviceItems:
    """All items uploaded once, rows gathered on the device."""

    def __init__(self, items, dtype, device):
        self._items = copied(items, device)
        self._dtype = torch_dtype(dtype)
        self.index_device = device

    def gather(self, rows):
        """Give rows as a dense tensor on the device."""
        return self._items.index_select(0, rows).to(self._dtype)
