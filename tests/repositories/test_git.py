"""git gets a clean environment and a deadline, and its errors say what happened."""

import asyncio
from pathlib import Path

import pytest

from dragoman.errors import GitError
from dragoman.repositories import git as git_module
from dragoman.repositories.git import LOCAL_ONLY, git
from tests.repositories.upstream import until

SLOW = "!sleep 600 & echo $! > child; wait"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def child_in(folder: Path) -> int:
    """The child that SLOW has started; 0 when it has not got so far."""
    try:
        return int((folder / "child").read_text() or 0)
    except FileNotFoundError:
        return 0


async def test_the_environment_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAR_ACCESS_TOKEN", "canary")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/bin/evil")
    printed = (await git("-c", "alias.show=!env", "show-env", cwd=tmp_path, deadline_s=20, ok_codes=(1,))).decode()
    assert printed == ""
    printed = (await git("-c", "alias.dump=!env", "dump", cwd=tmp_path, deadline_s=20)).decode()
    assert "canary" not in printed
    assert "/elsewhere" not in printed
    assert "evil" not in printed
    assert "HOME=/dev/null" in printed


async def test_the_users_configuration_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[alias]\n\tcanary = !echo canary\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(GitError, match="canary"):
        await git("canary", cwd=tmp_path, deadline_s=20)


async def test_at_the_deadline_git_and_its_children_are_ended(tmp_path: Path) -> None:
    deadline_s = 1.0
    while not child_in(tmp_path):  # a busy machine may need longer to get so far
        with pytest.raises(GitError, match="took longer than") as caught:
            await git("-c", f"alias.slow={SLOW}", "slow", cwd=tmp_path, deadline_s=deadline_s)
        assert caught.value.retryable
        deadline_s *= 4
    await until(lambda: not alive(child_in(tmp_path)))


async def test_a_cancelled_git_is_ended(tmp_path: Path) -> None:
    task = asyncio.create_task(git("-c", f"alias.slow={SLOW}", "slow", cwd=tmp_path, deadline_s=500))
    await until(lambda: child_in(tmp_path) > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(child_in(tmp_path)))


@pytest.mark.parametrize("turns", range(4))
async def test_a_git_that_is_cancelled_while_it_is_being_started_is_ended_with_its_children(
    tmp_path: Path, turns: int
) -> None:
    task = asyncio.create_task(git("-c", f"alias.slow={SLOW}", "slow", cwd=tmp_path, deadline_s=500))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: not alive(child_in(tmp_path)))  # killed is not gone yet


async def test_endless_output_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "MAX_OUTPUT", 1 << 20)
    with pytest.raises(GitError, match="printed more than 1 MiB"):
        await git("-c", "alias.yes=!yes", "yes", cwd=tmp_path, deadline_s=20)


async def test_an_error_holds_the_last_lines_and_no_secret(tmp_path: Path) -> None:
    script = (
        "!for n in $(seq 50000); do echo line $n >&2; done; echo fatal: https://ada:hunter2@host/x, tok-123 >&2; exit 3"
    )
    with pytest.raises(GitError) as caught:
        await git(
            "-c", f"alias.bad={script}", "bad", cwd=tmp_path, deadline_s=30, env_extra={"MY_PASSWORD": "tok-123"}
        )  # fmt: skip
    message = str(caught.value)
    assert "line 50000" in message
    assert "https://[secret]@host/x" in message
    assert "hunter2" not in message
    assert "tok-123" not in message
    assert len(message) < 1200


@pytest.mark.parametrize(
    "complaint, retryable",
    [
        ("fatal: Authentication failed for 'https://host/'", False),
        ("fatal: could not read Username for 'https://host': terminal prompts disabled", False),
        ("The requested URL returned error: 403", False),
        ("fatal: '/nowhere' does not appear to be a git repository", False),
        ("fatal: unable to access 'https://host/': Could not resolve host: host", True),
        ("The requested URL returned error: 503", True),
        ("fatal: Unable to create '/x/packed-refs.lock': File exists.", True),
        ("fatal: write error: No space left on device", True),
    ],
)
async def test_only_what_another_attempt_can_change_is_retryable(
    tmp_path: Path, complaint: str, retryable: bool
) -> None:
    with pytest.raises(GitError) as caught:
        await git(
            "-c",
            'alias.bad=!echo "$SAID" >&2; false',
            "bad",
            cwd=tmp_path,
            deadline_s=20,
            env_extra={"SAID": complaint},
        )
    assert caught.value.retryable is retryable


async def test_a_missing_directory_and_a_missing_git_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GitError, match="is not there"):
        await git("version", cwd=tmp_path / "gone", deadline_s=20)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="not installed"):
        await git("version", cwd=tmp_path, deadline_s=20)


async def test_no_transport_works_unless_it_is_asked_for(tmp_path: Path) -> None:
    await git("init", "-q", "--bare", "x.git", cwd=tmp_path, deadline_s=20)
    with pytest.raises(GitError, match="transport 'file' not allowed"):
        await git("ls-remote", "--", str(tmp_path / "x.git"), cwd=tmp_path, deadline_s=20)
    assert (
        await git("ls-remote", "--", str(tmp_path / "x.git"), cwd=tmp_path, deadline_s=20, env_extra=LOCAL_ONLY) == b""
    )
    with pytest.raises(GitError, match="not allowed"):
        await git("ls-remote", "--", "ext::touch ran", cwd=tmp_path, deadline_s=20, env_extra=LOCAL_ONLY)
    assert not (tmp_path / "ran").exists()


async def test_commits_carry_our_identity_with_no_home(tmp_path: Path) -> None:
    await git("init", "-q", "x", cwd=tmp_path, deadline_s=20)
    await git("commit", "-q", "--allow-empty", "-m", "x", cwd=tmp_path / "x", deadline_s=20)
    who = await git("log", "-1", "--format=%an <%ae> %cn", cwd=tmp_path / "x", deadline_s=20)
    assert who.decode().strip() == "Dragoman <dragoman@localhost> Dragoman"
