"""The receipt in words: what people read under the agent's answer, and what stands in the pull request.

Everything in it was seen or done by the service. The agent's own words stand above it and cannot pose as it: a line of
theirs that would open or close a folded section is defused. Where they claim what we did not see, the receipt says so.
"""

from __future__ import annotations

import re

from dragoman.core.claims import says_offered, says_pushed, says_tested
from dragoman.core.events.desk import Check, Receipt
from dragoman.core.events.linear import Issue
from dragoman.core.events.opencode import Answered
from dragoman.core.session import Turn
from dragoman.core.text import one_line
from dragoman.core.tools import BODY_MOST, bounded, fenced

SUBJECT_MOST = 72  # characters; git's own habit for the first line of a message
TITLE_MOST = 200  # characters of a pull request's title; GitHub takes 256
OUTPUT_SHOWN = 1_200  # characters of what a failed check printed
_FOLD = re.compile(r"^\s{0,3}\+\+\+")
_EMPHASIS = re.compile(r"\*\*|__|\*(?=\w)|(?<=\w)\*")
_FENCE = re.compile(r"^\s{0,3}(```+|~~~+)(.*)$")
_DIFF_FILE = re.compile(r"^\+\+\+ (a/|b/|/dev/null)")
_HTML = re.compile(r"<(?=/?(details|summary)\b|!--)", re.IGNORECASE)
_FIX = re.compile(r"\b(fix(es|ed)?|bugs?|broken|wrong|crash(es|ed)?|regression|defect|fails?|drops?)\b", re.IGNORECASE)
_NOT_PUSHED = "⚠️ The agent says that it pushed or opened a pull request. That did not happen."
_FILLER = re.compile(r"^\W*(done|fixed|finished|ok|okay|all done|sure)\W*$", re.IGNORECASE)


# ── under the answer ─────────────────────────────────────────────────────
def told(receipt: Receipt, turn: Turn, answer: Answered, took_s: float) -> str:
    """What stands under the agent's words: trouble in the open, the pull request, and the rest folded.

    took_s  the turn's duration, 0 when unknown
    """
    open_lines = []
    if receipt.trouble:
        open_lines.append(f"⚠️ {receipt.trouble}")
    if receipt.pull_request:
        open_lines.append(f"**Pull request:** {receipt.pull_request}")
    elif receipt.pushed:
        open_lines.append(f"**Branch:** `{receipt.branch}` is pushed. {receipt.compare}".rstrip())
    open_lines += differences(receipt, answer.text)
    lines = [*_work(receipt), *_checks(receipt), *_delivery(receipt), *_effort(answer, took_s), *_answers(turn)]
    return "\n\n".join([*open_lines, "+++ Receipt\n" + "\n".join(lines) + "\n+++"])


def joined(words: str, under: str) -> str:
    """Both in one activity; when it is too long, the agent's words give way."""
    if not under:
        return words
    return f"{_closed(bounded(words, max(1_000, BODY_MOST - len(under) - 20)))}\n\n{under}"


def unfolded(words: str) -> str:
    """The agent's words without lines that Linear would take for a folded section; the files of a diff stay as they are."""
    lines, fence = [], ""
    for line in words.split("\n"):
        fence = _fence_after(line, fence)
        folds = _FOLD.match(line) and not (fence and _DIFF_FILE.match(line))
        lines.append(line.replace("+++", "\\+++", 1) if folds else line)
    return "\n".join(lines)


def _without_html(words: str) -> str:
    """The agent's words without what GitHub would take for a folded section or hide; code stays as it is."""
    lines, fence = [], ""
    for line in words.split("\n"):
        before, fence = fence, _fence_after(line, fence)
        lines.append(line if before and fence else _HTML.sub("&lt;", line))
    return "\n".join(lines)


def _closed(words: str) -> str:
    """The words with code that was left open closed, so that what follows is none."""
    fence = ""
    for line in words.split("\n"):
        fence = _fence_after(line, fence)
    return f"{words}\n{fence}" if fence else words


