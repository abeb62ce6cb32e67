"""The stories that the scripted model knows from the start. Paths and texts fit the sample repository (sample.py)."""

from __future__ import annotations

from typing import Any

from dragoman.sim.script import Ask, Fail, Part, Say, Story, Think, Use

RETURN_ZERO = "Return 0.0"
RAISE_ERROR = "Raise ValueError"


def bash(command: str, description: str) -> Use:
    """A call of OpenCode's bash tool."""
    return Use(tool="bash", args={"command": command, "description": description})


def todos(*items: tuple[str, str]) -> Use:
    """A call of OpenCode's todowrite tool; items are (content, status)."""
    listed: list[dict[str, Any]] = [
        {"content": content, "status": status, "priority": "medium"} for content, status in items
    ]
    return Use(tool="todowrite", args={"todos": listed})


def _edit(file: str, old: str, new: str, *, when: str = "", unless: str = "") -> Use:
    args = {"filePath": "{cwd}/" + file, "oldString": old, "newString": new}
    return Use(tool="edit", args=args, when=when, unless=unless)


_PLAN = ("Read the code and its tests", "Settle what an empty list means", "Fix average()", "Run the tests")


def _progress(done: int) -> Use:
    statuses = ["completed"] * done + ["in_progress"] + ["pending"] * len(_PLAN)
    return todos(*zip(_PLAN, statuses, strict=False))


_OLD = "    return sum(values) / (len(values) + 1)"
_RIGHT = "    return sum(values) / len(values)"
_ZERO = f"    if not values:\n        return 0.0\n{_RIGHT}"
_ERROR = f'    if not values:\n        raise ValueError("average of nothing")\n{_RIGHT}'
_TEST_AT = "    def test_spread(self):"
_TEST_ZERO = f"    def test_average_of_nothing(self):\n        self.assertEqual(average([]), 0.0)\n\n{_TEST_AT}"
_TEST_ERROR = (
    "    def test_average_of_nothing(self):\n"
    "        with self.assertRaises(ValueError):\n"
    f"            average([])\n\n{_TEST_AT}"
)

DEFAULT = Story(
    name="default",
    steps=(
        (
            Think(text="I should look at the module and its tests before I change anything."),
            Say(text="I will look at the code first."),
            Use(tool="read", args={"filePath": "{cwd}/stats.py"}),
            Use(tool="read", args={"filePath": "{cwd}/test_stats.py"}),
        ),
        (_progress(1),),
        (
            Think(text="The divisor is off by one. What an empty list means is a decision, not mine to take."),
            Say(text="`average` divides by one too many. One thing I cannot know: what an empty list should give."),
            Ask(
                header="Empty list",
                question="What should average([]) do?",
                options=((RETURN_ZERO, "Reports show 0.0"), (RAISE_ERROR, "The caller must deal with it")),
            ),
        ),
        (
            _progress(2),
            _edit("stats.py", _OLD, _ZERO, when=RETURN_ZERO),
            _edit("stats.py", _OLD, _ERROR, unless=RETURN_ZERO),
            _edit("test_stats.py", _TEST_AT, _TEST_ZERO, when=RETURN_ZERO),
            _edit("test_stats.py", _TEST_AT, _TEST_ERROR, unless=RETURN_ZERO),
        ),
        (_progress(3), bash("python3 -m unittest -v", "Run the tests")),
        (_progress(4), bash("git commit --quiet --all --message 'Divide by the number of values'", "Commit")),
        (
            Say(
                when=RETURN_ZERO,
                text="Fixed. `average` divides by the number of values, and an empty list gives 0.0, as you asked. "
                "I added a test for that; all three tests pass.",
            ),
            Say(
                unless=RETURN_ZERO,
                text="Fixed. `average` divides by the number of values, and an empty list raises `ValueError`. "
                "I added a test for that; all three tests pass.",
            ),
        ),
    ),
    after=(
        (
            Think(text="They wrote again. I should make sure that all is still well."),
            bash("git status --short && python3 -m unittest", "Check the state of the work"),
        ),
        (Say(text="I read your message: “{newest}”. The changes are in place and the tests still pass."),),
    ),
)

PERMISSION = Story(
    name="permission",
    steps=(
        (
            Say(text="This needs a command that you have to allow."),
            bash("git push --dry-run origin HEAD", "Try to push"),
        ),
        (Say(text="The command is through. It said:\n\n```\n{result}\n```"),),
    ),
)

STOP = Story(
    name="stop",
    steps=(
        (Say(text="This will take a while."), bash("sleep 120; echo done", "Wait two minutes")),
        (Say(text="The two minutes are over."),),
    ),
)

ERROR = Story(name="error", steps=((Fail(status=401, message="Incorrect API key provided.", code="invalid_api_key"),),))

RETRY = Story(
    name="retry",
    steps=(
        (
            Fail(status=429, message="Rate limit reached, try again.", retry_after_s=1, times=1),
            Say(text="The provider was busy for a moment; here is the answer."),
        ),
    ),
)

SLOW = Story(
    name="slow",
    steps=(
        (
            Think(text="No hurry."),
            Say(text=" ".join(f"Sentence {number} comes slowly." for number in range(1, 21)), pace_s=0.1),
        ),
    ),
)

SUBAGENT = Story(
    name="subagent",
    steps=(
        (
            Say(text="I will let a helper look around."),
            Use(
                tool="task",
                args={
                    "description": "Look around",
                    "prompt": "[story=subtask] List the files of the repository.",
                    "subagent_type": "general",
                },
            ),
        ),
        (Say(text="The helper reports: {result}"),),
    ),
)

SUBTASK = Story(
    name="subtask",
    steps=((bash("ls", "List the files"),), (Say(text="There are a module, its tests and a README."),)),
)


def _slow_step(number: int) -> tuple[Part, ...]:
    return (Say(text=f"Step {number} of 4."), bash(f"sleep 1; echo step {number}", f"Step {number}"))


STEER = Story(
    name="steer",
    steps=(*(_slow_step(number) for number in range(1, 5)), (Say(text="Done. The newest message was: {newest}"),)),
)

ENV = Story(
    name="env",
    steps=((bash("env | sort", "Show the environment"),), (Say(text="The environment was:\n\n```\n{result}\n```"),)),
)

STORIES = (DEFAULT, PERMISSION, STOP, ERROR, RETRY, SLOW, SUBAGENT, SUBTASK, STEER, ENV)
