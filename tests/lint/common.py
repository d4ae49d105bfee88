# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lint scripts share: which files are the project's, and how to report."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CXX_SUFFIXES = {".cc", ".h"}


def files():
    """The project's files, relative to ROOT: what git tracks, or all of an exported tree."""
    if (ROOT / ".git").exists():
        out = subprocess.run(["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
                             check=True, capture_output=True, text=True).stdout
        found = [pathlib.Path(name) for name in out.split("\0") if name]
    else:
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        found = [path for path in found if path.parts[0] != "build"]
    found = sorted(path for path in found if (ROOT / path).is_file())
    if len(found) < 20:
        sys.exit(f"only {len(found)} files found below {ROOT}: this check would check nothing")
    return found


def text(path):
    """A file's text, None if it is not text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def our_cxx():
    """C and C++ in our own style; src/qemu follows QEMU's, guests stand alone."""
    return [path for path in files()
            if path.suffix in CXX_SUFFIXES and path.parts[0] in ("src", "tests")
            and path.parts[:2] not in (("src", "qemu"), ("tests", "guest"))]


def finish(name, checked, problems):
    """Prints the problems and leaves with their verdict."""
    for problem in problems:
        print(problem)
    if checked == 0:
        sys.exit(f"{name}: nothing was checked")
    print(f"{name}: {checked} checked, {len(problems)} problem(s)")
    sys.exit(1 if problems else 0)
