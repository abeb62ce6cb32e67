import pytest

from dragoman.errors import Refusal
from dragoman.repositories.configured import Repository, problems_of, repository_of

SHOP = Repository(name="acme/shop", url="/srv/shop")
SITE = Repository(name="acme/site", url="https://token@git.example.org/acme/site.git")
MAIN = Repository(name="acme/main", url="git@git.example.org:acme/main.git", default=True)


def test_a_single_repository_is_the_default() -> None:
    assert repository_of([SHOP], "") is SHOP


def test_the_named_one_of_several_is_taken_else_the_default() -> None:
    assert repository_of([SHOP, MAIN, SITE], "acme/site") is SITE
    assert repository_of([SHOP, MAIN, SITE], "") is MAIN


@pytest.mark.parametrize(
    "repositories, name, says",
    [
        ([], "", "Add \\[\\[repositories\\]\\]"),
        ([SHOP, SITE], "", "Name one in the request"),
        ([SHOP, SITE], "acme/gone", "acme/gone is no longer configured"),
    ],
)
def test_when_none_is_known_people_are_told_what_to_do(repositories: list[Repository], name: str, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        repository_of(repositories, name)


def test_a_model_of_a_repository_is_checked() -> None:
    assert problems_of([Repository(name="acme/shop", url="/srv/shop", model="gpt")])


def test_good_repositories_have_no_problems() -> None:
    assert problems_of([SHOP, SITE, MAIN]) == []


def test_all_problems_are_told_at_once_and_none_shows_a_credential() -> None:
    problems = problems_of(
        [
            SHOP,
            Repository(name="acme/shop", url="-x"),
            Repository(name=" ", url="ext::sh -c id"),
            Repository(name="a", url="ssh://git:hunter2@git.example.org/a", base_branch="-x", default=True),
            Repository(name="b", url="gopher://u:hunter2@git.example.org:port/", default=True),
        ]
    )
    assert len(problems) == 8
    assert "hunter2" not in "".join(problems)


def test_a_repository_does_not_show_its_credential() -> None:
    assert "token" not in repr(SITE)
    assert "git.example.org" in repr(SITE)
