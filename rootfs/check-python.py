"""Runs in the finished tree: every module of the standard library is there and loads."""

import importlib
import os
import pkgutil
import ssl
import subprocess
import sys
import zoneinfo

# Not in the image, or not for this system.
ABSENT = {
    "antigravity", "distutils", "distutils_system_mod", "ensurepip", "idlelib", "lib2to3",
    "msilib", "nis", "nt", "pydoc_data", "this", "tkinter", "turtle", "turtledemo", "venv",
    "winreg", "winsound",
}


def module_names():
    folders = [folder for folder in sys.path if folder.startswith("/usr/lib/python3")]
    for module in pkgutil.iter_modules(folders):
        if module.name.lstrip("_") not in ABSENT and not module.name.startswith("__"):
            yield module.name
    yield from sys.builtin_module_names


def main():
    loaded = 0
    missing = []
    for name in sorted(set(module_names())):
        try:
            importlib.import_module(name)
            loaded += 1
        except ImportError as error:
            missing.append(f"{name}: {error}")
    if missing:
        sys.exit("modules that do not load: " + "; ".join(missing))
    trusted = len(ssl.create_default_context().get_ca_certs())
    if trusted < 100:
        sys.exit(f"only {trusted} authorities are trusted")
    zoneinfo.ZoneInfo("Europe/Berlin")
    # The shell, and commands by busybox.
    said = subprocess.run("echo $(ls / | wc -l)", shell=True, check=True, capture_output=True)
    if int(said.stdout) < 10:
        sys.exit(f"the shell says {said.stdout}")
    sources = compiled = 0
    for folder, _, files in os.walk("/usr/lib"):
        if os.path.basename(folder) == "__pycache__":
            compiled += len(files)
        else:
            sources += sum(name.endswith(".py") for name in files)
    if compiled < sources * 0.95:
        sys.exit(f"{compiled} compiled of {sources} sources")
    print(f"{loaded} modules load, {trusted} authorities, {compiled} of {sources} compiled")


main()
