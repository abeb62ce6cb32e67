"""The bytes of a webhook of GitHub: signed or refused, and what they are about."""

from __future__ import annotations

import hmac

import msgspec
import pytest

from dragoman.repositories.github_hooks import Hint, UnacceptableHook, open_hook

SECRET, OLD = "canary-new-secret", "canary-old-secret"
PAGE = "https://github.com/acme/shop"


def sent(event: str, payload: object, *, secret: str = SECRET) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """A delivery as GitHub signs it. Header names of its documentation."""
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    signature = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": "72d3162e", "X-Hub-Signature-256": signature}
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


def read(event: str, payload: object, *, secret: str = SECRET) -> Hint:
    headers, body = sent(event, payload, secret=secret)
    return open_hook(headers, body, secrets=(SECRET, OLD))


def test_the_documented_example_of_a_signature_is_accepted() -> None:
    # docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    signature = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    with pytest.raises(UnacceptableHook) as refused:  # its body is no JSON, but the signature holds
        open_hook([(b"X-Hub-Signature-256", signature)], b"Hello, World!", secrets=("It's a Secret to Everybody",))
    assert (refused.value.status, refused.value.why) == (400, "UnreadableHook")


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_while_rotating_either_secret_may_have_signed(secret: str) -> None:
    payload = {"action": "submitted", "repository": {"html_url": PAGE}, "pull_request": {"number": 7}}
    hint = read("pull_request_review", payload, secret=secret)
    assert hint == Hint(
        id="72d3162e", event="pull_request_review", action="submitted", repository=PAGE, numbers=(7,)
    )  # fmt: skip


def test_what_is_not_signed_with_ours_is_refused() -> None:
    headers, body = sent("ping", {})
    for bad, why in (
        (headers[:2], "MissingSignature"),
        ([*headers, headers[2]], "BadSignature"),
        ([*headers[:2], (headers[2][0], headers[2][1].upper())], "BadSignature"),
    ):
        with pytest.raises(UnacceptableHook) as refused:
            open_hook(bad, body, secrets=(SECRET,))
        assert refused.value.why == why
    for changed, secrets in ((body + b" ", (SECRET,)), (body, ("another",)), (body, ("", " "))):
        with pytest.raises(UnacceptableHook) as refused:
            open_hook(headers, changed, secrets=secrets)
        assert (refused.value.status, refused.value.why) == (401, "BadSignature")


@pytest.mark.parametrize(
    "event, payload, numbers",
    [
        ("check_run", {"action": "completed", "check_run": {"pull_requests": [{"number": 3}]}}, (3,)),
        ("check_run", {"action": "completed", "check_run": {"pull_requests": []}}, None),
        ("push", {"ref": "refs/heads/main"}, None),
        ("issue_comment", {"action": "created", "issue": {"number": 3, "pull_request": {"url": "x"}}}, (3,)),
        ("issue_comment", {"action": "created", "issue": {"number": 3}}, ()),
        ("issue_comment", {"action": "edited", "issue": {"number": 3, "pull_request": {"url": "x"}}}, ()),
        ("status", {"state": "failure", "sha": "1a2b", "context": "ci/build"}, None),
        ("status", {"state": "pending", "sha": "1a2b", "context": "ci/build"}, ()),
        ("check_run", {"action": "created", "check_run": {"pull_requests": [{"number": 3}]}}, ()),
        ("pull_request", {"action": "labeled", "pull_request": {"number": 3}}, ()),
        ("issues", {"action": "created"}, ()),
        ("pull_request", {"action": "closed", "pull_request": "odd"}, ()),
        ("ping", {"zen": "Keep it logically awesome."}, ()),
    ],
)
def test_only_what_can_make_work_is_worth_a_look(event: str, payload: dict[str, object], numbers: object) -> None:
    hint = read(event, {**payload, "repository": {"html_url": PAGE}})
    assert (hint.numbers, hint.repository) == (numbers, PAGE if numbers != () else "")
