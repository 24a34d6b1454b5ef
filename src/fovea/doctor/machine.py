"""What a training runs on: torch and its device, cores, memory, and what `machine` of params.yaml asks for."""

import os
import shlex
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fovea.doctor.finding import GB, SECONDS, Finding, Place, within
from fovea.errors import UserError, one_line
from fovea.params.machine import MachineParams

LITTLE_MEMORY = 2 * GB  # torch and MLflow alone take one
OWN_CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
GET_TORCH = "https://pytorch.org/get-started/locally"


def check_torch(place: Place) -> Iterator[Finding]:
    """Whether torch and torchvision fit together, which device trains, and why it is not a GPU that is there."""
    import torch
    import torchvision

    found = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    try:
        torchvision.ops.nms(torch.zeros(1, 4), torch.ones(1), 0.5)
    except (RuntimeError, NotImplementedError) as error:
        yield Finding("error", f"{found}: were not built for each other: {one_line(error)}",
                      "uv sync --reinstall-package torch --reinstall-package torchvision")
    machine = place.read("machine", MachineParams)
    wanted = machine.device if machine else "auto"
    gpus, driver, problem = gpus_of_driver()
    if problem:
        yield Finding("warning", problem, "restart this machine, so that it loads the driver that is installed")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        device, refusal = try_device(wanted)
    if device.type != "cuda" and wanted in ("auto", "cuda") and gpus:
        seen = why_unseen(torch.__version__, torch.version.cuda, driver, [str(each.message) for each in said])
        yield Finding("warning", f"{', '.join(gpus)}: torch does not use it: {seen[0]}", seen[1])
    if refusal:
        yield Finding("error", refusal, "set machine.device: auto, or cpu")
    else:
        yield _describe(f"{found}; machine.device: {wanted} is", device)


def try_device(name: str) -> tuple[Any, str]:
    """The device of `machine.device: name` after a sum on it; else the CPU and why it cannot be had."""
    import torch

    from fovea.training.device import choose_device

    try:
        device = choose_device(name)
        torch.ones(8, device=device).sum().item()
    except (UserError, RuntimeError) as error:  # a GPU for which this torch has no code raises at its first sum
        return torch.device("cpu"), one_line(error)
    return device, ""


def _describe(found: str, device: Any) -> Finding:
    import torch

    from fovea.training.device import describe

    found = f"{found} {describe(device)}"
    if device.type != "cuda":
        return Finding("ok", found)
    free, total = torch.cuda.mem_get_info(device)
    found = f"{found}, {free / GB:.0f} of {total / GB:.0f} GB free"
    if free < total / 2:
        return Finding("warning", found, "nvidia-smi shows which programs hold the rest")
    return Finding("ok", found)


def gpus_of_driver() -> tuple[list[str], int, str]:
    """Names of the GPUs that NVIDIA's driver has, the CUDA that it knows (12040 is 12.4), and its fault, "" if none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(each)) for each in handles], pynvml.nvmlSystemGetCudaDriverVersion(), ""
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return [], 0, ""  # there is none
    except pynvml.NVMLError as error:  # such as one that was updated under the programs that run
        return [], 0, f"NVIDIA's driver does not answer: {one_line(error)}"


def why_unseen(torch: str, cuda: str | None, driver: int, said: list[str]) -> tuple[str, str]:
    """Reason and remedy where torch does not see a GPU. `cuda` is what torch was built for, None for CPUs alone;
    `driver` is what the driver knows; `said` are torch's own warnings."""
    if cuda is None:
        return f"{torch} was built without CUDA", f"install one with it, see {GET_TORCH}"
    if driver // 1000 < int(cuda.partition(".")[0]):
        known = f"{driver // 1000}.{driver % 1000 // 10}"
        return (f"it was built for CUDA {cuda}, the driver knows {known}",
                f"update NVIDIA's driver, or install a torch for CUDA {driver // 1000}, see {GET_TORCH}")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES"
    return " ".join(" ".join(said).split())[:300] or "it gives no reason", "see whether nvidia-smi lists it; restart"


