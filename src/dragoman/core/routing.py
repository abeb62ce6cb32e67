"""In which repository a request is worked on: one pure decision from what is known and what is configured.

The first of these that names exactly one repository decides:
    1. the request: `[repo=owner/name]`, or `repo:owner/name`
    2. the trigger that fits
    3. a label `repo:owner/name` of the issue
    4. what people chose for the issue before
    5. the `labels`, then the `projects`, then the `teams` of the repositories
    6. Linear's own suggestion, when it is sure enough
    7. the default
If none does, people are asked. A rule that fits several repositories decides nothing, but what comes after it decides
among these only: two repositories of one team are told apart by the suggestion, or by people.

A request that names a repository which is not configured is never worked on elsewhere by a guess: people are asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from dragoman.core.choosing import Choice, Facts, PermissionRule, Reason
from dragoman.core.events.linear import Suggestion
from dragoman.core.tags import of_words
from dragoman.record import Record

REQUEST = "the request"
SURE = 0.7  # of 1: the least confidence of a suggestion that is followed
_IN_WORDS = re.compile(r"(?<![\w/:])repo:\s?((?:\\.|[\w./-])+)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([^a-zA-Z0-9\s])")


class Place(Record):
    """What of one `[[repositories]]` matters here.

    name    "owner/repo"
    host    of its URL, for Linear's suggestions; "localhost" when it has none
    default used when nothing else decides; a single one is the default by itself
    teams, projects, labels  issues that belong here: team keys or ids, names of projects, names of labels
    template, agent, model, permissions  what a session there is begun with, unless something nearer says otherwise
    """

    name: str
    host: str = "localhost"
    default: bool = False
    teams: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    template: str = ""
    agent: str = ""
    model: str = ""
    permissions: tuple[PermissionRule, ...] = ()


class Routing(Record):
    """What an operator configured about repositories.

    label_back  a repository that people chose is written to the issue as a label
    places      empty: nothing is decided here, there is one repository
    """

    label_back: bool = False
    places: tuple[Place, ...] = ()


class Decision(Record):
    """What came of it.

    repository  empty: nothing decides
    among       which ones are left to choose from, when nothing decides
    unknown     what the request named and is not configured; then nothing else is tried
    trace       which rule won, and which lost and why
    """

    repository: str = ""
    among: tuple[str, ...] = ()
    unknown: str = ""
    trace: tuple[Reason, ...] = ()


def route(
    facts: Facts,
    choice: Choice,
    routing: Routing,
    *,
    chosen: str = "",
    suggestions: Sequence[Suggestion] | None = None,
    may_ask: bool = False,
) -> Decision:
    """Decide.

    choice       of the request: the repository that its tag or a trigger names
    chosen       what people chose for the issue before; empty when they were not asked
    suggestions  of Linear; None when it was not asked
    may_ask      it can be asked: where that may decide, nothing after it does yet
    """
    look = _Look(routing.places)
    for named, source in _named(facts, choice):
        found = look.up(named)
        if found:
            look.take(found, source)
        elif source == REQUEST:
            look.lose(f"the request names “{named}”, which is not configured")
            return look.decision(unknown=named)
        else:
            look.refuse(f"{source} names “{named}”, which is not configured")
    labels = [label.partition(":")[2] for label in facts.labels if _folded(label.partition(":")[0]) == "repo"]
    for named in dict.fromkeys(label.strip() for label in labels if label.strip()):
        if not look.up(named):
            look.refuse(f"a label names “{named}”, which is not configured")
    look.among([found for found in map(look.up, labels) if found], "a `repo:` label", "no `repo:` label")
    look.among([chosen] if look.up(chosen) else [], "people chose it for this issue", "people were not asked before")
    for kind, have in (
        ("labels", facts.labels),
        ("projects", (facts.project,)),
        ("teams", (facts.team_key, facts.team_id)),
    ):
        wanted = {place.name: getattr(place, kind) for place in routing.places}
        given = {_folded(one) for one in have if one}
        fits = [name for name, values in wanted.items() if given & {_folded(value) for value in values}]
        shown = next((one for one in have if one), "")
        what = kind if any(wanted.values()) else ""
        look.among(
            fits, f"its `{kind}`", f"no `{kind}` fit {shown or 'this issue'}" if what else f"no `{kind}` are set"
        )
    if may_ask and suggestions is None and look.is_open():
        return look.decision()
    look.suggested(suggestions)
    look.default()
    return look.decision()


def named_in(words: str) -> tuple[str, ...]:
    """The repositories that a request names, the last tag before the first plain mention."""
    tag = of_words(words).repo
    plain = _ESCAPED.sub(r"\1", found[1]).rstrip("./-") if (found := _IN_WORDS.search(words)) else ""
    return tuple(dict.fromkeys(each for each in (tag, plain) if each))


def _named(facts: Facts, choice: Choice) -> list[tuple[str, str]]:
    """What the request and a trigger name, nearest first, with whose it is."""
    named = [(each, REQUEST) for each in named_in(facts.words)]
    by = next((one.because for one in choice.trace if one.what == "repository" and one.chosen), "")
    return [*named, (choice.repository, by)] if choice.repository and by != REQUEST else named


class _Look:
    """The places that are left, and what is to be told; grows until something decides."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._left = [place.name for place in places]
        self._won = ""
        self._trace: list[Reason] = []

    def up(self, named: str) -> str:
        """The full name of a place by its name or its last part, in any case; empty when that is none or several."""
        return find(named, [place.name for place in self._places])

    def take(self, name: str, because: str) -> None:
        if self._won:
            if name != self._won:
                self.lose(f"{because} gives {name}, but comes after what decided")
            return
        self._won = name
        self._trace.append(Reason(what="repository", chosen=name, because=because))

    def among(self, fits: Sequence[str], because: str, why_not: str) -> None:
        """A rule that fits these."""
        left = [name for name in dict.fromkeys(fits) if self._won or name in self._left]
        if len(left) == 1:
            self.take(left[0], because)
        elif left:
            if not self._won:
                self._left = left
            self.lose(f"{because} fits several: {', '.join(left)}")
        elif fits:
            self.lose(f"{because} gives {', '.join(fits)}, which is out already")
        elif not self._won:
            self.lose(why_not)

    def is_open(self) -> bool:
        """Whether nothing has decided, and there are several to choose from."""
        return not self._won and len(self._left) > 1

    def suggested(self, suggestions: Sequence[Suggestion] | None) -> None:
        if not self.is_open():
            return
        if suggestions is None:
            self.lose("Linear was not asked for a suggestion")
            return
        best = max((one for one in suggestions if one.name in self._left), key=lambda one: one.confidence, default=None)
        if best is None:
            self.lose("Linear suggests none")
        elif best.confidence < SURE:
            self.lose(f"Linear suggests {best.name}, but is not sure enough ({best.confidence:.2f} < {SURE:g})")
        else:
            self.take(best.name, f"Linear suggests it ({best.confidence:.2f})")

    def default(self) -> None:
        marked = [place.name for place in self._places if place.default]
        if len(self._places) == 1:
            self.among([self._places[0].name], "it is the only one", "")
        elif self._won:
            if marked and marked[0] != self._won:
                self.lose(f"the default, {marked[0]}, comes after what decided")
        elif marked and marked[0] not in self._left:
            self.lose(f"the default, {marked[0]}, is not among those that fit")
        else:
            self.among(marked, "it is the default", "none is the default")

    def lose(self, because: str) -> None:
        self._trace.append(Reason(what="routing", chosen="", because=because))

    def refuse(self, because: str) -> None:
        """People wanted it, so people are told."""
        self._trace.append(Reason(what="repository", chosen="", because=because))

    def decision(self, *, unknown: str = "") -> Decision:
        if self._won and not unknown:
            return Decision(repository=self._won, trace=tuple(self._trace))
        return Decision(among=tuple(self._left), unknown=unknown, trace=tuple(self._trace))


