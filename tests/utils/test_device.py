"""Which devices are named, and which are refused."""

import pytest

from skreward.utils.device import resolve


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:", "cuda:-1", "", "c p u"])
def test_what_names_no_device_is_refused(device):
    with pytest.raises(ValueError, match=r"device='.*(names no device|is not there)"):
        resolve(device)


def test_devices_that_are_there():
    assert resolve("cpu").type == "cpu"
    assert resolve("auto").type in ("cpu", "cuda")
