"""The transcript of one run, record by record, in the shapes that Claude Code writes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_tracker.state.shapes import Tokens
from tests.stories.payloads import NEWEST, Payload, like, sidecar_of

if TYPE_CHECKING:
    from typing import Self

    from tests.stories.harness import Run, Session


MODEL = "claude-sonnet-5"
PRIVATE = "private-words-of-the-user"
FIRST: Tokens = {"input": 4, "output": 120, "cache_read": 15000, "cache_write": 1200}
LAST: Tokens = {"input": 6, "output": 300, "cache_read": 16200, "cache_write": 100}
WORK: Tokens = {kind: FIRST[kind] + LAST[kind] for kind in FIRST}


def usage(tokens: Tokens, **more: Any) -> Payload:
    """Return the usage of a record in Anthropic's names."""
    return {
        "input_tokens": tokens.get("input", 0),
        "output_tokens": tokens.get("output", 0),
        "cache_creation_input_tokens": tokens.get("cache_write", 0),
        "cache_read_input_tokens": tokens.get("cache_read", 0),
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.get("cache_write", 0),
            "ephemeral_1h_input_tokens": 0,
        },
        "service_tier": "standard",
        "iterations": [],
        **more,
    }


def text_block(text: str) -> Payload:
    return {"type": "text", "text": f"{text} {PRIVATE}"}


class TranscriptOfAgent:
    """What the transcript of a run says. Each method adds to it, and returns the run."""

    session: "Session"
    transcript: Path
    agent_id: str
    tool_use_id: str
    kind: str
    depth: int
    parent: "Run | None"

    def is_prompted(self, *, sidecar: "Payload | None" = None) -> "Self":
        ours = {"agentType": self.kind, "description": PRIVATE, "toolUseId": self.tool_use_id, "spawnDepth": self.depth}
        if self.parent:
            ours["parentAgentId"] = self.parent.agent_id
        true, newest = (sidecar_of(version) for version in (self.session.version, NEWEST))
        meta = like(true, ours, newest) if sidecar is None else sidecar
        self.session.writes(self.transcript.with_suffix(".meta.json"), json.dumps(meta))
        return self.hears([text_block("Find all API endpoints.")])

    def hears(self, content: Any, **fields: Any) -> "Self":
        shape = "user.meta" if fields.get("isMeta") else "user.prompt"
        self._record("user", shape, message={"role": "user", "content": content}, **fields)
        return self

    def says(
        self,
        content: list[Payload],
        tokens: "Tokens | Payload",
        *,
        message: str,
        request: "str | None" = None,
        model: str = MODEL,
        stop_reason: "str | None" = None,
        **fields: Any,
    ) -> "Self":
        """Write one record of a message; the message's name is made unique."""
        body = {
            "id": f"msg_{self.agent_id}_{message}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": stop_reason,
            "usage": tokens if "input_tokens" in tokens else usage(tokens),
        }
        shape = "assistant.api_error.server_error" if fields.get("isApiErrorMessage") else "assistant.tool_use"
        request = f"req_{self.agent_id}_{request or message}"
        self._record("assistant", shape, message=body, requestId=request, attributionAgent=self.kind, **fields)
        return self

    def calls_a_tool(self, message: str = "1", **fields: Any) -> "Self":
        """Write a message of two records, the second with the usage as it is at its end."""
        self.says([text_block("I'll look.")], {**FIRST, "output": 1}, message=message, **fields)
        call = {
            "type": "tool_use",
            "id": f"toolu_{self.agent_id}_{message}",
            "name": "Bash",
            "input": {"command": PRIVATE},
        }
        return self.says([call], FIRST, message=message, **{"stop_reason": "tool_use", **fields})

    def gets_a_result(self, message: str = "1") -> "Self":
        result = {"type": "tool_result", "tool_use_id": f"toolu_{self.agent_id}_{message}", "content": PRIVATE}
        return self.hears([result])

    def answers(self, message: str = "2", **fields: Any) -> "Self":
        return self.says([text_block("Found 12.")], LAST, message=message, **{"stop_reason": "end_turn", **fields})

    def works(self) -> "Self":
        """Write a whole run: a prompt, a tool's use and result, an answer."""
        return self.is_prompted().calls_a_tool().gets_a_result().answers()

    def is_cut(self) -> "Self":
        """Write a run that stops in the middle of a tool's use."""
        return self.is_prompted().calls_a_tool()

    def is_interrupted(self) -> "Self":
        return self.hears([{"type": "text", "text": "[Request interrupted by user]"}])

    def meets(self, error: str, status: "int | None" = None, text: str = "API Error") -> "Self":
        """Write an API error as the last record."""
        return self.says(
            [{"type": "text", "text": text}],
            {},
            message="error",
            model="<synthetic>",
            stop_reason="stop_sequence",
            isApiErrorMessage=True,
            error=error,
            apiErrorStatus=status,
        )

    def _record(self, kind: str, shape: str, **fields: Any) -> None:
        self.session.record(self.transcript, kind, shape, isSidechain=True, agentId=self.agent_id, **fields)