def find(named: str, names: Iterable[str]) -> str:
    """The full name by a name or its last part, in any case; empty when that fits none or several."""
    known = list(names)
    wanted = _folded(named).strip("`\"'“”‘’<>().,!?;:")
    if not wanted:
        return ""
    whole = [name for name in known if _folded(name) == wanted]
    last = [name for name in known if _folded(name.rpartition("/")[2]) == wanted]
    fits = whole or last
    return fits[0] if len(fits) == 1 else ""


def read_answer(words: str, options: Sequence[str]) -> tuple[str, bool]:
    """Which of `options` a person's words choose, and whether they say nothing else.

    The label, its number, the plain name, or free text that names exactly one. Empty when they choose none.
    """
    said = _folded(words).strip("`\"'“”‘’.!,;: ")
    if found := find(said, options):
        return found, True
    if said.isdigit() and 1 <= int(said) <= len(options):
        return options[int(said) - 1], True
    text = f" {re.sub(r'[^a-z0-9._/-]+', ' ', _folded(words))} "
    tokens = {token.strip("./-") for token in text.split()}
    for names in ({_folded(one): one for one in options}, {_folded(one.rpartition("/")[2]): one for one in options}):
        fits = {one for name, one in names.items() if name in tokens}
        if len(fits) == 1:
            return fits.pop(), False
    return "", False


def settle_in(choice: Choice, decision: Decision) -> Choice:
    """The choice with its repository, and with the whole trace of that."""
    kept = tuple(one for one in choice.trace if one.what not in {"repository", "routing"})
    return replace(choice, repository=decision.repository, trace=(*kept, *decision.trace))


def _folded(words: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", words).replace("\\", "").casefold().split())
