"""Whom it talks with: Linear, GitHub, OpenCode."""

from __future__ import annotations

from dragoman.config import values
from dragoman.config.catalogue.setting import Setting, always, choice, secret, switch

LINEAR_API_URL = Setting(
    name="LINEAR_API_URL",
    group="Linear",
    about="Base of Linear's API; GraphQL is at /graphql, tokens at /oauth/token",
    kind="URL",
    parser=always(values.url("https://api.linear.app")),
    default="https://api.linear.app",
    example="https://api.linear.app",
)
LINEAR_ACCESS_TOKEN = secret(
    "LINEAR_ACCESS_TOKEN",
    "Linear",
    "A token of the app user; or set LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET",
    example="lin_oauth_0123456789",
)
LINEAR_CLIENT_ID = secret(
    "LINEAR_CLIENT_ID",
    "Linear",
    "The app's client id, for the client_credentials grant",
    example="0123456789abcdef",
)
LINEAR_CLIENT_SECRET = secret(
    "LINEAR_CLIENT_SECRET",
    "Linear",
    "The app's client secret; tokens are fetched with it, kept, and fetched once more when refused",
    example="fedcba9876543210",
)
LINEAR_WEBHOOK_SECRET = Setting(
    name="LINEAR_WEBHOOK_SECRET",
    group="Linear",
    about="Signing secret of the webhook; several, separated by commas, while rotating. Required",
    kind="secret",
    parser=always(values.secrets),
    example="lin_wh_0123456789",
    secret=True,
    live=True,
    fields=("webhook_secrets",),
)
LINEAR_AGENT_MODE = choice(
    "LINEAR_AGENT_MODE",
    "Linear",
    "How people meet the agent in Linear",
    "agent",
    "comment",
    default="agent",
    fields=("agent_mode",),
)
LINEAR_AGENT_NAME = Setting(
    name="LINEAR_AGENT_NAME",
    group="Linear",
    about="What people call the agent; in comment mode what they write after “@”",
    kind="text",
    parser=always(values.text),
    default="OpenCode",
    example="Ada",
    live=True,
    fields=("agent_name",),
    free=True,
)
DEBUG_LINEAR_WEBHOOKS = switch(
    "DEBUG_LINEAR_WEBHOOKS",
    "Linear",
    "Log what webhooks hold, with secrets and what people wrote taken out",
    default="false",
    live=True,
)
GITHUB_TOKEN = secret(
    "GITHUB_TOKEN",
    "GitHub",
    "Opens repositories and pull requests; needs to write contents and pull requests. No agent ever sees it",
    example="github_pat_0123456789",
)
GITHUB_APP_ID = Setting(
    name="GITHUB_APP_ID",
    group="GitHub",
    about="Instead of a token: the id of a GitHub App that is installed on the repositories",
    kind="text",
    parser=always(values.secret),
    absent="GITHUB_TOKEN is used",
    example="123456",
)
GITHUB_APP_PRIVATE_KEY_FILE = Setting(
    name="GITHUB_APP_PRIVATE_KEY_FILE",
    group="GitHub",
    about="The file with the app's private key, as GitHub gives it (PEM)",
    kind="path",
    parser=lambda folder: values.file(folder, "/etc/dragoman/github-app.pem"),
    absent="GITHUB_TOKEN is used",
    example="/etc/dragoman/github-app.pem",
    fields=("github_app_key_file",),
)
GITHUB_WEBHOOK_SECRET = Setting(
    name="GITHUB_WEBHOOK_SECRET",
    group="GitHub",
    about="Signing secret of the webhook at /webhooks/github; several, separated by commas, while rotating",
    kind="secret",
    parser=always(values.secrets),
    absent="open pull requests are looked at by the clock",
    example="gh_wh_0123456789abcdef",
    secret=True,
    live=True,
    fields=("github_webhook_secrets",),
)
GITHUB_API_URL = Setting(
    name="GITHUB_API_URL",
    group="GitHub",
    about="Base of GitHub's REST API; for GitHub Enterprise https://HOST/api/v3",
    kind="URL",
    parser=always(values.url("https://api.github.com")),
    default="https://api.github.com",
    example="https://github.example.com/api/v3",
)
OPENCODE_SESSION_API_URL = Setting(
    name="OPENCODE_SESSION_API_URL",
    group="OpenCode",
    about="An OpenCode server to attach to, on the same disk",
    kind="URL",
    parser=always(values.opencode_url),
    absent="one is started and tended",
    fields=("opencode_url", "opencode_token"),
    example="http://127.0.0.1:4096",
)
OPENCODE_SESSION_TOKEN = secret(
    "OPENCODE_SESSION_TOKEN",
    "OpenCode",
    "Basic password of that server (user `opencode`)",
    example="the-servers-password",
    absent="the server asks for none",
    fields=("opencode_token",),
)
OPENCODE_MODEL = Setting(
    name="OPENCODE_MODEL",
    group="OpenCode",
    about="The model, as provider/model",
    kind="text",
    parser=always(values.model),
    absent="OpenCode's own default",
    example="anthropic/claude-sonnet-4-5",
)
OPENCODE_AGENT = Setting(
    name="OPENCODE_AGENT",
    group="OpenCode",
    about="The primary agent of OpenCode",
    kind="text",
    parser=always(values.text),
    default="build",
    example="build",
)
OPENCODE_BIN = Setting(
    name="OPENCODE_BIN",
    group="OpenCode",
    about="The program",
    kind="path",
    parser=lambda folder: values.program(folder, "/usr/local/bin/opencode"),
    absent="found on PATH",
    example="/usr/local/bin/opencode",
)
OPENCODE_CONFIG = Setting(
    name="OPENCODE_CONFIG",
    group="OpenCode",
    about="A JSON file merged into the managed server's configuration (providers, permissions, …)",
    kind="path",
    parser=lambda folder: values.file(folder, "/etc/dragoman/opencode.json"),
    absent="nothing is merged",
    example="/etc/dragoman/opencode.json",
)
