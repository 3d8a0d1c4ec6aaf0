"""How many CPUs the process's control groups allow it."""

from pathlib import Path


def quota_cpus(root: Path) -> float | None:
    """Return the CPU limit of this process's cgroup and its ancestors, in CPUs; None where there is none."""
    limits = [_version_2(folder) for folder in _folders(root, "")]
    limits += [_version_1(folder) for folder in _folders(root, "cpu")]
    return min((limit for limit in limits if limit is not None), default=None)


def _folders(root: Path, controller: str) -> list[Path]:
    """Return this process's folder and its ancestors: of cgroup v1's controller, or of v2 where that is empty."""
    mount = root / "sys/fs/cgroup" / controller
    folder = mount / _own_group(root, controller).lstrip("/")
    inside = [parent for parent in (folder, *folder.parents) if parent.is_relative_to(mount)]
    return [parent for parent in inside if parent.is_dir()]


def _own_group(root: Path, controller: str) -> str:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return ""


def _version_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _version_1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
        period = int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None