def _fence_after(line: str, fence: str) -> str:
    """What opened the code that the text is in after this line; empty outside of code."""
    mark = _FENCE.match(line)
    if mark is None:
        return fence
    if not fence:
        return mark[1] if mark[1][0] == "~" or "`" not in mark[2] else ""
    return "" if mark[1].startswith(fence) and not mark[2].strip() else fence


def differences(receipt: Receipt, words: str) -> list[str]:
    """Where the agent's words and what we saw differ, a sentence each."""
    found = []
    if says_tested(words):
        ran = [check for check in receipt.checks if not check.on_base]
        failed = [check for check in ran if check.exit_code != 0]
        if failed:
            names = ", ".join(f"`{_inline(check.command)}`" for check in failed)
            found.append(f"⚠️ The agent says that tests passed. When I ran {names}, it did not pass.")
        elif not ran:
            why = receipt.unchecked or "no `verify` commands are set for this repository"
            found.append(f"⚠️ The agent says that tests passed. I have not seen it: none were run by me ({why}).")
    if not receipt.pushed and (says_pushed(words) or says_offered(words)):
        found.append(_NOT_PUSHED)
    elif not receipt.pull_request and says_offered(words):
        found.append("⚠️ The agent says that it opened a pull request. There is none.")
    if receipt.proof == "green":
        found.append(
            "⚠️ **Unproven:** the new tests pass without the change as well, so they do not show that it helps."
        )
    elif receipt.proof == "no_tests":
        found.append("⚠️ **Unproven:** no test was added or changed, so nothing shows that the fix helps.")
    return found


def unseen(words: str, turn: Turn, pull_request: str) -> str:
    """The same for a turn that changed nothing, and so has no receipt; empty when there is nothing to say.

    turn          when the agent ran a command in it, it may have seen itself what it tells
    pull_request  of earlier turns, which its words may be about
    """
    if turn.worked:
        return ""
    found = []
    if says_tested(words):
        found.append("⚠️ The agent says that tests passed. It ran no command in this turn, and neither did I.")
    # A plain remote leaves no trace in the session: later turns may speak of what was pushed before.
    if not pull_request and turn.number == 1 and (says_pushed(words) or says_offered(words)):
        found.append(_NOT_PUSHED)
    return "\n\n".join(found)


def _work(receipt: Receipt) -> list[str]:
    if not receipt.commit_count:
        none = [f"**Commits:** none of this turn on `{receipt.branch}`"]
        return [*none, f"- {receipt.left}"] if receipt.left else none
    stat = f"{_count(receipt.files, 'file')}, +{receipt.added} −{receipt.removed}"
    lines = [f"**{_count(receipt.commit_count, 'commit')}** on `{receipt.branch}` ({stat})"]
    lines += [f"- {_code(commit)}" for commit in receipt.commits]
    if more := receipt.commit_count - len(receipt.commits):
        lines.append(f"- … and {more} more")
    if receipt.committed:
        lines.append(f"- The last one is mine: the agent had left {_count(receipt.committed, 'file')} uncommitted.")
    if receipt.left:
        lines.append(f"- {receipt.left}")
    return lines


def _checks(receipt: Receipt) -> list[str]:
    if not receipt.checks:
        return [f"**Verified by me:** nothing; {receipt.unchecked}"] if receipt.unchecked else []
    lines = ["**Verified by me** in a clean clone of the branch:"]
    for check in (one for one in receipt.checks if not one.on_base):
        lines.append(f"- {_check(check)}")
        if check.exit_code != 0 and check.output.strip():
            lines.append(fenced(bounded(check.output.strip("\n"), OUTPUT_SHOWN)))
    if on_base := [one for one in receipt.checks if one.on_base]:
        lines.append("**The new tests without the change** (they should fail):")
        lines += [f"- {_check(check)}" for check in on_base]
    return lines


def _check(check: Check) -> str:
    good = check.exit_code == 0
    sign = "▫️" if check.on_base else "✅" if good else "❌"
    end = "ended at its deadline" if check.exit_code is None else f"exit code {check.exit_code}"
    return f"{sign} `{_inline(check.command)}`: {end}, {duration(check.took_s)}"


