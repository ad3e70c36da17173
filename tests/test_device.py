"""Which device is chosen, what is said where there is none, and the units of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench import device as devices
from workbench.errors import WorkbenchError


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes this machine look as if it had the accelerators named."""

    def pretend(*present: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in present)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in present)

    return pretend


@pytest.mark.parametrize(
    ("present", "chosen"),
    [((), "cpu"), (("cuda",), "cuda"), (("mps",), "mps"), (("cuda", "mps"), "cuda")],
)
def test_auto_takes_the_fastest_there_is(machine, present, chosen):
    machine(*present)
    assert devices.device() == devices.device("auto") == torch.device(chosen)


def test_the_cpu_is_always_there_and_can_be_asked_for(machine):
    machine("cuda", "mps")
    assert devices.device("cpu") == torch.device("cpu")


def test_one_of_several_accelerators_can_be_named(machine):
    machine("cuda")
    assert devices.device("cuda:0") == torch.device("cuda", 0)


@pytest.mark.parametrize("choice", ["cuda", "cuda:0", "mps"])
def test_a_missing_accelerator_is_an_error_with_a_way_out_never_silently_the_cpu(machine, choice):
    machine()
    with pytest.raises(WorkbenchError) as caught:
        devices.device(choice)
    assert repr(choice) in str(caught.value)
    assert "'auto' or 'cpu'" in str(caught.value)


def test_having_one_accelerator_is_not_having_the_other(machine):
    machine("mps")
    with pytest.raises(WorkbenchError, match="'cuda'"):
        devices.device("cuda")


@pytest.mark.parametrize(
    ("choice", "near"), [("cud", "did you mean 'cuda'"), ("tpu", "'tpu'"), ("", "''"), ("CPU", "")]
)
def test_an_unknown_device_names_the_choices(machine, choice, near):
    machine()
    with pytest.raises(WorkbenchError) as caught:
        devices.device(choice)
    assert near in str(caught.value)
    assert "auto, cpu, cuda, mps" in str(caught.value)


def test_auto_takes_no_number(machine):
    machine()
    with pytest.raises(WorkbenchError, match="auto:1"):
        devices.device("auto:1")


@pytest.fixture
def cpu(monkeypatch):
    """Return a function that gives this machine's CPU the flags named, and says whether torch can use bfloat16."""
    monkeypatch.delenv(devices.CPU_BF16, raising=False)
    read = Path.read_text

    def pretend(flags: str, usable: bool = True) -> None:
        def text(path, *args, **kwargs):
            return flags if str(path) == "/proc/cpuinfo" else read(path, *args, **kwargs)

        monkeypatch.setattr(Path, "read_text", text)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: usable, raising=False)
        devices.multiplies_bf16.cache_clear()
        devices._refuse.cache_clear()

    yield pretend
    devices.multiplies_bf16.cache_clear()
    devices._refuse.cache_clear()


def test_half_precision_only_where_the_hardware_multiplies_it(monkeypatch):
    monkeypatch.delenv(devices.CPU_BF16, raising=False)
    assert devices.dtype(torch.device("cpu")) is torch.float32
    assert devices.dtype(torch.device("mps")) is torch.float32
    asked = []

    def supported(including_emulation=True):
        asked.append(including_emulation)
        return not including_emulation  # as if only true support were there

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert devices.dtype(torch.device("cuda")) is torch.bfloat16
    assert asked == [False]  # emulated bfloat16 would be slower than float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert devices.dtype(torch.device("cuda", 0)) is torch.float32


@pytest.mark.parametrize(
    ("flags", "usable", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx512_bf16 sse\n", True, True),
        ("flags : fpu amx_bf16 amx_tile\n", True, True),
        ("Features\t: fp asimd bf16 i8mm\n", True, True),
        ("flags : fpu avx512f avx512bw avx512vl avx512dq\n", True, False),  # where torch would emulate it
        ("flags : fpu xavx512_bf16x avx2\n", True, False),
        ("flags : fpu avx512_bf16\n", False, False),
        ("bogomips : 1\n", True, False),
    ],
)
def test_a_cpu_multiplies_bfloat16_where_it_has_the_instructions_and_torch_uses_them(cpu, flags, usable, expected):
    cpu(flags, usable)
    assert devices.multiplies_bf16() is expected
    assert devices.dtype(torch.device("cpu")) is torch.float32  # not without being asked


