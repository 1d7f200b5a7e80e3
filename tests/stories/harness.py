"""Sessions of Claude Code as told in tests: the payloads of its hooks, and the transcripts as they are at each of them.

Payloads, sidecars and records have the keys that the program was seen to send and write (tests.stories.payloads).
"""

import json
import os
import time
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from otel_tracker.runtime.timestamps import format_timestamp
from tests.stories.payloads import NEWEST, Payload, like, payload_of, record_of
from tests.stories.transcript_of_agent import MODEL, PRIVATE, TranscriptOfAgent, text_block, usage

_numbers = count(1)


class Step(NamedTuple):
    """A payload, what has been written to which file before it, and the steps, by their places, that come before it."""

    payload: Payload
    writes: list[tuple[Path, str]]
    after: tuple[int, ...]

    @property
    def event(self) -> str:
        event: str = self.payload["hook_event_name"]
        return event


class Session:
    """A session: what its hooks get from a version of Claude Code, in `steps`, and its transcript."""

    def __init__(self, session_id: "str | None" = None, version: str = NEWEST) -> None:
        self.version = version
        self.session_id = session_id or f"5f0c7a9e-0000-4000-8000-{next(_numbers):012x}"
        self.folder = Path(os.path.expanduser("~/.claude/projects/-project"))
        self.transcript = self.folder / f"{self.session_id}.jsonl"
        self.steps: list[Step] = []
        self.now = time.time() - 900
        self._unwritten: list[tuple[Path, str]] = []

    def fires(self, event: str, after: tuple[int, ...] = (), shape: "str | None" = None, **fields: Any) -> int:
        """Add a payload, and return its place; `shape` names the true payload whose keys it has."""
        ours = {
            "session_id": self.session_id,
            "transcript_path": str(self.transcript),
            "cwd": "/project",
            "hook_event_name": event,
            **fields,
        }
        true, newest = (payload_of(version, shape or event) for version in (self.version, NEWEST))
        self.steps.append(Step(like(true, ours, newest), self._unwritten, after))
        self._unwritten = []
        return len(self.steps) - 1

    def writes(self, path: Path, text: str) -> None:
        self._unwritten.append((path, text))

    def written(self) -> list[tuple[Path, str]]:
        """Return what is written after the last payload."""
        return self._unwritten

    def record(self, path: Path, kind: str, shape: "str | None" = None, **fields: Any) -> None:
        """Write a record to a transcript, seven seconds after the one before; `shape` names the true record that it is like."""
        self.now += 7
        ours = {
            "parentUuid": None,
            "sessionId": self.session_id,
            "uuid": f"uuid-{next(_numbers)}",
            "timestamp": format_timestamp(self.now),
            "type": kind,
            "version": self.version,
            "cwd": "/project",
            "entrypoint": "cli",
            **fields,
        }
        self.writes(path, json.dumps(like(record_of(self.version, shape), ours) if shape else ours) + "\n")

    def tells(self, content: Any, **fields: Any) -> None:
        """Write what the user, a tool or Claude Code says to the session's own transcript."""
        self.record(self.transcript, "user", isSidechain=False, message={"role": "user", "content": content}, **fields)

    def attaches(self, **attachment: Any) -> None:
        self.record(self.transcript, "attachment", isSidechain=False, attachment=attachment)

    def stops(self, *running: "Run") -> None:
        """Let the main turn end while agents run in the background."""
        tasks = [
            {
                "id": run.agent_id,
                "type": "subagent",
                "status": "running",
                "description": PRIVATE,
                "agent_type": run.kind,
            }
            for run in running
        ]
        self.fires(
            "Stop",
            stop_hook_active=False,
            last_assistant_message=PRIVATE,
            background_tasks=tasks,
            session_crons=[],
        )

    def starts(self, source: str = "startup") -> None:
        self.fires("SessionStart", shape=f"SessionStart.{source}", source=source)

    def breaks_off(self, error: str) -> None:
        """Let the main turn end by an error of the API: the payload is that of an agent's turn, but names no agent."""
        place = self.fires("StopFailure", shape="StopFailure.server_error", error=error)
        for key in ("agent_id", "agent_type"):
            del self.steps[place].payload[key]

    def is_over(self, reason: str = "other") -> None:
        self.fires("SessionEnd", shape=f"SessionEnd.{reason}", reason=reason)

    def asks(self, prompt: str = PRIVATE) -> None:
        self.fires("UserPromptSubmit", prompt=prompt)

    def agent(self, kind: str = "coder", by: "Run | None" = None, **tool_input: Any) -> "Run":
        """Return a run that has not been launched."""
        return Run(self, kind, by, tool_input)

    def launches(self, kind: str = "coder", by: "Run | None" = None, **tool_input: Any) -> "Run":
        return self.agent(kind, by, **tool_input).is_asked_for()


