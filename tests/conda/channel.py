"""A conda channel on disk: this machine's Python, and pip, as conda packages.

The packages link to this machine's system libraries: they serve tests on the machine that made them.
"""

import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

SUBDIR = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}.get(platform.machine(), platform.machine())
SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY = f"lib/python{SERIES}"
LEFT_OUT = ("site-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "__pycache__", "config-*")


@dataclass(frozen=True)
class Package:
    """A conda package: its name, version, what it depends on, and a folder with the files of the prefix."""

    name: str
    version: str
    depends: list[str]
    files: Path


def write_channel(folder: Path, workplace: Path, patchelf: Path) -> None:
    """Write a channel with `python` and `pip` to `folder`.

    workplace: an empty folder for copies; patchelf: the program, which tells a copied Python where its library is.
    """
    python = _copy_python(workplace / "python", patchelf)
    pip = _copy_pip(workplace / "pip")
    (folder / SUBDIR).mkdir(parents=True)
    records = dict(_pack(package, folder / SUBDIR) for package in (python, pip))
    for subdir, packages in ((SUBDIR, records), ("noarch", {})):
        (folder / subdir).mkdir(exist_ok=True)
        index = {"info": {"subdir": subdir}, "packages": packages, "packages.conda": {}, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_text(json.dumps(index))


def _copy_python(root: Path, patchelf: Path) -> Package:
    base = Path(sys.base_prefix)
    shutil.copytree(base / LIBRARY, root / LIBRARY, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (root / LIBRARY / "site-packages").mkdir()
    (root / LIBRARY / "site-packages/README.txt").write_text("packages go here\n")
    program = root / f"bin/python{SERIES}"
    program.parent.mkdir()
    shutil.copy2(Path(sys.executable).resolve(), program)
    for name in ("python", "python3"):
        (program.parent / name).symlink_to(program.name)
    library = sysconfig.get_config_var("INSTSONAME")
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        shutil.copy2(Path(sysconfig.get_config_var("LIBDIR"), library), root / "lib" / library)
        subprocess.run([patchelf, "--set-rpath", "$ORIGIN/../lib", program], check=True)
    return Package("python", platform.python_version(), [], root)


def _copy_pip(root: Path) -> Package:
    site = root / LIBRARY / "site-packages"
    pip = distribution("pip")
    for file in pip.files:
        if ".." not in file.parts and file.suffix != ".pyc":
            place = site.joinpath(file)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(pip.locate_file(file), place)
    return Package("pip", pip.version, [f"python {SERIES}.*"], root)


def _pack(package: Package, folder: Path) -> tuple[str, dict]:
    """Write the package's archive; its file name and its record in the index."""
    files = [path for path in sorted(package.files.rglob("*")) if path.is_symlink() or path.is_file()]
    names = [path.relative_to(package.files).as_posix() for path in files]
    record = {
        "name": package.name,
        "version": package.version,
        "build": "0",
        "build_number": 0,
        "depends": package.depends,
        "subdir": SUBDIR,
    }
    about = {
        "info/index.json": json.dumps(record),
        "info/files": "".join(f"{name}\n" for name in names),
        "info/paths.json": json.dumps({"paths": list(map(_entry, files, names)), "paths_version": 1}),
    }
    archive = folder / f"{package.name}-{package.version}-0.tar.bz2"
    with tarfile.open(archive, "w:bz2", compresslevel=1) as tar:
        for name, text in about.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        for path, name in zip(files, names, strict=True):
            tar.add(path, name, recursive=False)
    content = archive.read_bytes()
    digests = {kind: hashlib.new(kind, content).hexdigest() for kind in ("md5", "sha256")}
    return archive.name, record | digests | {"size": len(content)}


def _entry(path: Path, name: str) -> dict:
    """What `paths.json` says of a file."""
    if path.is_symlink():
        return {"_path": name, "path_type": "softlink", "sha256": hashlib.sha256().hexdigest(), "size_in_bytes": 0}
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"_path": name, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(content)}
