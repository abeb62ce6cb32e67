"""Whatever people and Linear call things, names stay inside their folder and are names for git."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.ids import SessionId
from dragoman.repositories.naming import (
    MAX_BRANCH_BYTES,
    branch_name,
    checkpoint_ref,
    is_branch_name,
    ref_file,
    rescue_ref,
    session_file,
    session_ref,
    slug,
    trusted_path,
    workspace_path,
)
from tests.repositories.upstream import ONE, TWO

ROOT = Path("/data/root")
# One byte of an example is one of these: names are made of what has broken others.
TOKENS = [
    "", "..", "/", "\\", "-", "--", "-x", ".", ".lock", "~", "^", ":", "?", "*", "[", "@{", "@", "HEAD", "refs/heads/",
    "\x00", "\n", "\t", " ", "\x7f", "\x1b[31m", "é", "e\u0301", "ß", "ПРИВЕТ", "漢字", "👩‍💻", "\u202e", "\u200b",
    "\ufeff", "\ud800", "\udfff", "%2e%2e", "%00", "~root", "$HOME", "$(id)", "`id`", ";", "|", "&", "'", '"', "CON",
    "nul", ".git", ".GIT", ".git/hooks", "git~1", "C:\\", "//", "///", "a", "b", "ENG-12", "fix", "x" * 60, "Ä" * 150,
    "0" * 40, "main", "dragoman", "dragoman/", "/etc/passwd", "ı", "İ", "ﬁ", "․․", "．．／", "origin", "_", "+",
]  # fmt: skip
NAMES = 16  # names in one example


def hostile_names(drawn: bytes) -> list[str]:
    width = len(drawn) // NAMES
    pieces = [drawn[n * width : (n + 1) * width] for n in range(NAMES)]
    return ["".join(TOKENS[byte % len(TOKENS)] for byte in piece) for piece in pieces]


EXAMPLES = st.binary(min_size=5 * NAMES, max_size=5 * NAMES).map(hostile_names)
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


def git_accepts(name: str) -> bool:
    checked = subprocess.run(
        ["git", "check-ref-format", "--branch", name], capture_output=True, timeout=20, check=False, cwd="/"
    )
    return checked.returncode == 0 and checked.stdout.decode().rstrip("\n") == name


def inside(root: Path, path: Path) -> bool:
    return os.path.normpath(path) == str(path) and path.is_relative_to(root) and path != root


def stays_inside(names: list[str]) -> None:
    for repository, key in zip(names, (*names[1:], names[0]), strict=True):
        place = workspace_path(ROOT, repository, SessionId(key), key)
        assert inside(ROOT, place)
        assert place.parent.parent == ROOT
        assert inside(ROOT, trusted_path(ROOT, repository))
        assert all(len(part) < 100 and part.isascii() and not part.startswith((".", "-")) for part in place.parts[3:])
        for ref in (
            session_ref(SessionId(key)),
            checkpoint_ref(SessionId(key)),
            rescue_ref(SessionId(key), repository),
        ):
            assert is_branch_name(ref.removeprefix("refs/"))
            assert ref.startswith("refs/dragoman/")
        assert all(name.isalnum() for name in (session_file(SessionId(key)), ref_file(key)))


def branches_of(names: list[str]) -> list[str]:
    """A branch for every name: as a suggestion, beside a title and what is taken already."""
    branches = []
    for suggested, title in zip(names, (*names[1:], names[0]), strict=True):
        branch, again = (
            branch_name(session=ONE, issue_key=title[:9], title=title, suggested=suggested, taken=["main", title])
            for _ in range(2)
        )
        assert branch == again
        assert is_branch_name(branch)
        assert not branch.startswith("-")
        assert len(branch.encode()) <= MAX_BRANCH_BYTES
        assert branch.casefold() not in {"main", title.casefold()}
        branches.append(branch)
    return branches


def refused_by_git(folder: Path, branches: Iterable[str]) -> str:
    """What git says of branches of these names, all in one process; nothing when it would keep each of them.

    It is told to check that there is none yet: the names are looked at, and nothing is written.
    """
    if not (folder / "HEAD").exists():
        subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True, timeout=20)
    told = "".join(f"verify refs/heads/{name}\0{'0' * 40}\0" for name in sorted(set(branches)))
    asked = subprocess.run(
        ["git", "update-ref", "--stdin", "-z"],
        input=f"start\0{told}abort\0".encode(),
        cwd=folder,
        capture_output=True,
        timeout=100,
        check=False,
    )
    return asked.stderr.decode()


@settings(QUICK, max_examples=150)
@given(EXAMPLES)
def test_hostile_names_never_leave_their_folder(names: list[str]) -> None:
    stays_inside(names)


@settings(QUICK, max_examples=150)
@given(EXAMPLES)
def test_hostile_suggestions_become_valid_branches_that_nobody_has(names: list[str]) -> None:
    branches_of(names)


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_50_000_hostile_names_stay_inside_and_git_takes_the_branch_of_each(tmp_path: Path) -> None:
    tried: set[str] = set()
    branches: set[str] = set()

    @settings(QUICK, max_examples=50_000 // NAMES)
    @given(EXAMPLES)
    def run(names: list[str]) -> None:
        stays_inside(names)
        tried.update(names)
        branches.update(branches_of(names), filter(is_branch_name, names))

    run()
    assert len(tried) > 45_000  # random ones, so a few come twice
    assert refused_by_git(tmp_path / "bare.git", branches) == ""


def test_git_says_so_when_a_name_is_wrong(tmp_path: Path) -> None:
    assert refused_by_git(tmp_path / "bare.git", ["a", "a/b", "ünïcode", "x" * MAX_BRANCH_BYTES]) == ""
    for name in ("a..b", "a.lock", "a b", "a~1", ".a", "a/"):
        assert "invalid ref format" in refused_by_git(tmp_path / "bare.git", ["fine", name])


@settings(QUICK, max_examples=25)
@given(EXAMPLES)
def test_git_accepts_what_we_accept(names: list[str]) -> None:
    for name in [name for name in names if is_branch_name(name)][:2]:
        assert git_accepts(name)
    assert git_accepts(
        branch_name(session=ONE, issue_key=names[0], title=names[1], suggested=names[2], taken=names[3:])
    )


@pytest.mark.parametrize(
    "name",
    (
        "|-x|--upload-pack=id|a..b|../../etc|a.lock|a/b.lock/c|.a|a/.b|a/|/a|a//b|a.|@|HEAD|a@{1}|a b|a~1|a^|a:b|a?|a*|a["
        f"|a\\b|a\nb|a\x7f|a\u202eb|e\u0301|refs/heads/a|{'0' * 40}|{'x' * 201}|\ud800"
    ).split("|"),
)
def test_what_is_no_branch_name_is_refused(name: str) -> None:
    assert not is_branch_name(name)


@pytest.mark.parametrize("name", ["ada/eng-12-fix-the-cart", "main", "a@b", "fix#12", "a/-b", "ünïcode", "漢字/修正"])
def test_what_is_a_branch_name_is_accepted(name: str) -> None:
    assert is_branch_name(name)
    assert git_accepts(name)


def test_linears_suggestion_is_taken_as_it_is() -> None:
    assert branch_name(session=ONE, issue_key="ENG-12", title="Fix", suggested="ada/eng-12-fix") == "ada/eng-12-fix"


def test_an_invalid_suggestion_gives_way_to_issue_and_title() -> None:
    name = branch_name(session=ONE, issue_key="ENG-12", title="Fix: the  «cart» (now!)", suggested="-x")
    assert name == "dragoman/eng-12-fix-the-cart-now"


def test_a_session_without_an_issue_has_a_branch_of_its_own() -> None:
    assert branch_name(session=ONE).startswith("dragoman/session-")
    assert branch_name(session=ONE) != branch_name(session=TWO)


def test_the_second_and_third_session_of_an_issue_get_a_suffix() -> None:
    taken = ["Ada/ENG-12-fix"]
    assert branch_name(session=ONE, suggested="ada/eng-12-fix", taken=taken) == "ada/eng-12-fix-2"
    assert (
        branch_name(session=ONE, suggested="ada/eng-12-fix", taken=[*taken, "ada/eng-12-fix-2"]) == "ada/eng-12-fix-3"
    )


def test_a_name_that_git_could_not_keep_beside_another_is_avoided() -> None:
    # refs/heads/ada is a file: nothing can be below it, whatever the suffix.
    assert (
        branch_name(session=ONE, issue_key="ENG-12", title="fix", suggested="ada/fix", taken=["ada"])
        == "dragoman/eng-12-fix"
    )
    flat = branch_name(session=ONE, issue_key="ENG-12", title="fix", taken=["dragoman"])
    assert flat == "dragoman-eng-12-fix"
    assert branch_name(session=ONE, suggested="ada", taken=["ada/fix"]) == "ada-2"


def test_a_full_length_name_keeps_its_length_with_a_suffix() -> None:
    longest = "é" * (MAX_BRANCH_BYTES // 2)
    second = branch_name(session=ONE, suggested=longest, taken=[longest])
    assert second.endswith("é-2")
    assert is_branch_name(second)


def test_a_long_title_is_cut_at_a_word() -> None:
    assert slug("the quick brown fox jumps", default="x", limit=18) == "the-quick-brown"
    assert slug("x" * 99, default="x", limit=10) == "x" * 10
    assert slug("漢字", default="nothing") == "nothing"


def test_two_repositories_with_the_same_slug_have_two_trusted_copies() -> None:
    assert trusted_path(ROOT, "acme/shop") != trusted_path(ROOT, "acme-shop")
