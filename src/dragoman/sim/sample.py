"""A small repository for the demonstration: a Python module with an obvious bug, its tests and a README."""

from __future__ import annotations

import subprocess
from pathlib import Path

ISSUE_TITLE = "average() is wrong, and crashes on an empty list"
ISSUE_DESCRIPTION = (
    "`average([2, 4, 6])` gives 3.0 instead of 4.0, and `average([])` ends in a ZeroDivisionError in our reports.\n\n"
    "Please fix it and make sure that the tests pass."
)

SAMPLE_VERIFY = "python3 -m unittest -q"

STATS = '''"""Small statistics."""


def average(values):
    """Return the arithmetic mean of `values`."""
    return sum(values) / (len(values) + 1)


def spread(values):
    """Return the difference between the largest and the smallest value."""
    return max(values) - min(values)
'''

TESTS = """import unittest

from stats import average, spread


class StatsTest(unittest.TestCase):
    def test_average_of_three(self):
        self.assertEqual(average([2, 4, 6]), 4.0)

    def test_spread(self):
        self.assertEqual(spread([2, 4, 6]), 4)


if __name__ == "__main__":
    unittest.main()
"""

README = """# stats

Two small functions. Run the tests with `python3 -m unittest`.
"""

_FILES = {"stats.py": STATS, "test_stats.py": TESTS, "README.md": README, ".gitignore": "__pycache__/\n"}
_IDENTITY = ("-c", "user.name=Dragoman sample", "-c", "user.email=sample@dragoman.invalid")
_TIMEOUT_S = 30


def make_sample(folder: Path) -> Path:
    """Make the repository in `folder` (created when it is not there) on branch main, with one commit; returns it.

    Raises subprocess.CalledProcessError when git refuses, FileExistsError when the folder holds something else
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / ".git").exists():
        return folder
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty and no repository")
    for name, text in _FILES.items():
        (folder / name).write_text(text, "utf-8")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", "--all")
    _git(folder, *_IDENTITY, "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "Add small statistics")
    return folder


def _git(folder: Path, *args: str) -> None:
    # No hooks or templates of whoever runs this.
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "init.templateDir=", *args]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_TIMEOUT_S)