def check_cpu(place: Place) -> Iterator[Finding]:
    """Cores that this process may use, and the threads that would share them."""
    import torch

    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    limit, _ = cgroup_limits()
    usable = max(1, int(min(cores, allowed, limit or cores)))
    machine = place.read("machine", MachineParams)
    workers = machine.workers if machine and machine.workers else cores
    found = f"{usable} of {cores} cores" if usable < cores else f"{cores} cores"
    if max(workers, threads) > usable:
        yield Finding("warning", f"{found} are fewer than {workers} threads to decode or {threads} to compute",
                      f"export OMP_NUM_THREADS={usable}, and machine.workers: {usable} in params.yaml")
    elif "OMP_NUM_THREADS" in os.environ and threads < usable and _on_cpu(machine):
        yield Finding("warning", f"{found}, of which training uses {threads}, by OMP_NUM_THREADS",
                      "unset OMP_NUM_THREADS, unless other work needs the other cores")
    else:
        yield Finding("ok", f"{found}, torch uses {threads} threads")


def _on_cpu(machine: MachineParams | None) -> bool:
    return try_device(machine.device if machine else "auto")[0].type == "cpu"


def check_memory(place: Place) -> Iterator[Finding]:
    """Memory of the machine, or of the container where that has less."""
    import psutil

    memory = psutil.virtual_memory()
    _, limit = cgroup_limits()
    total = min(memory.total, limit or memory.total)
    free = min(memory.available, total)
    found = f"{total / GB:.1f} GB{', by a limit' if total < memory.total else ''}, {free / GB:.1f} free"
    if free < LITTLE_MEMORY:
        yield Finding("warning", f"{found}: a stage that gets no more is killed without a word",
                      "end other programs; a smaller train.batch_size and augment.image_size take less")
    else:
        yield Finding("ok", found)


def cgroup_limits(own: Path = OWN_CGROUP, groups: Path = CGROUPS) -> tuple[float | None, int | None]:
    """Cores and bytes of memory that a container or a service leaves to this process; None where it does not say.

    `own` lists the groups of this process, below `groups` (cgroups, version 1 and 2).
    """
    cores: list[float] = []
    memory: list[int] = []
    for folder in _groups(own, groups):
        share = _words(folder, "cpu.max") or _words(folder, "cpu.cfs_quota_us") + _words(folder, "cpu.cfs_period_us")
        if len(share) == 2 and share[0].isdecimal():  # "max" or "-1" for no limit
            cores.append(int(share[0]) / int(share[1]))
        memory += [int(word) for word in _words(folder, "memory.max") + _words(folder, "memory.limit_in_bytes")
                   if word.isdecimal()]
    return min(cores, default=None), min(memory, default=None)


def _groups(own: Path, groups: Path) -> Iterator[Path]:
    """Folders of this process's groups and of those above, whose limits hold too. A container may not see its own."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # macOS
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else [""]:
            top = groups / controller
            folder = top / path.strip("/")
            yield from (each for each in (folder, *folder.parents) if each.is_relative_to(top))


def _words(folder: Path, name: str) -> list[str]:
    try:
        return (folder / name).read_text(encoding="utf-8").split()
    except OSError:
        return []


def check_launcher(place: Place) -> Iterator[Finding]:
    """Whether what `machine.launcher` starts is there."""
    machine = place.read("machine", MachineParams)
    if machine and machine.launcher:
        program = shlex.split(machine.launcher)[0]
        if shutil.which(program):
            yield Finding("ok", f"machine.launcher: {machine.launcher}")
        else:
            yield Finding("error", f"machine.launcher: {program} is not on the PATH",
                          "correct machine.launcher, or set it to null for one process")


def check_cluster(place: Place) -> Iterator[Finding]:
    """Whether the Ray cluster of `machine.engine: ray` answers."""
    from fovea.engine import require_answer
    from fovea.store import library_version

    machine = place.read("machine", MachineParams)
    if not machine or machine.engine != "ray":
        return
    if library_version("ray") == "none":
        yield Finding("error", "machine.engine: ray needs Ray, which is not installed",
                      "uv sync --extra ray, or machine.engine: local")
        return
    address = os.environ.get("RAY_ADDRESS")
    found = f"Ray {library_version('ray')}, {address or 'on this machine alone, since RAY_ADDRESS is not set'}"
    try:
        within(SECONDS, lambda: require_answer(address))
        yield Finding("ok", found)
    except OSError as error:  # TimeoutError is one
        yield Finding("error", f"{found}: does not answer: {one_line(error)}",
                      "start it (ray start --head), correct RAY_ADDRESS, or unset it for one on this machine")
