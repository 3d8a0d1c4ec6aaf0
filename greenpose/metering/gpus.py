"""Which NVIDIA GPUs a process uses, as their driver knows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from greenpose.errors import MeteringError
from greenpose.metering.host import Absent, Host, Unusable
from greenpose.metering.visible import SLICE, UUID, VARIABLE, visible_gpus

NAME = "the GPU's energy counter (NVML)"
TRACES = ("proc/driver/nvidia", "dev/nvidiactl", "dev/dxg")
"""One of these is there wherever the driver is: on the machine itself, in a container, under Windows' Linux."""
ORDER = "CUDA_DEVICE_ORDER"
BY_SLOT = "PCI_BUS_ID"

TROUBLES = {
    "NVML_ERROR_LIBRARY_NOT_FOUND": (
        "the driver's library, libnvidia-ml.so.1, is not found",
        "install NVIDIA's driver; start a container with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    ),
    "NVML_ERROR_DRIVER_NOT_LOADED": (
        "NVIDIA's driver is not loaded",
        "sudo modprobe nvidia; if that fails, install the driver for the running kernel",
    ),
    "NVML_ERROR_NO_PERMISSION": (
        "this user may not open the GPU's device files",
        "sudo usermod -aG video $USER and log in again (ls -l /dev/nvidiactl shows the group)",
    ),
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": (
        "the driver's library is of another version than the loaded driver, as after an update",
        "reboot",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as the driver knows it."""

    place: int
    """The driver's number for it."""
    name: str
    """Its model."""
    uuid: str
    """Its UUID, GPU-..."""
    handle: Any
    """What the library calls it by."""

    def __str__(self) -> str:
        """Return what an error calls it."""
        return f"GPU {self.place} ({self.name})"

    def ask(self, library: Any, question: Callable[[Any], Any]) -> Any:
        """Return what the library answers about it.

        Raises:
            MeteringError: if it answers with an error.
        """
        try:
            return question(self.handle)
        except library.NVMLError as error:
            raise MeteringError(f"{self}: {error}") from None


def used_gpus(host: Host) -> tuple[Any, list[Gpu]] | Unusable | Absent:
    """Return the driver's library and the GPUs that the process uses."""
    absent = _absence(host)
    if absent is not None:
        return absent
    try:
        library = host.nvml()
    except ImportError:
        return Unusable(name=NAME, why="the package nvidia-ml-py is missing", remedy="pip install nvidia-ml-py")
    try:
        library.nvmlInit()
        known = [_gpu(library, place) for place in range(library.nvmlDeviceGetCount())]
    except library.NVMLError as error:
        return _trouble(library, error)
    used = _choose(host, known)
    if not isinstance(used, list):
        return used
    return _whole(library, used)


def _absence(host: Host) -> Absent | None:
    """Return why it is certain, without asking the driver, that the process uses no GPU; None if it may use one."""
    if host.gpus == ():
        return Absent(why="this process computes without one")
    if host.environ.get(VARIABLE, "all").strip() in ("", "-1"):
        return Absent(why=f"{VARIABLE} hides them from this process")
    traced = any((host.root / trace).exists() for trace in TRACES)
    if host.gpus is None and not host.machine.gpus and not traced:
        return Absent(why="no driver of NVIDIA's is there")
    return None


def _gpu(library: Any, place: int) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(place)
    return Gpu(
        place=place, name=library.nvmlDeviceGetName(handle), uuid=library.nvmlDeviceGetUUID(handle), handle=handle
    )


def _choose(host: Host, known: Sequence[Gpu]) -> list[Gpu] | Unusable | Absent:
    """Return those of the known GPUs that the process uses."""
    setting = host.environ.get(VARIABLE)
    if setting is not None and setting.strip().startswith(SLICE):
        return _slice(f"{VARIABLE} names a slice of a GPU")
    visible = visible_gpus(setting, [gpu.uuid for gpu in known])
    wanted = range(len(visible)) if host.gpus is None else host.gpus
    if not wanted:
        return Absent(why=f"{VARIABLE} hides them from this process" if known else "the driver lists none")
    if max(wanted) >= len(visible):
        return Unusable(
            name=NAME,
            why=f"this process uses cuda:{max(wanted)}, but the driver shows it {len(visible)} GPUs",
            remedy=f"check {VARIABLE} and nvidia-smi",
        )
    used = [known[visible[number]] for number in wanted]
    named = setting is not None and setting.startswith(UUID)
    if len(used) < len(known) and not named and host.environ.get(ORDER) != BY_SLOT and _mixed(known):
        return Unusable(
            name=NAME,
            why="the GPUs differ, CUDA numbers them by speed and the driver by slot: which one is used cannot be told",
            remedy=f"export {ORDER}={BY_SLOT}",
        )
    return used


def _mixed(gpus: Sequence[Gpu]) -> bool:
    return len({gpu.name for gpu in gpus}) > 1


def _whole(library: Any, gpus: list[Gpu]) -> tuple[Any, list[Gpu]] | Unusable:
    """Return the GPUs if none of them is split."""
    for gpu in gpus:
        try:
            split = library.nvmlDeviceGetMigMode(gpu.handle)[0]
        except library.NVMLError:
            continue
        if split:
            return _slice(f"{gpu} is split into slices")
    return library, gpus


def _slice(what: str) -> Unusable:
    why = f"{what} (MIG); the counter is the whole board's, and what one slice draws of it cannot be told"
    return Unusable(name=NAME, why=why, remedy="use a whole GPU, or have MIG switched off")


def _trouble(library: Any, error: Exception) -> Unusable:
    code = getattr(error, "value", None)
    for name, (why, remedy) in TROUBLES.items():
        if getattr(library, name) == code:
            return Unusable(name=NAME, why=why, remedy=remedy)
    return Unusable(name=NAME, why=f"the driver answers: {error}", remedy="see what nvidia-smi says")
