"""Secrets in texts of others: what is masked, what isn't, and wherever such a text goes."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import MetricTracker, TaskTracker, configure
from otel_tracker.integrations.claude_code.hooks.hook import hook
from otel_tracker.runtime import log
from otel_tracker.runtime.masking import MASK, masked
from otel_tracker.storage.home import Home

LETTERS = "aB3dE5gH7jK9mN1pQ4sT6vW8xY0zA2cD"
SECRETS = {
    "anthropic": f"sk-ant-api03-{LETTERS}_-{LETTERS}AA",
    "openai": f"sk-proj-{LETTERS}",
    "openai, old": f"sk-{LETTERS}{LETTERS}"[:51],
    "aws id": "AKIAIOSFODNN7EXAMPLE",
    "github": f"ghp_{LETTERS}abcd",
    "github, fine-grained": f"github_pat_11{LETTERS}_{LETTERS}",
    "gitlab": "glpat-aB3dE5gH7jK9mN1pQ4sT",
    "google": f"AIza{LETTERS}abc",
    "google oauth": f"ya29.{LETTERS}",
    "slack": f"xoxb-123456789012-{LETTERS}",
    "npm": f"npm_{LETTERS}abcd",
    "pypi": f"pypi-AgEIcHlwaS5vcmc{LETTERS}",
    "hugging face": f"hf_{LETTERS}ab",
    "stripe": f"sk_live_{LETTERS}",
    "json web token": f"eyJhbGciOiJI.eyJzdWIiOiIx.{LETTERS}",
}
"""Nothing else looks like these."""
NAMED = {
    "password=hunter2": "hunter2",
    "PGPASSWORD=hunter2 psql": "hunter2",
    'password = "correct horse"': "correct horse",
    '{"api_key": "abc", "model": "x"}': '"abc"',
    r'"{\"client_secret\": \"abc def\"}"': "abc def",
    "aws_secret_access_key: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "wJalrXUtnFEMI",
    "Authorization: Bearer abcdefgh": "abcdefgh",
    "authorization: Basic dXNlcjpw": "dXNlcjpw",
    "curl -H 'Bearer abc.def-123'": "abc.def-123",
    "fatal: unable to access 'https://me:p4ss@w0rd@example.org/a.git/'": "p4ss@w0rd",
    "cannot reach redis://:hunter2@cache:6379/0": "hunter2",
    "mongodb://app:hunter2@one:27017,two:27017/db": "hunter2",
    "psql --password hunter22": "hunter22",
    "GITHUB_TOKEN=0123456789abcdef0123": "0123456789abcdef0123",
    "GET https://example.org/x?access_token=abc&page=2": "abc&",
    "AccountName=x;AccountKey=abc/def==;Endpoint=y": "abc/def==",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----": "MIIE",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk": "b3BlbnNzaC1rZXk",
    f"https://hooks.slack.com/services/T0/B0/{LETTERS}": LETTERS,
}
ORDINARY = (
    "AssertionError: rate_limit should be 5",
    "[Errno 2] No such file or directory: '/home/me/.config/sk-learn/model-2024_v1.bin'",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 isn't in main",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "request req_011CSHoEeqs5C35K2UUqR7Fy, message msg_01XFDUDYJgAACzvnptvVoYEL, toolu_01A09q90qw90lq917835lq9",
    "task-0123456789abcdef0123456789abcdef on disk-0123456789abcdef0123456789abcdef",
    "Unexpected token: identifier (3:14)",
    "unexpected token } in JSON at position 4",
    "max_tokens=4096 exceeds the limit; token=12 is too short",
    "password: must have at least 8 characters",
    "Bearer authentication is required",
    "Basic understanding/knowledge of Python3",
    "PWD=/home/me/project/x",
    "private_key=/home/me/.ssh/id_rsa isn't there",
    "connect(password=None)",
    "http://localhost:9464/metrics@v1 and http://me@host:80/a and git@github.com:a/b.git",
    "the option --token requires a value",
    "KeyError: 'secret_name'",
    "2026-11-30T19:00:00.123456Z 200 OK",
)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_what_only_a_secret_looks_like_is_masked_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"invalid key {secret}.", f'{{"key": "{secret}"}}', f"x={secret}&y=1", f"({secret})"):
        assert MASK in masked(text)
        assert secret[-8:] not in masked(text)


@pytest.mark.parametrize("text", NAMED)
def test_what_a_name_calls_a_secret_is_masked(text: str) -> None:
    assert MASK in masked(text)
    assert NAMED[text] not in masked(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


hexadecimal = st.text("0123456789abcdef", min_size=7, max_size=128)
words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
paths = st.lists(st.one_of(words, hexadecimal), min_size=1).map(lambda parts: "/" + "/".join(parts))
plain_texts = st.one_of(hexadecimal, st.uuids().map(str), words, paths, st.integers().map(str), st.datetimes().map(str))


@given(st.lists(plain_texts), st.sampled_from(" \n,;:()[]'\""))
def test_hashes_uuids_paths_numbers_and_moments_are_no_secrets(parts: list[str], between: str) -> None:
    text = f"{between} ".join(parts)
    assert masked(text) == text


pieces = st.one_of(
    st.sampled_from([*SECRETS.values(), *NAMED, *ORDINARY, MASK]),
    st.sampled_from(
        ["password", "token", "Bearer ", "://", "@", ":", "=", '"', "'", "\\", "--", "eyJ", "sk-", " ", "\n"]
    ),
    st.text(max_size=10),
)


@given(st.lists(pieces))
def test_masking_twice_is_masking_once(parts: list[str]) -> None:
    once = masked("".join(parts))
    assert masked(once) == once


@pytest.mark.processes
def test_no_text_makes_a_pattern_try_again_from_each_letter() -> None:
    """All of it takes 4 seconds of processor time; a single pattern that is quadratic would take minutes."""
    pieces = (
        *(
            "a",
            "-",
            "--a",
            "_",
            "sk-",
            "sk-ant-",
            "eyJ",
            "-eyJ",
            "eyJaaaaa.",
            "://",
            "://a:",
            "a:",
            "@",
            "password",
            "AKIA",
        ),
        *(
            "password='",
            'password="',
            "password: a",
            "Bearer ",
            "bearer a",
            "token=a",
            "?key=",
            "-----BEGIN ",
            "Basic a",
        ),
        *(
            "-----BEGIN PRIVATE KEY-----",
            "authorization: bearer ",
            "xoxb-",
            "secret=~/",
            " ",
            "\\",
            "hooks.slack.com/a",
        ),
    )
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "from otel_tracker.runtime.masking import masked\n"
        f"for piece in {pieces!r}: masked(piece * (65_536 // len(piece)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


KEY = SECRETS["anthropic"]


def files_of(home: Home) -> str:
    return "".join(path.read_text() for path in Path(home.folder).rglob("*") if path.is_file())


def test_a_secret_in_an_error_is_neither_stored_nor_exported(tracker: MetricTracker, home: Home) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traced = MetricTracker(home.document, tracer_provider=provider)
    with pytest.raises(ValueError, match="sk-ant"), TaskTracker("core/coder.md", tracker=traced):
        raise ValueError(f"x-api-key {KEY}") from RuntimeError("postgres://me:hunter2@db/x")
    with TaskTracker("core/coder.md", tracker=traced) as task:
        task.add_attempt(ValueError(f"attempt {KEY}"))
        task.set_failed({"api_key": KEY})
    traced.record_task_failure("core/coder.md", traced.record_task_start("core/coder.md"), f"failed with {KEY}")
    traced.override_breaker("core/coder.md", "forced_open", reason=f"leaked {KEY}")
    spans = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "ValueError: x-api-key sk-ant-api03-***" in spans  # the trace of the exception is there
    assert "postgres://me:***@db/x" in spans
    for text in (spans, files_of(home)):
        assert "sk-ant-api03-***" in text
        assert LETTERS not in text
        assert "hunter2" not in text


def test_a_secret_in_a_hooks_payload_is_not_stored(home: Home, tracker: MetricTracker) -> None:
    tracker.register_agent("coder", "core/coder.md")
    launch = {
        "session_id": "5e55e55e-0000-4000-8000-000000000001",
        "hook_event_name": "PostToolUseFailure",
        "tool_name": "Task",
        "tool_use_id": "toolu_1",
        "tool_input": {"subagent_type": "coder", "prompt": "p"},
        "error": f"invalid x-api-key {KEY}",
    }
    hook(json.dumps(launch).encode(), home.folder)
    assert "sk-ant-api03-***" in files_of(home)
    assert LETTERS not in files_of(home)


def test_log_lines_and_messages_have_no_secrets(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        log.warn("cannot export: %r", ValueError(f"Authorization: Bearer {KEY}"))
    log.complain(f"cannot export: {KEY}")
    assert LETTERS not in caplog.text + capsys.readouterr().err


def test_a_setting_turns_masking_off(
    tracker: MetricTracker, home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACKER_MASK_SECRETS", "0")
    assert masked(KEY) == KEY
    configure(mask_secrets=True)
    try:
        assert masked(KEY) != KEY
    finally:
        configure()
    monkeypatch.setenv("OTEL_TRACKER_MASK_SECRETS", "ja")
    with caplog.at_level(logging.WARNING):
        assert (masked(KEY), masked("")) == ("sk-ant-api03-***", "")
    assert len(re.findall("OTEL_TRACKER_MASK_SECRETS=ja is neither on", caplog.text)) == 1
