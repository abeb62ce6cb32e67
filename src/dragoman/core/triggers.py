"""Session or simple answer, and with what: one pure decision from what is known and what is configured.

For session or simple answer the first of these counts:
    1. sessions are switched off                     → simple
    2. a delegation                                  → session
    3. an explicit request ("start a session")       → session
    4. the first configured trigger that fits, if it says which
    5. a trigger word, as a whole word               → session
    6. more than 200 characters                      → session
    7. anything else                                 → simple
For agent, model, template and priority: the request itself, then labels, then that trigger, then the template, then the
repository.

Doubt. Words decide although nobody can tell a wish from a mention of one ("who reviews this?" has no trigger word, "who
did the review?" has). A simple answer cannot change anything and offers the session; a session can answer a question.
So a wrong guess costs one click or some seconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from dragoman.core import tags
from dragoman.core.choosing import PRIORITIES, Choice, Facts, Handling, Mode, Reason, Template, Trigger
from dragoman.core.filling import fill
from dragoman.core.routing import Place
from dragoman.core.text import one_line
from dragoman.core.wording.beginning import WORK_ON_IT

WORDS = (
    "help me", "can you help", "i need help", "implement", "create", "build", "develop", "debug", "fix", "analyze",
    "review", "session", "start a session", "let's work",
    "add", "write", "refactor", "test", "update", "change", "remove",
)  # fmt: skip
EXPLICIT = ("start a session", "open a session", "new session", "make it a session", "/session")
LONG = 200  # characters; more of them make a session
REGEX_MOST = 5_000  # characters that an operator's regex looks at; one that runs away is refused with the settings
GUIDES = frozenset({"help", "guide"})
_NOT_WORDS = re.compile(r"<user id=\"[^\"]*\">.*?</user>|https?://\S+|(?<![\w.])@[\w.-]+", re.IGNORECASE | re.DOTALL)


def choose(facts: Facts, handling: Handling, *, sessions: bool = True, place: Place | None = None) -> Choice:
    """Decide how a request is taken up.

    sessions  whether there are any; without them everything is answered simply
    place     the repository that it is worked on in; None before that is decided
    """
    words = own_words(facts.words, handling)
    trigger, trace = _trigger(facts, words, handling)
    mode, because = _mode(facts, words, trigger, sessions=sessions)
    written, labelled = tags.of_words(facts.words), tags.of_labels(facts.labels)
    found = trigger or Trigger()
    why = f"trigger “{found.name}”"
    trace = [Reason(what="mode", chosen=mode, because=because), *trace]
    for source, given in (("the request", written), ("a label", labelled)):
        trace += [
            Reason(what=name, chosen="", because=f"{source} names “{value}”, which {wrong}")
            for name, value, wrong in given.refused
        ]

    def pick(what: str, *offers: tuple[str, str]) -> str:
        for value, source in offers:
            if value:
                trace.append(Reason(what=what, chosen=value, because=source))
                return value
        return ""

    template = Template(name="")
    home = place or Place(name="")
    of_home = f"repository {home.name}"
    for name, source in (
        (written.template, "the request"), (labelled.template, "a label"), (found.template, why),
        (home.template, of_home),
    ):  # fmt: skip
        known = _template(handling, name)
        if name and known is None:
            trace.append(Reason(what="template", chosen="", because=_unknown_template(handling, name, source)))
        elif known is not None and mode == "simple":
            trace.append(
                Reason(what="template", chosen="", because=f"{source} names {name}; a simple answer uses none")
            )
        elif known is not None:
            template = known
            trace.append(Reason(what="template", chosen=known.name, because=source))
            break
    of_template = f"template “{template.name}”"
    agent = pick(
        "agent",
        (written.agent, "the request"), (labelled.agent, "a label"), (found.agent, why), (template.agent, of_template),
        (home.agent, of_home),
    )  # fmt: skip
    model = pick(
        "model",
        (written.model, "the request"), (labelled.model, "a label"), (found.model, why), (template.model, of_template),
        (home.model, of_home),
    )  # fmt: skip
    repository = pick("repository", (written.repo, "the request"), (found.repository, why))
    priority = pick(
        "priority", (written.priority, "the request"), (labelled.priority, "a label"), (PRIORITIES[found.priority], why)
    )
    for rules, source in ((home.permissions, of_home), (found.permissions, why)):
        if rules:
            trace.append(Reason(what="permissions", chosen=f"{len(rules)} rule(s)", because=source))
    if mode == "simple":
        trace.append(Reason(what="permissions", chosen="read only", because="a simple answer changes nothing"))
    elif template.plan_first:
        trace.append(Reason(what="plan", chosen="first", because=of_template))
    return Choice(
        mode=mode,
        template=template.name,
        instructions=fill(template.text, facts) if template.text else "",
        repository=repository,
        agent=agent,
        model=model,
        permissions=(*home.permissions, *found.permissions),  # of two that match, the last counts
        priority=PRIORITIES.index(priority),
        stage="planning" if template.plan_first else "",
        trace=tuple(trace),
    )


def asks_for_guide(words: str, handling: Handling) -> bool:
    """Whether the whole message asks how to use the agent."""
    return _folded(own_words(words, handling)).strip(" .!?/") in GUIDES


def own_words(words: str, handling: Handling) -> str:
    """A request without mentions, links and tags: trigger words inside of those are not meant."""
    bare = _NOT_WORDS.sub(" ", tags.without(words))
    for name in sorted(handling.names, key=len, reverse=True):
        bare = re.sub(rf"@{re.escape(name)}(?!\w)", " ", bare, flags=re.IGNORECASE)
    return bare.strip()


def find_word(words: str, among: Iterable[str]) -> str:
    """The first of `among` that stands in `words` as whole words, in any case; empty when none does."""
    folded = _folded(words)
    for each in among:
        bare, whole = _whole(each)
        if bare in folded and whole.search(folded):  # the first is much faster, and mostly says no
            return each
    return ""


@cache
def _whole(words: str) -> tuple[str, re.Pattern[str]]:
    """These words of ours or of an operator's, which are few: folded, and what finds them whole in what was folded."""
    bare = _folded(words)
    return bare, re.compile(rf"(?<!\w){re.escape(bare)}(?!\w)")