def _delivery(receipt: Receipt) -> list[str]:
    if receipt.pull_request:
        return [f"**Pull request:** {receipt.pull_request}"]
    if receipt.pushed:
        return [f"**Pushed:** `{receipt.branch}`, for `{receipt.base}`"]
    return ["**Pushed:** no"]


def _effort(answer: Answered, took_s: float) -> list[str]:
    used = answer.usage
    parts = [f"**Time:** {duration(took_s)}"] if took_s else []
    if used.input_tokens or used.output_tokens:
        parts.append(f"**Tokens:** {used.input_tokens:,} in, {used.output_tokens:,} out")
        parts.append(f"**Cost:** ${used.cost:.2f}")
    return [" · ".join(parts)] if parts else []


def _answers(turn: Turn) -> list[str]:
    if not turn.settled:
        return []
    lines = [f"- “{_inline(one.what)}” → “{_inline(one.answer)}” ({_inline(one.who)})" for one in turn.settled]
    return ["**Asked and answered:**", *lines]


# ── for git and the forge ────────────────────────────────────────────────
def commit_message(words: str, issue: Issue | None) -> str:
    """The message of a commit that we make of what the agent left."""
    first, _, rest = words.strip().partition("\n")
    subject = one_line(_EMPHASIS.sub("", _plain(first)), SUBJECT_MOST)
    if not subject or _FILLER.match(subject):
        subject = one_line(issue.title, SUBJECT_MOST) if issue else "Commit the agent's work"
    if issue:
        subject = one_line(f"{issue.key}: {subject}", SUBJECT_MOST)
    body = bounded(rest.strip(), 2_000)
    return f"{subject}\n\n{body}".strip() + "\n"


def pull_request_title(issue: Issue | None, receipt: Receipt) -> str:
    """`ENG-12: its title`; without an issue, the newest commit's subject."""
    if issue is not None:
        return one_line(f"{issue.key}: {issue.title}", TITLE_MOST)
    newest = receipt.commits[-1].partition(" ")[2] if receipt.commits else ""
    return one_line(newest or f"Work on {receipt.branch}", TITLE_MOST)


def pull_request_summary(issue: Issue | None, words: str) -> str:
    """Linear's magic words, and the agent's summary."""
    blocks = []
    if issue is not None:
        # Magic words: with its GitHub integration Linear links the pull request, and moves the issue when it is merged.
        blocks.append(f"Fixes {issue.key}" + (f" ({issue.url})" if issue.url else ""))
    blocks.append(_bare(words, 20_000) or "The agent left no summary.")
    return "\n\n".join(blocks)


def pull_request_facts(words: str, receipt: Receipt, *, later: bool) -> str:
    """What we saw ourselves, and where the agent's words differ from it.

    later  the summary is of an earlier turn; these words are of one that answers what came from the pull request
    """
    blocks = [f"**Newest round:** {_bare(words, 4_000)}"] if later and words.strip() else []
    blocks += differences(receipt, words)
    lines = "\n".join([*_work(receipt), *_checks(receipt)])
    blocks.append(f"<details><summary>Receipt: what Dragoman saw itself</summary>\n\n{lines}\n\n</details>")
    return "\n\n".join(blocks)


def _bare(words: str, most: int) -> str:
    return _closed(bounded(_without_html(words.strip()), most))


def speaks_of_a_fix(*texts: str) -> bool:
    """Whether a title or a commit says that something broken is mended."""
    return any(_FIX.search(text) for text in texts)


# ── small things ─────────────────────────────────────────────────────────
def duration(seconds: float) -> str:
    """ "0.4 s", "12 s", "4 min 12 s", "1 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _code(commit: str) -> str:
    hash_, _, subject = commit.partition(" ")
    return f"`{hash_}` {_plain(subject)}"


def _inline(text: str) -> str:
    return text.replace("`", "'")


def _plain(text: str) -> str:
    """Text of others without what would be Markdown of its own at the beginning of a line, or a mention."""
    return text.lstrip("#>-+ \t").replace("`", "'").strip()
