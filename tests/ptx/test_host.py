"""The host side of the kernels, as nvcc compiles it, beside the stand-in of the CUDA runtime."""

from __future__ import annotations

import ctypes
import re
import threading
from pathlib import Path

import pytest
import torch
from ptxsim import host
from ptxsim.gpu import Gpu
from ptxsim.memory import Fault


@pytest.fixture
def fresh(compiled: host.Compiled, tmp_path: Path) -> host.Compiled:
    """The host code as at the start of a process."""
    return compiled.again(tmp_path)


def recorded(gpu: Gpu, radius: int, dtype: torch.dtype = torch.float32) -> list[str]:
    """Names of the kernels that a match launches; none of them runs."""
    gpu.sample = lambda launch: ()
    x = torch.zeros(1, 4, 9, 9, dtype=dtype)
    gpu.window_match(x, x, radius=radius)
    return [launch.kernel for launch in gpu.launches]


def test_threads_with_different_sizes_do_not_take_each_others_shared_memory(fresh: host.Compiled) -> None:
    """A large match is between its request for shared memory and its launch when another thread asks for
    less."""
    other: list[BaseException | None] = []
    busy = threading.Lock()

    def small() -> None:
        try:
            recorded(Gpu(host=fresh), radius=3)
            other.append(None)
        except BaseException as error:
            other.append(error)

    def meanwhile(kernel: bytes, size: int) -> None:
        if busy.acquire(blocking=False):  # of the first request alone
            thread = threading.Thread(target=small)
            threads.append(thread)
            thread.start()
            thread.join(0.3)  # with one request for each kernel it waits for this one

    threads: list[threading.Thread] = []
    fresh.listen(meanwhile)
    names = recorded(Gpu(host=fresh), radius=8)  # would be: CUDA: invalid argument
    for thread in threads:
        thread.join()
    assert any("shared_kernel" in name for name in names)
    assert other in ([], [None])


def test_shared_memory_is_requested_once_for_each_kernel(fresh: host.Compiled) -> None:
    requests: list[bytes] = []
    fresh.listen(lambda kernel, size: requests.append(kernel))
    for radius in (8, 5, 8):
        recorded(Gpu(host=fresh), radius)
    assert len(requests) == len(set(requests))


@pytest.mark.parametrize(
    ("gpu", "status", "why"),
    [
        ((13000, 90), 0, ""),
        ((13010, 120), 0, ""),
        (
            (12040, 90),
            0,
            r"the driver is for CUDA 12\.4, the kernels were built with 13\.\d; update the driver",
        ),
        ((13000, 86), 209, r"built without code for compute capability 8\.6; .*TORCH_CUDA_ARCH_LIST=8\.6"),
        ((13000, 70), 98, r"built without code for compute capability 7\.0"),
        (
            (13000, 120),
            222,
            r"no code for compute capability 12\.0, and the driver \(CUDA 13\.0\) cannot make it",
        ),
        ((13000, 90), 2, "its kernels do not load"),
    ],
)
def test_a_gpu_that_cannot_run_the_kernels(
    fresh: host.Compiled, gpu: tuple[int, int], status: int, why: str
) -> None:
    """209: cudaErrorNoKernelImageForDevice, 98: ...InvalidDeviceFunction, 222: ...UnsupportedPtxVersion."""
    fresh.library.ptx_gpu(227 * 1024, *gpu, status)
    found = fresh.library.refusal(ctypes.c_int(0)).decode()
    assert re.search(why, found) if why else not found, found


@pytest.mark.parametrize(
    ("dtype", "radius"), [(torch.float32, 3), (torch.float32, 8), (torch.bfloat16, 3), (torch.bfloat16, 8)]
)
def test_a_block_of_little_shared_memory_gets_half_a_slice(dtype: torch.dtype, radius: int) -> None:
    def sizes(shared: int) -> tuple[int, int]:
        gpu = Gpu(shared=shared)
        recorded(gpu, radius, dtype)
        (launch,) = [launch for launch in gpu.launches if "shared_kernel" in launch.kernel]
        return launch.dynamic, launch.block[0]

    dynamic, threads = sizes(227 * 1024)
    assert dynamic <= 163 * 1024
    dynamic, fewer = sizes(99 * 1024)
    assert dynamic <= 99 * 1024
    assert (fewer < threads) == (dtype != torch.float32)  # float32's slices are always half ones
    assert fewer <= 192  # what the code for sm_120 is compiled for


def test_a_launch_that_cannot_be_written_down_is_an_error(
    fresh: host.Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the kernel would be left out, and another one would read what it should have written."""
    monkeypatch.setattr(fresh, "kernel", lambda name: {}[name])
    with pytest.raises(KeyError, match="kernel"):
        recorded(Gpu(host=fresh), radius=3)


def test_clearing_outside_of_an_array_is_found() -> None:
    gpu = Gpu()
    with pytest.raises(Fault, match="out of bounds"):
        gpu.device.zero(gpu.device.allocate(64), 65)
