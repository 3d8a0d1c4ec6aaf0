"""Files of hourly intensities around the moment at which a test runs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path


def dirty_now(folder: Path, g_per_kwh: float) -> str:
    """A day that is clean but for the hour that we have, and the next should it begin meanwhile."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [now + timedelta(hours=offset) for offset in range(-12, 13)]
    lines = [f"{hour.isoformat()},{g_per_kwh if now <= hour <= now + timedelta(hours=1) else 0}" for hour in hours]
    path = folder / "grid.csv"
    path.write_text("\n".join(["datetime,g_per_kwh", *lines]))
    return str(path)
