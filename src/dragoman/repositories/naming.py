"""Names that people and Linear suggest become directories, branches and refs here, and nowhere else.

Everything is derived, so that asking twice gives the same name, and everything may be hostile: an issue key, a title,
a branch that Linear suggests, a repository's name. What becomes part of a path is cut down to `a-z0-9-`, which has no
way out of its folder, no hidden file and no option. What becomes a branch obeys the rules of `git check-ref-format`
(git-scm.com/docs/git-check-ref-format) and a few of ours: no leading `-`, nothing invisible, bounded, not an object id.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from dragoman.ids import SessionId

# A ref is a file and, while it is written, "<name>.lock": a component has 255 bytes, the whole path 4096.
MAX_BRANCH_BYTES = 200
MAX_SLUG = 50

CHECKPOINTS = "refs/dragoman/checkpoint/"
RESCUES = "refs/dragoman/rescue/"

_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_FORBIDDEN_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_PLAIN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")


def slug(text: str, *, default: str, limit: int = MAX_SLUG) -> str:
    """Cut a text down to at most `limit` characters of `a-z0-9-`, cut at a word if that is near; never empty."""
    plain = unicodedata.normalize("NFKD", text[: 4 * limit]).encode("ascii", "ignore").decode().lower()
    cut = _NOT_SLUG.sub("-", plain).strip("-")
    if len(cut) > limit:
        shorter, _, _ = cut[: limit + 1].rpartition("-")
        cut = shorter if len(shorter) > limit // 2 else cut[:limit]
    return cut.strip("-") or default


def short_hash(text: str) -> str:
    """Eight hex digits of a text."""
    # Not the first digits of the UUID: those of a time-ordered one are the same for a minute.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def trusted_path(root: Path, repository: str) -> Path:
    """The bare copy of a repository, by its name alone: a new URL or token finds what was kept before."""
    return root / f"{slug(repository, default='repository')}-{short_hash(repository)}.git"


def workspace_path(root: Path, repository: str, session: SessionId, issue_key: str | None) -> Path:
    """The directory of a session's workspace: `<root>/<repository>/<issue key or "session">-<8 hex>`."""
    issue = slug(issue_key or "", default="session")
    return root / slug(repository, default="repository") / f"{issue}-{short_hash(session)}"


def session_file(session: SessionId) -> str:
    """A file name for what we keep about a session."""
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def ref_file(ref: str) -> str:
    """A file name for what we keep about a ref."""
    return hashlib.sha256(ref.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def session_ref(session: SessionId) -> str:
    """The ref in the trusted repository that keeps a session's branch."""
    return f"refs/dragoman/session/{_ref_part(session)}"


def checkpoint_ref(session: SessionId) -> str:
    """The ref in the trusted repository that keeps the newest state of a session's workspace."""
    return f"{CHECKPOINTS}{_ref_part(session)}"


def rescue_ref(session: SessionId, issue_key: str | None) -> str:
    """The ref in the trusted repository that keeps what a workspace held when it was removed."""
    return f"{RESCUES}{slug(issue_key or '', default='no-issue')}/{_ref_part(session)}"


def _ref_part(session: SessionId) -> str:
    if _PLAIN_ID.fullmatch(session):
        return session
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()


def shipped_ref(session: SessionId) -> str:
    """The ref in the trusted repository that says how much of a session's branch was delivered."""
    return session_ref(session).replace("/session/", "/shipped/")


def pushed_ref(session: SessionId) -> str:
    """The ref in the trusted repository that says what the remote took from us: only that may be overwritten there."""
    return session_ref(session).replace("/session/", "/pushed/")


def is_branch_name(name: str) -> bool:
    """Whether a branch may be called so; stricter than git, never laxer."""
    return (
        bool(name)
        and not name.startswith(("-", "/", "refs/"))
        and not name.endswith(("/", "."))
        and name not in {"@", "HEAD"}
        and not _FORBIDDEN_IN_REFS.search(name)
        and not any(part.startswith(".") or part.endswith(".lock") for part in name.split("/"))
        and not _OBJECT_ID.fullmatch(name)
        # Not printable: controls, lone surrogates, and what turns the direction of text.
        and name.isprintable()
        and unicodedata.is_normalized("NFC", name)
        and len(name.encode()) <= MAX_BRANCH_BYTES
    )


def branch_name(
    *,
    session: SessionId,
    issue_key: str | None = None,
    title: str = "",
    suggested: str | None = None,
    taken: Iterable[str] = (),
) -> str:
    """The branch of a session.

    suggested  Linear's `Issue.branchName`, used when it is a valid name
    taken      branches of other live sessions, and the base branch, which must never be ours. The name gets a suffix
               `-2`, `-3`, … when it is among them, differs only in case, or git could not keep both (`a` and `a/b`)
    """
    others = [name.casefold() for name in taken]
    session_hex = short_hash(session)
    key = slug(issue_key or "", default="")
    own = f"dragoman/{slug(f'{key} {title}', default=key)}" if key else f"dragoman/session-{session_hex}"
    normal = unicodedata.normalize("NFC", suggested.strip()) if suggested else ""
    stems = [normal] if is_branch_name(normal) else []
    # A branch called just "dragoman" would keep all of "dragoman/…" from existing: hence the two flat ones.
    stems += [own, own.replace("/", "-"), f"dragoman-{session_hex}"]
    for stem in stems:
        # Every other name blocks at most one number, unless it blocks the stem as a folder: then none is free.
        for number in range(1, len(others) + 2):
            candidate = stem if number == 1 else _with_suffix(stem, f"-{number}")
            if not any(_clash(candidate.casefold(), other) for other in others):
                return candidate
    raise AssertionError("a flat name with one number more than there are other names is free")


def _with_suffix(stem: str, suffix: str) -> str:
    return stem.encode()[: MAX_BRANCH_BYTES - len(suffix)].decode("utf-8", "ignore") + suffix


def _clash(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