def test_bfloat16_on_the_cpu_is_asked_for_and_never_emulated(cpu, monkeypatch, caplog):
    monkeypatch.setenv(devices.CPU_BF16, "1")
    cpu("flags : avx512_bf16\n")
    assert devices.dtype(torch.device("cpu")) is torch.bfloat16
    assert devices.dtype(torch.device("mps")) is torch.float32
    assert caplog.records == []
    cpu("flags : avx512f\n")
    for _ in range(2):
        assert devices.dtype(torch.device("cpu")) is torch.float32
    assert [record.message.startswith("WORKBENCH_CPU_BF16=1 is not heeded") for record in caplog.records] == [True]
    monkeypatch.setenv(devices.CPU_BF16, "0")
    cpu("flags : avx512_bf16\n")
    assert devices.dtype(torch.device("cpu")) is torch.float32
    monkeypatch.setenv(devices.CPU_BF16, "yes")
    with pytest.raises(WorkbenchError, match="WORKBENCH_CPU_BF16 is 'yes'; write 1"):
        devices.dtype(torch.device("cpu"))


def test_peak_memory_is_in_mib_and_never_falls():
    before = devices.peak_memory_mb()
    assert set(before) == set(devices.peak_memory_mb(torch.device("cpu"))) == {"host"}
    # A Python process with torch takes between 50 MiB and 50 GiB: kilobytes or bytes would be far outside.
    assert 50 < before["host"] < 50 * 1024
    assert devices.peak_memory_mb()["host"] >= before["host"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="other systems do not inherit a peak")
def test_peak_memory_is_not_that_of_whoever_started_the_process():
    large = np.ones(50_000_000)  # 381 MiB
    code = "import workbench.device as d; print(d.peak_memory_mb()['host'])"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert 5 < float(told) < large.nbytes / 2**20


def test_peak_memory_counts_macs_bytes_and_other_systems_kilobytes(monkeypatch, tmp_path):
    class Usage:
        ru_maxrss = 3 * 2**20

    monkeypatch.setattr(devices, "Path", lambda name: tmp_path / "none")
    monkeypatch.setattr(devices.resource, "getrusage", lambda who: Usage)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    assert devices.peak_memory_mb()["host"] == 3 * 1024  # 3 * 2**20 KiB
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    assert devices.peak_memory_mb()["host"] == 3  # 3 * 2**20 bytes


def test_cuda_memory_is_reported_beside_the_hosts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda where: 5 * 2**20)
    assert devices.peak_memory_mb(torch.device("cuda"))["cuda"] == 5


def full(limit, calls):
    """Work that fits for so many items, and keeps how many each call got."""

    def work(items):
        calls.append(len(items))
        if sum(items) > limit:
            raise torch.OutOfMemoryError("no room")
        return sum(items)

    return work


def test_what_does_not_fit_is_halved_remembered_and_said(caplog):
    room, calls = devices.Room("post", 8), []
    assert list(room.each(full(3, calls), [1] * 10)) == [2] * 5
    assert calls == [8, 4, 2, 2, 2, 2, 2]
    assert list(room.each(full(3, calls), [1] * 3)) == [2, 1]  # it starts with what fitted
    assert calls[7:] == [2, 1]
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{n} posts at once do not fit into the memory; from here on {n // 2}" for n in (8, 4)]
    assert room.at_once == 2
    assert list(room.each(full(3, calls), [])) == []


def test_room_counts_what_items_add_up_to():
    room, calls = devices.Room("text", 40), []
    assert room.fit(full(100, calls), [10] * 9, size=10) == (4, 40)
    assert room.fit(full(25, calls), [10] * 9, size=10) == (2, 20)
    assert (calls, room.at_once) == ([4, 4, 2], 20)
    assert room.fit(full(99, calls), [70, 1], size=70) == (1, 70)  # one item is tried whatever it takes


def test_another_threads_halving_is_not_halved_again(caplog):
    room = devices.Room("text", 8)

    def work(items):
        if len(items) > 2:
            room.at_once = 2  # by another thread, meanwhile
            raise MemoryError
        return len(items)

    assert room.fit(work, range(8)) == (2, 2)
    assert room.at_once == 2
    assert not caplog.records


def test_one_item_without_room_is_one_sentence_and_other_errors_stay_themselves():
    def broken(items):
        raise RuntimeError("shapes differ")

    room = devices.Room("post", 2, "take a smaller model")
    with pytest.raises(devices.FullError, match="not even one post fits into the memory; take a smaller model"):
        room.fit(full(0, []), [1, 1])
    with pytest.raises(RuntimeError, match="shapes differ"):
        devices.Room("post", 2).fit(broken, [1, 1])


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("size mismatch"), False),
    ],
)
def test_errors_about_memory_are_told_from_others(error, is_memory):
    assert devices.out_of_memory(error) is is_memory


def test_looking_at_results_does_not_load_torch():
    code = "import sys, workbench.device as d; d.peak_memory_mb(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
def test_a_gpu_computes_in_the_number_format_chosen():
    where = devices.device("cuda")
    total = torch.ones(8, 8, device=where, dtype=devices.dtype(where)).sum().item()
    assert total == 64  # exact in bfloat16 too: a power of two
    assert devices.peak_memory_mb(where)["cuda"] > 0
