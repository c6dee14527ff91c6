"""What the machine computes with: told without torch as torch tells it."""

import ctypes
from functools import cache

import pytest

from skreward.utils import processor


@pytest.fixture(autouse=True)
def asked_again():
    processor.may_have_cuda.cache_clear()
    processor.is_fast_at_bfloat16.cache_clear()
    yield
    processor.may_have_cuda.cache_clear()
    processor.is_fast_at_bfloat16.cache_clear()


def test_no_device_that_torch_finds_is_missed():
    import torch

    assert processor.may_have_cuda() or not torch.cuda.is_available()


@pytest.mark.parametrize("known", [True, False, None])
def test_torch_is_asked_where_the_system_does_not_say(monkeypatch, known):
    import torch

    from skreward.utils.device import is_fast_at_bfloat16

    told = {"amx_bf16": True, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    monkeypatch.setattr(processor, "is_fast_at_bfloat16", cache(lambda: known))
    assert is_fast_at_bfloat16(torch.device("cpu")) is (known is not False)


@pytest.mark.parametrize(
    ("platform", "has_driver", "expected"),
    [
        ("darwin", True, False),
        ("linux", True, True),
        ("linux", False, False),
        ("win32", True, True),
        ("win32", False, False),
        ("freebsd14", False, True),
    ],
)
def test_cuda_needs_its_driver(monkeypatch, platform, has_driver, expected):
    def load(name):
        assert name == processor.DRIVERS[platform]
        if not has_driver:
            raise OSError(name)

    monkeypatch.setattr(processor.sys, "platform", platform)
    monkeypatch.setattr(processor, "ROCM", "/nowhere")
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert processor.may_have_cuda() is expected


def test_rocm_is_left_to_torch(monkeypatch, tmp_path):
    monkeypatch.setattr(processor.sys, "platform", "linux")
    monkeypatch.setattr(processor, "ROCM", str(tmp_path))
    assert processor.may_have_cuda()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx512_bf16\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512_bf16\n", False),
        ("vendor_id : GenuineIntel\nflags : fpu avx512_bf16 amx_bf16\n", True),
        ("flags : fpu amx_bf16\nflags : fpu\n", True),
        ("flags : fpu avx2 f16c\n", False),
        ("Features : fp asimd bf16\n", None),
        (None, None),
    ],
)
def test_flags_of_the_processor(monkeypatch, said, expected):
    def read(path, *args):
        if said is None:
            raise FileNotFoundError
        return said

    monkeypatch.setattr(processor.Path, "read_text", read)
    assert processor.is_fast_at_bfloat16() is expected