class Run(TranscriptOfAgent):
    """One run of a sub-agent. Each method adds what the hooks get, or what its transcript says, and returns the run."""

    def __init__(self, session: Session, kind: str, parent: "Run | None", tool_input: Payload) -> None:
        number = next(_numbers)
        self.session, self.kind, self.parent = session, kind, parent
        self.tool_use_id, self.agent_id = f"toolu_01{number:08}", f"a{number:016x}"
        self.tool_name = "Agent"
        self.tool_input = {"description": PRIVATE, "prompt": PRIVATE, "subagent_type": kind, **tool_input}
        self.transcript = session.folder / session.session_id / "subagents" / f"agent-{self.agent_id}.jsonl"
        self.depth = parent.depth + 1 if parent else 1
        self._asked: tuple[int, ...] = ()
        self._notified: tuple[int, ...] = ()

    # What the hooks get

    def is_asked_for(self) -> "Run":
        call = {"type": "tool_use", "id": self.tool_use_id, "name": self.tool_name, "input": self.tool_input}
        message = {
            "id": f"msg_{self.tool_use_id}",
            "role": "assistant",
            "model": MODEL,
            "content": [call],
            "stop_reason": "tool_use",
        }
        self._caller_record("assistant", message=message, requestId=f"req_{self.tool_use_id}")
        self._asked = (self._fires("PreToolUse"),)
        return self

    def completes(self, **response: Any) -> "Run":
        """End a run in the foreground; the figures in the response are those of its last request only."""
        return self._results(
            {
                "status": "completed",
                "agentId": self.agent_id,
                "agentType": self.kind,
                "content": [text_block("Done.")],
                "prompt": PRIVATE,
                "resolvedModel": MODEL,
                "totalToolUseCount": 1,
                "totalDurationMs": 48211,
                "totalTokens": 777,
                "usage": usage({"input": 777}),
                **response,
            },
            duration_ms=48300,
        )

    def is_in_background(self, **response: Any) -> "Run":
        return self._results(
            {
                "status": "async_launched",
                "isAsync": True,
                "agentId": self.agent_id,
                "description": PRIVATE,
                "resolvedModel": MODEL,
                "prompt": PRIVATE,
                "outputFile": f"/tmp/{self.agent_id}.output",  # noqa: S108 - as Claude Code has it
                "canReadOutputFile": True,
                **response,
            },
        )

    def gives(self, result: "Payload | str") -> "Run":
        """End the tool call with a text in place of an object."""
        return self._results(result)

    def fails(
        self, error: str, *, is_interrupt: bool = False, is_in_transcript: bool = True, shown: "str | None" = None
    ) -> "Run":
        """Let the tool's call fail; the transcript shows the error, of an interrupt its usual text, or what is `shown`."""
        if is_in_transcript:
            usual = "[Request interrupted by user for tool use]" if is_interrupt else error
            self._result_record(f"Error: {shown or usual}", is_error=True)
        self._fires("PostToolUseFailure", error=error, is_interrupt=is_interrupt, duration_ms=4187)
        return self

    def begins(self, agent_id: "str | None" = None) -> "Run":
        """Start the agent, or a further turn of it."""
        self.session.fires("SubagentStart", self._asked, agent_id=agent_id or self.agent_id, agent_type=self.kind)
        return self

    def ends(self, **fields: Any) -> "Run":
        """End a turn of the agent."""
        told = {
            "agent_id": self.agent_id,
            "agent_type": self.kind,
            "agent_transcript_path": str(self.transcript),
            "last_assistant_message": PRIVATE,
            "background_tasks": [],
            "session_crons": [],
            "stop_hook_active": False,
        }
        self.session.fires("SubagentStop", self._asked, **{**told, **fields})
        return self

    def breaks_off(self, error: str = "server_error") -> "Run":
        """Send StopFailure, which comes in the place of SubagentStop after an error of the API."""
        about = {"agent_id": self.agent_id, "agent_type": self.kind, "error": error}
        self.session.fires("StopFailure", self._asked, "StopFailure.server_error", **about)
        return self

    def is_notified(
        self, status: str, summary: str = "finished", *, has_tool_use_id: bool = True, is_in_transcript: bool = True
    ) -> "Run":
        """Tell the main agent how a run in the background has ended."""
        link = f"<tool-use-id>{self.tool_use_id}</tool-use-id>\n" if has_tool_use_id else ""
        prompt = (
            f"<task-notification>\n<task-id>{self.agent_id}</task-id>\n{link}"
            f"<output-file>/tmp/{self.agent_id}.output</output-file>\n<status>{status}</status>\n"
            f'<summary>Agent "{PRIVATE}" {summary}</summary>\n<result>{PRIVATE} <b>x</b></result>\n'
            "<usage><subagent_tokens>777</subagent_tokens><tool_uses>7</tool_uses><duration_ms>48211</duration_ms></usage>\n"
            "</task-notification>"
        )
        if is_in_transcript:
            self.session.tells(prompt)
        place = self.session.fires("UserPromptSubmit", (*self._asked, *self._notified), prompt=prompt)
        self._notified = (place,)
        return self

    def is_denied(self, kind: str) -> "Run":
        """Let somebody refuse the launch, or the user stamp it as refused: only the session's transcript says so."""
        self._result_record("The user doesn't want to proceed with this tool use.", toolDenialKind=kind)
        return self

    def _results(self, response: "Payload | str", **fields: Any) -> "Run":
        self._result_record(response)
        self._fires("PostToolUse", tool_response=response, **fields)
        return self

    def _result_record(self, result: Any, *, is_error: bool = False, **fields: Any) -> None:
        """Write the tool call's result to the transcript of who has made it."""
        content = result if is_error else PRIVATE
        block = {"type": "tool_result", "tool_use_id": self.tool_use_id, "content": content, "is_error": is_error}
        message = {"role": "user", "content": [block]}
        self._caller_record("user", message=message, toolUseResult=result, **fields)

    def _caller_record(self, kind: str, **fields: Any) -> None:
        caller = self.parent.transcript if self.parent else self.session.transcript
        about = {"isSidechain": True, "agentId": self.parent.agent_id} if self.parent else {"isSidechain": False}
        self.session.record(caller, kind, **about, **fields)

    def _fires(self, event: str, **fields: Any) -> int:
        caller = {"agent_id": self.parent.agent_id, "agent_type": self.parent.kind} if self.parent else {}
        about = {"tool_name": self.tool_name, "tool_input": self.tool_input, "tool_use_id": self.tool_use_id}
        response = fields.get("tool_response")
        status = response.get("status") if isinstance(response, dict) else None
        special = {"PreToolUse": "", "PostToolUseFailure": ".unknown_type"}.get(event, f".{status or 'completed'}")
        shape = f"{event}.Agent{special}{'.in_agent' if self.parent else ''}"
        return self.session.fires(event, self._asked, shape, **caller, **about, **fields)