# ── the parts of the decision ────────────────────────────────────────────
def _mode(facts: Facts, words: str, trigger: Trigger | None, *, sessions: bool) -> tuple[Mode, str]:
    if not sessions:
        return "simple", "sessions are switched off (ENABLE_SESSIONS)"
    if facts.on == "delegation":
        return "session", "the issue was delegated"
    if explicit := ("work on it" if _folded(words).strip(" .!") == _folded(WORK_ON_IT) else find_word(words, EXPLICIT)):
        return "session", f"asked for: “{explicit}”"
    if trigger is not None and trigger.mode is not None:
        return trigger.mode, f"trigger “{trigger.name}”"
    if word := find_word(words, WORDS):
        return "session", f"the words “{word}”" if " " in word else f"the word “{word}”"
    if len(words) > LONG:
        return "session", f"longer than {LONG} characters"
    return "simple", "no trigger word, not long, not delegated"


def _trigger(facts: Facts, words: str, handling: Handling) -> tuple[Trigger | None, list[Reason]]:
    """The first configured trigger that fits, and what is to be told of each that was looked at."""
    trace: list[Reason] = []
    for trigger in handling.triggers:
        why_not = _why_not(trigger, facts, words)
        if not why_not:
            return trigger, [*trace, Reason(what="trigger", chosen=trigger.name, because="all its conditions hold")]
        trace.append(Reason(what="trigger", chosen="", because=f"“{trigger.name}” does not fit: {why_not}"))
    return None, trace


def _why_not(trigger: Trigger, facts: Facts, words: str) -> str:
    """Why a trigger does not fit; empty when it does."""
    if trigger.on and facts.on not in trigger.on:
        return f"it was a {facts.on.replace('_', '-')}"
    if trigger.words and not find_word(words, trigger.words):
        return "none of its words"
    if trigger.regex is not None and not re.search(trigger.regex, words[:REGEX_MOST], re.IGNORECASE):
        return "its regex finds nothing"
    who = facts.creator
    conditions: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
        ("team", trigger.team, (facts.team_key, facts.team_id)),
        ("creator", trigger.creator, (who.id, who.email or "", who.name) if who else ()),
        ("label", trigger.label, facts.labels),
        ("project", trigger.project, (facts.project,)),
        ("state", trigger.state, (facts.state, facts.state_type)),
    )
    for name, wanted, given in conditions:
        have = {_folded(one) for one in given if one}
        if wanted and not have & {_folded(one) for one in wanted}:
            if name in {"label", "project", "state"} and not facts.known_issue:
                return f"the issue's {name} is not known"
            return f"{name} is {' / '.join(one for one in given if one) or 'not set'}"
    return ""


def _template(handling: Handling, name: str) -> Template | None:
    return next((one for one in handling.templates if name and _folded(one.name) == _folded(name)), None)


def _unknown_template(handling: Handling, name: str, source: str) -> str:
    known = ", ".join(one.name for one in handling.templates) or "none are configured"
    return f"{source} names “{one_line(name, 60)}”, which is not there; known: {known}"


def _folded(words: str) -> str:
    """Compared without case, kinds of apostrophe and amounts of space."""
    return " ".join(unicodedata.normalize("NFKC", words).replace("’", "'").casefold().split())
