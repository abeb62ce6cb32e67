"""The workbench ./dev: it has to work, or say in one line what to do, on machines unlike ours."""

import ast
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
LOCK_FILES = [*sorted((CHECKOUT / "requirements").glob("*.txt")), CHECKOUT / "tools.lock.json"]


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    loader = SourceFileLoader("dev", str(CHECKOUT / "dev"))
    spec = spec_from_loader("dev", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def copy_of_the_workbench(place: Path) -> Path:
    for name in ("dev", "tools.lock.json", "pyproject.toml"):
        (place / name).write_bytes((CHECKOUT / name).read_bytes())
    (place / "requirements").mkdir()
    for lock in (CHECKOUT / "requirements").iterdir():
        (place / "requirements" / lock.name).write_bytes(lock.read_bytes())
    return place / "dev"


def run_dev(script: Path, *args: str, path: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "HOME": str(script.parent), "LANG": "C.UTF-8"}
    argv = [sys.executable, str(script), *args]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize(
    "system,machine,libc,cpu_flags,package",
    [
        ("Linux", "x86_64", "glibc", "sse4_2 avx2", "opencode-linux-x64"),
        ("Linux", "x86_64", "glibc", "sse4_2", "opencode-linux-x64-baseline"),
        ("Linux", "x86_64", "", "avx2", "opencode-linux-x64-musl"),
        ("Linux", "x86_64", "", "", "opencode-linux-x64-baseline-musl"),
        ("Linux", "aarch64", "glibc", "", "opencode-linux-arm64"),
        ("Linux", "aarch64", "", "", "opencode-linux-arm64-musl"),
        ("Darwin", "arm64", "", "", "opencode-darwin-arm64"),
        ("Darwin", "x86_64", "", "", "opencode-darwin-x64"),
    ],
)
def test_each_machine_gets_its_own_opencode(
    dev: ModuleType, system: str, machine: str, libc: str, cpu_flags: str, package: str
) -> None:
    assert dev.opencode_package(system, machine, libc, cpu_flags) == package


def test_a_machine_opencode_is_not_built_for_is_told_so(dev: ModuleType) -> None:
    with pytest.raises(dev.Lacking, match="no build for Linux on riscv64"):
        dev.opencode_package("Linux", "riscv64", "glibc", "")


def test_a_package_without_a_locked_digest_is_not_fetched(dev: ModuleType) -> None:
    lock = json.loads((CHECKOUT / "tools.lock.json").read_text())["opencode"]
    with pytest.raises(dev.Lacking, match=r"no digest of opencode-plan9-x64.*OPENCODE_BIN"):
        dev.locked_integrity(lock, "opencode-plan9-x64")


def test_a_fetched_file_must_have_the_locked_digest_or_it_is_deleted(dev: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "package.tgz"
    file.write_bytes(b"as published")
    digest = "sha512-" + base64.b64encode(hashlib.sha512(b"as published").digest()).decode()
    dev.check_integrity(file, digest)
    file.write_bytes(b"as tampered with")
    with pytest.raises(dev.Trouble, match="is not what"):
        dev.check_integrity(file, digest)
    assert not file.exists()


@pytest.mark.parametrize("verb", ["setup", "demo", "test"])
def test_without_git_there_is_one_line_that_says_how_to_get_it(verb: str, tmp_path: Path) -> None:
    done = run_dev(copy_of_the_workbench(tmp_path), verb, path="")
    assert done.returncode == 1
    assert re.fullmatch(r" ✗ git not found: .*apt-get install -y git.*\n", done.stderr)


def test_without_npm_only_opencode_is_lacking_and_the_line_says_how_to_get_it(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(dev.Lacking, match=r"npm not found.*apt-get install -y nodejs npm"):
        dev.find_npm()


def test_without_uv_and_pip_there_is_one_line_that_says_how_to_get_them(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dev, "DEV", tmp_path)
    monkeypatch.setattr(dev, "has_module", lambda name: False)
    with pytest.raises(dev.Trouble, match=r"neither uv nor pip found: sudo apt-get install -y python3-pip"):
        dev.find_uv()


def test_it_parses_on_a_python_that_is_too_old_so_that_it_can_say_so(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ast.parse((CHECKOUT / "dev").read_text(), feature_version=(3, 6))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dev, "OLDEST_PYTHON", (99, 0))
    with pytest.raises(dev.Trouble, match=r"newer is needed, this is 3\..*apt-get install"):
        dev.require_python()


def test_an_unknown_verb_is_answered_with_the_verbs_there_are() -> None:
    done = run_dev(CHECKOUT / "dev", "frobnicate", path=os.defpath)
    assert done.returncode == 2
    assert "setup, demo, test, check, reset" in done.stderr


def test_help_names_every_verb(dev: ModuleType) -> None:
    done = run_dev(CHECKOUT / "dev", "help", path=os.defpath)
    assert done.returncode == 0
    assert [verb for verb in dev.VERBS if f"./dev {verb}" not in done.stdout] == []


def test_reset_deletes_what_the_others_made_and_nothing_else(tmp_path: Path) -> None:
    script = copy_of_the_workbench(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".dev/logs").mkdir(parents=True)
    assert run_dev(script, "reset", path=os.defpath).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dev",
        "pyproject.toml",
        "requirements",
        "tools.lock.json",
    ]


@pytest.mark.parametrize("lock", LOCK_FILES, ids=lambda path: path.name)
def test_locks_name_no_host(lock: Path) -> None:
    assert re.findall(r"\w+://\S*|--\S*index\S*|--find-links.*|file:.*", lock.read_text()) == []


def test_the_package_asks_for_what_the_runtime_lock_pins() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    asked = sorted(re.split(r"[<>=!~;\s]", line, maxsplit=1)[0] for line in project["dependencies"])
    listed = (CHECKOUT / "requirements/runtime.in").read_text().splitlines()
    assert asked == sorted(line.split("==")[0] for line in listed if line and not line.startswith("#"))
