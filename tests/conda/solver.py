"""`conda env create` from a channel on disk, by rattler's solver and installer, and pip for the section `pip`."""

import asyncio
import re
import subprocess
from pathlib import Path

import yaml
from rattler import Channel, VirtualPackage, install, solve
from rattler.platform import Platform


def create(root: Path, file: Path, prefix: Path) -> None:
    """Make the environment of `file` at `prefix`, with channels from `root`/channels."""
    wanted = yaml.safe_load(file.read_text())
    channels = [(root / "channels" / name).as_uri() for name in wanted["channels"] if name != "nodefaults"]
    conda = [_match_spec(line) for line in wanted["dependencies"] if isinstance(line, str)]
    pip = [pin for section in wanted["dependencies"] if isinstance(section, dict) for pin in section["pip"]]
    asyncio.run(_install(prefix, root / "pkgs", channels, conda))
    subprocess.run([prefix / "bin/python", "-m", "pip", "install", "--quiet", *pip], check=True)


def _match_spec(line: str) -> str:
    """`python =3.11` means any 3.11."""
    return re.sub(r"^([\w.-]+) ?=([\w.]+)$", r"\1 \2.*", line)


async def _install(prefix: Path, cache: Path, channels: list[str], specs: list[str]) -> None:
    records = await solve(
        [Channel(channel) for channel in channels],
        specs,
        platforms=[str(Platform.current()), "noarch"],
        virtual_packages=VirtualPackage.detect(),
    )
    await install(records, prefix, cache_dir=cache, show_progress=False)
