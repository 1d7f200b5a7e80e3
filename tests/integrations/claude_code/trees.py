"""Trees of Claude Code's transcripts with a known truth, made from a seed, in the layouts that its versions have had.

The truth is what was written, not what a reader made of it: requests with their tokens, and runs with their outcomes.
"""

import json
import os
import random
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_tracker.names import CANCELLED, FAILURE, LOST, SUCCESS
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.shapes import Tokens

Record = dict[str, Any]

MODELS = (
    "claude-opus-4-8",
    "claude-sonnet-5",
    "claude-sonnet-5[1m]",
    "claude-haiku-4-5-20251001",
    "claude-haiku-5-5",
    "claude-sonnet-4-5-20250929",
    "claude-of-nobody-1",  # which has no price
)
AGENTS = ("coder", "Explore", "general-purpose", "my-plugin:reviewer", "tester")
CLEAN, LIMITED, API_ERROR, INTERRUPTED, CUT = "clean", "limited", "api_error", "interrupted", "cut"
"""How a transcript ends: with an answer, behind a tool's result, with an error, stopped by the user, within a tool."""

_DAY, _SESSION_SECONDS = 86_400.0, 6 * 3600.0
_WORDS = ("def", "the", "of", "run", "file", "test", "error", "return", "path", "and", "value", "list", "agent", "line")


@dataclass(frozen=True)
class Request:
    """A request to the API; `run` is that of the sub-agent which made it, None for the main conversation."""

    model: str
    tokens: Tokens
    at: float
    speed: str | None
    run: "TrueRun | None"


@dataclass(eq=False)
class TrueRun:
    """A run of a sub-agent. `launch` is the call that launched it, else its own id."""

    agent: str
    outcome: str
    session_id: str
    launch: str
    project: str
    requests: list[Request] = field(default_factory=list)


@dataclass
class Truth:
    """What a tree holds."""

    roots: list[Path]
    requests: list[Request] = field(default_factory=list)
    runs: list[TrueRun] = field(default_factory=list)
    unreadable: int = 0
    """Lines that no reader can read, in files that are there once."""

    def tokens(self, requests: "Iterable[Request] | None" = None) -> Counter[tuple[str, str]]:
        """Return the tokens by model and type, of all requests or of some."""
        total: Counter[tuple[str, str]] = Counter()
        for request in self.requests if requests is None else requests:
            for kind, number in request.tokens.items():
                total[request.model.partition("[")[0], kind] += number
        return +total

    def main(self) -> list[Request]:
        """Return the requests of the main conversations."""
        return [request for request in self.requests if request.run is None]

    def outcomes(self) -> Counter[tuple[str, str]]:
        """Return the number of runs by agent and outcome."""
        return Counter((run.agent, run.outcome) for run in self.runs)


def write_tree(
    root: Path,
    seed: int,
    until: float,
    *,
    sessions: int = 4,
    days: float = 20,
    filler: int = 300,
    most_bytes: int = 0,
    spaced: float = 0.5,
    tools: int = 3,
) -> Truth:
    """Write a tree below `root`, as the folder of Claude Code (`CLAUDE_CONFIG_DIR`), and return its truth.

    Its sessions are of the last `days` before `until` (seconds since 1970) and end an hour before it. `filler` are the
    characters of a usual tool's result. With `most_bytes` sessions are added up to about that size.
    """
    tree = _Tree(root, random.Random(seed), until, days, filler, spaced, tools)  # noqa: S311 - no secret
    number = 0
    while number < sessions or tree.written < most_bytes:
        tree.add_session(number)
        number += 1
    return tree.truth


def double(truth: Truth, other: Path) -> None:
    """Copy the first root of a tree to another, which holds nothing new."""
    shutil.copytree(truth.roots[0], other, symlinks=True)
    truth.roots.append(other)


def link_projects(truth: Truth) -> None:
    """Let a second path lead to each folder of a project, and a link in each of them lead back to all."""
    projects = truth.roots[0] / "projects"
    for folder in [path for path in projects.iterdir() if path.is_dir()]:
        (projects / f"{folder.name}-link").symlink_to(folder, target_is_directory=True)
        (folder / "back").symlink_to(projects, target_is_directory=True)


class _Tree:
    """What all sessions of a tree share."""

    def __init__(
        self, root: Path, rng: random.Random, until: float, days: float, filler: int, spaced: float, tools: int
    ) -> None:
        self.root, self.rng, self.filler, self.spaced, self.tools = root, rng, filler, spaced, tools
        self._first, self._last = until - days * _DAY, until - _SESSION_SECONDS - 3700.0
        self.truth = Truth([root])
        self.written = 0
        self._text = " ".join(rng.choices(_WORDS, k=20_000))

    def words(self, size: int) -> str:
        start = self.rng.randrange(len(self._text) // 2)
        return (self._text * (1 + 2 * size // len(self._text)))[start : start + size]

    def name(self, prefix: str, digits: int = 16) -> str:
        return f"{prefix}{self.rng.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def add_session(self, number: int) -> None:
        project = f"/home/user/project-{number % 3}"
        session = _Session(self, project, self.rng.uniform(self._first, self._last))
        shapes = list(_SHAPES)
        self.rng.shuffle(shapes)
        session.turn()
        for shape in shapes:
            shape(session)
            if self.rng.random() < 0.5:
                session.turn()
        session.write()
        self.rng.choice(_COPIES)(session)


class _Transcript:
    """One file: its records, in their order."""

    def __init__(self, session: "_Session", path: Path, *, agent_id: str | None = None) -> None:
        self.session, self.tree, self.path, self.agent_id = session, session.tree, path, agent_id
        self.records: list[Record | bytes] = []
        self.separators = (", ", ": ") if self.tree.rng.random() < self.tree.spaced else (",", ":")
        self._parent: str | None = None

    def add(self, kind: str, *, later: float = 3.0, **fields: Any) -> Record:
        """Add a record, some seconds later than the last one of the session."""
        session, agent_id = self.session, fields.pop("agentId", self.agent_id)
        session.now += self.tree.rng.uniform(0.01, later)
        record = {
            "parentUuid": fields.pop("parentUuid", self._parent),
            "isSidechain": agent_id is not None,
            **({"agentId": agent_id} if agent_id else {}),
            "type": kind,
            **fields,
            "uuid": self.tree.uuid(),
            "timestamp": f"{format_timestamp(session.now)[:-4]}Z",  # milliseconds
            "cwd": session.project,
            "sessionId": session.id,
            "version": "2.1.226",
        }
        self._parent = record["uuid"]
        self.records.append(record)
        return record

    def hears(self, content: Any, **fields: Any) -> Record:
        return self.add("user", message={"role": "user", "content": content}, **fields)

    def result(self, tool: str, content: Any = None, *, is_error: bool = False, **fields: Any) -> Record:
        block = {"tool_use_id": tool, "type": "tool_result", "content": content or self._output(), "is_error": is_error}
        return self.hears([block], **fields)

    def says(self, *blocks: Record, run: TrueRun | None, stop: str | None = "end_turn", **fields: Any) -> None:
        """Add one answer: a record for each block, of which each repeats the usage as far as it is known."""
        rng, model = self.tree.rng, self.tree.rng.choice(MODELS)
        tokens, speed = _tokens(rng), rng.choice((None, "standard", "standard", "fast"))
        fields.setdefault("requestId", self.tree.name("req_"))
        message = {"id": self.tree.name("msg_"), "type": "message", "role": "assistant", "model": model}
        beside = _tokens(rng) if rng.random() < 0.05 else None
        final = rng.randrange(len(blocks))  # later records may have less again: of each number the largest counts
        for number, block in enumerate(blocks):
            grown = tokens if number == final else {**tokens, "output": rng.randint(0, tokens["output"])}
            usage = {**_usage(grown), "service_tier": "standard", **({"speed": speed} if speed else {})}
            if number == final and beside is not None:
                usage["iterations"] = [
                    {"type": "message", **_usage(tokens)},
                    {"type": "advisor_message", "model": MODELS[0], **_usage(beside)},
                ]
            reason = stop if number == len(blocks) - 1 else None
            self.add(
                "assistant", message={**message, "content": [block], "stop_reason": reason, "usage": usage}, **fields
            )
        self._count(Request(model, tokens, self.session.now, speed, run))
        if beside is not None:
            self._count(Request(MODELS[0], beside, self.session.now, None, run))

    def breaks(self) -> None:
        """Add an error of the API, which Claude Code writes as an answer."""
        content = [{"type": "text", "text": "API Error: 500 something went wrong"}]
        usage = {"input_tokens": 0, "output_tokens": 0, "iterations": None, "speed": None}
        message = {"id": self.tree.uuid(), "model": "<synthetic>", "role": "assistant", "stop_reason": "stop_sequence"}
        body = {**message, "usage": usage, "content": content}
        self.add("assistant", message=body, isApiErrorMessage=True, error="server_error")

    def uses_a_tool(self, run: TrueRun | None, **fields: Any) -> None:
        tool = self.calls(run, "Bash", {"command": self._prose()}, **fields)
        self.result(tool, **fields)

    def calls(self, run: TrueRun | None, name: str, arguments: Record, **fields: Any) -> str:
        """Add an answer that calls a tool, and return the id of the call."""
        tool = self.tree.name("toolu_")
        call = {"type": "tool_use", "id": tool, "name": name, "input": arguments}
        self.says(*self._thoughts(), call, run=run, stop=self.tree.rng.choice(("tool_use", None)), **fields)
        return tool

    def answers(self, run: TrueRun | None, **fields: Any) -> None:
        stop = self.tree.rng.choice(("end_turn", "end_turn", None))
        self.says(*self._thoughts(), self._words(), run=run, stop=stop, **fields)

    def works(self, run: TrueRun, ending: str, **fields: Any) -> None:
        """Add the work of an agent: a prompt, tools, and one of the endings."""
        for _ in range(self.tree.rng.randint(1, self.tree.tools)):
            self.uses_a_tool(run, **fields)
        if ending == CLEAN:
            self.answers(run, **fields)
        elif ending == API_ERROR:
            self.breaks()
        elif ending == INTERRUPTED:
            self.hears([{"type": "text", "text": "[Request interrupted by user]"}], **fields)
        elif ending == CUT:
            self.calls(run, "Read", {"file_path": "/x"}, **fields)

    def damage(self) -> None:
        """Add what no reader can read, and what can be read although bytes in it are bad."""
        junk = [
            b'{"type":"assistant","message":{"id":"msg_cut","usage":{"input_tok',
            b"null",
            b"\x00\x01\x02",
            b"[1, 2",
        ]
        self.records += self.tree.rng.sample(junk, 2)
        self.session.tree.truth.unreadable += 2

    def write(self) -> None:
        """Write the file, as old as its last record."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = b"\n".join(map(self._line, self.records)) + b"\n"
        self.path.write_bytes(content)
        self.tree.written += len(content)
        os.utime(self.path, (self.session.now, self.session.now))

    def _line(self, record: Record | bytes) -> bytes:
        if isinstance(record, bytes):
            return record
        line = json.dumps(record, separators=self.separators).encode()
        return line.replace(b"BAD", b"\xff\xc3") if b"BAD" in line else line

    def _count(self, request: Request) -> None:
        self.tree.truth.requests.append(request)
        if request.run is not None:
            request.run.requests.append(request)

    def _thoughts(self) -> list[Record]:
        few = self.tree.rng.randint(0, 2)
        return [{"type": "thinking", "thinking": self._prose(), "signature": "x" * 400}, self._words()][:few]

    def _words(self) -> Record:
        bad = "BAD" if self.tree.rng.random() < 0.05 else ""
        return {"type": "text", "text": f'{self._prose()} "usage" \\ {bad}é'}

    def _prose(self) -> str:
        return self.tree.words(self.tree.rng.randint(20, 20 + self.tree.filler // 2))

    def _output(self) -> str:
        size = self.tree.filler * (200 if self.tree.rng.random() < 0.01 else 1)
        quoted = (
            ' "assistant" "usage": {"input_tokens": 5}\n <task-notification> BAD'
            if self.tree.rng.random() < 0.05
            else ""
        )
        return self.tree.words(size) + quoted


class _Session:
    """One session of Claude Code, and its files."""

    def __init__(self, tree: _Tree, project: str, began: float) -> None:
        self.tree, self.rng, self.project, self.now = tree, tree.rng, project, began
        self.id = tree.uuid()
        self.folder = tree.root / "projects" / project.replace("/", "-")
        self.main = _Transcript(self, self.folder / f"{self.id}.jsonl")
        self.files: list[_Transcript] = [self.main]

    @property
    def subagents(self) -> Path:
        return self.folder / self.id / "subagents"

    def write(self) -> None:
        if self.rng.random() < 0.5:
            self.main.damage()
        for transcript in self.files:
            transcript.write()

    def turn(self) -> None:
        """Add a turn of the main conversation."""
        self.main.hears(self.tree.words(60))
        for _ in range(self.rng.randint(0, self.tree.tools)):
            self.main.uses_a_tool(None)
        self.main.answers(None)

    def run(self, agent: str, outcome: str, launch: str) -> TrueRun:
        run = TrueRun(agent, outcome, self.id, launch, self.project)
        self.tree.truth.runs.append(run)
        return run

    def launch(self, by: "_Transcript | None" = None, run: TrueRun | None = None, **arguments: Any) -> tuple[str, str]:
        """Call the tool that runs sub-agents; return the id of the call, and the agent's type."""
        agent = arguments.pop("subagent_type", self.rng.choice(AGENTS))
        wish = {"description": "a job", "prompt": self.tree.words(90), **arguments}
        if agent != "general-purpose":
            wish["subagent_type"] = agent
        return (by or self.main).calls(run, self.rng.choice(("Agent", "Task")), wish), agent

    def transcript(self, agent_id: str, folder: Path | None = None, sidecar: Record | None = None) -> _Transcript:
        path = (folder or self.subagents) / f"agent-{agent_id}.jsonl"
        transcript = _Transcript(self, path, agent_id=agent_id)
        self.files.append(transcript)
        if sidecar is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".meta.json").write_text(json.dumps(sidecar))
        return transcript

    def launched(self, tool: str, agent: str, outcome: str, **more: Any) -> tuple[TrueRun, _Transcript]:
        """Return the run of a launch, and its transcript with its prompt."""
        run, agent_id = self.run(agent, outcome, tool), self.tree.name("a")
        sidecar = {"agentType": agent, "description": "a job", "toolUseId": tool, "spawnDepth": 1, **more}
        transcript = self.transcript(agent_id, sidecar=sidecar)
        transcript.hears(self.tree.words(90))
        return run, transcript


def _tokens(rng: random.Random) -> Tokens:
    write = rng.choice((0, rng.randint(1, 9000)))
    tokens: Tokens = {
        "input": rng.choice((rng.randint(1, 50), rng.randint(1, 20_000))),
        "output": rng.randint(1, 3000),
        "cache_read": rng.choice((0, rng.randint(1, 90_000), rng.randint(1, 250_000))),
        "cache_write": write,
    }
    if write and rng.random() < 0.5:
        tokens["cache_write_1h"] = rng.choice((write, rng.randint(1, write)))
    return tokens


def _usage(tokens: Tokens) -> Record:
    for_an_hour = tokens.get("cache_write_1h", 0)
    return {
        "input_tokens": tokens["input"],
        "cache_creation_input_tokens": tokens["cache_write"],
        "cache_read_input_tokens": tokens["cache_read"],
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens["cache_write"] - for_an_hour,
            "ephemeral_1h_input_tokens": for_an_hour,
        },
        "output_tokens": tokens["output"],
    }


def _result(transcript: _Transcript, status: str = "completed", **more: Any) -> Record:
    usage = {"input_tokens": 9, "output_tokens": 9, "cache_read_input_tokens": 999}  # of the last request alone
    return {"status": status, "agentId": transcript.agent_id, "totalTokens": 1017, "usage": usage, **more}


# Shapes of runs. Each adds one to a session, or what looks like one and is none.


def _foreground(session: _Session) -> None:
    outcome, ending = session.rng.choice(
        ((SUCCESS, CLEAN), (SUCCESS, LIMITED), (FAILURE, API_ERROR), (FAILURE, CUT), (CANCELLED, INTERRUPTED))
    )
    run, transcript = session.launched(*session.launch(), outcome)
    transcript.works(run, ending)
    session.main.result(run.launch, [{"type": "text", "text": "Done."}], toolUseResult=_result(transcript))


def _failed_in_front(session: _Session) -> None:
    run, transcript = session.launched(*session.launch(), FAILURE)
    transcript.works(run, API_ERROR)
    error = "Agent terminated early due to an API error: 500"
    session.main.result(run.launch, error, is_error=True, toolUseResult=f"Error: {error}")


def _interrupted(session: _Session) -> None:
    run, transcript = session.launched(*session.launch(), CANCELLED)
    transcript.works(run, CUT)
    said = "[Request interrupted by user for tool use]"
    session.main.result(run.launch, said, is_error=True, toolUseResult=f"Error: {said}")


def _unreported(session: _Session) -> None:
    """Add a run whose launcher was told nothing of its end: its session ended before."""
    outcome, ending = session.rng.choice(((LOST, CUT), (LOST, LIMITED), (SUCCESS, CLEAN), (CANCELLED, INTERRUPTED)))
    run, transcript = session.launched(*session.launch(), outcome)
    transcript.works(run, ending)


def _background(session: _Session) -> None:
    outcome, ending, status = session.rng.choice(
        (
            (SUCCESS, CLEAN, "completed"),
            (FAILURE, API_ERROR, "completed"),
            (FAILURE, CLEAN, "failed"),
            (CANCELLED, CUT, "killed"),
            (LOST, LIMITED, None),
        )
    )
    run, transcript = session.launched(*session.launch(run_in_background=True), outcome)
    session.main.result(run.launch, toolUseResult=_result(transcript, "async_launched", isAsync=True))
    transcript.works(run, ending)
    if status is not None:
        _notify(session, transcript, run, status)


def _notify(session: _Session, transcript: _Transcript, run: TrueRun, status: str) -> None:
    tool = f"<tool-use-id>{run.launch}</tool-use-id>" if session.rng.random() < 0.8 else ""
    said = (
        f"<task-notification><task-id>{transcript.agent_id}</task-id>{tool}<status>{status}</status>"
        f'<summary>Agent "a job" {status}</summary><result>Done.</result></task-notification>'
    )
    way = session.rng.choice(("user", "queue", "attachment"))
    if way == "user":
        session.main.hears(said)
    elif way == "queue":
        session.main.add("queue-operation", operation="enqueue", content=said)
    else:
        session.main.add("attachment", attachment={"type": "queued_command", "prompt": said})


def _stopped_by_tool(session: _Session) -> None:
    run, transcript = session.launched(*session.launch(run_in_background=True), CANCELLED)
    session.main.result(run.launch, toolUseResult=_result(transcript, "async_launched", isAsync=True))
    transcript.works(run, CUT)
    tool = session.main.calls(None, "TaskStop", {"task_id": transcript.agent_id})
    message = f"Successfully stopped task: {transcript.agent_id} (a job)"
    session.main.result(tool, message, toolUseResult={"message": message, "task_id": transcript.agent_id})


def _turned_down(session: _Session) -> None:
    """Launch what never runs: there are too many agents already, or the user refuses it."""
    tool, _ = session.launch()
    if session.rng.random() < 0.5:
        error = "Concurrent subagent limit reached (20)"
        session.main.result(tool, error, is_error=True, toolUseResult=f"Error: {error}")
    else:
        denial = {"toolUseResult": "User rejected tool use", "toolDenialKind": "user-rejected"}
        session.main.result(tool, "The user doesn't want to proceed with this tool use.", is_error=True, **denial)


def _unknown_type(session: _Session) -> None:
    tool, agent = session.launch(subagent_type="no-such-agent")
    session.run("unknown", FAILURE, tool)
    error = f"Agent type '{agent}' not found. Available agents: coder"
    session.main.result(tool, error, is_error=True, toolUseResult=f"Error: {error}")


def _without_transcript(session: _Session) -> None:
    """Add a run whose own files are gone: its tokens are unmeasured."""
    tool, agent = session.launch()
    session.run(agent, SUCCESS, tool)
    result = {"status": "completed", "agentId": session.tree.name("a"), "agentType": agent, "totalDurationMs": 5000}
    session.main.result(tool, toolUseResult=result)


def _nested(session: _Session) -> None:
    outer, transcript = session.launched(*session.launch(), SUCCESS)
    tool, agent = session.launch(transcript, outer)
    depth = {"spawnDepth": 2, **({"parentAgentId": transcript.agent_id} if session.rng.random() < 0.5 else {})}
    inner, below = session.launched(tool, agent, SUCCESS, **depth)
    below.works(inner, CLEAN)
    transcript.result(tool, toolUseResult=_result(below))
    transcript.works(outer, CLEAN)
    session.main.result(outer.launch, toolUseResult=_result(transcript))


def _woken(session: _Session) -> None:
    """Add a run of two turns, the second of which is begun by a message, long after the first."""
    run, transcript = session.launched(*session.launch(run_in_background=True), SUCCESS)
    session.main.result(run.launch, toolUseResult=_result(transcript, "async_launched", isAsync=True))
    transcript.works(run, CLEAN)
    _notify(session, transcript, run, "completed")
    transcript.hears("Go on.", later=600.0)
    transcript.works(run, CLEAN)
    _notify(session, transcript, run, "completed")


def _inline(session: _Session) -> None:
    """Add a run as old versions wrote it: into the session's file, where only its prompt links it to its launch."""
    outcome, ending = session.rng.choice(
        ((SUCCESS, CLEAN), (FAILURE, API_ERROR), (CANCELLED, INTERRUPTED), (LOST, CUT))
    )
    tool, agent = session.launch()
    call = next(
        block
        for record in reversed(session.main.records)
        if isinstance(record, dict) and record["type"] == "assistant"
        for block in record["message"]["content"]
        if block.get("id") == tool
    )
    run = session.run(agent, outcome, tool)
    chain = _Transcript(session, session.main.path, agent_id="inline")
    chain.hears(call["input"]["prompt"], parentUuid=None)
    chain.works(run, ending)
    for record in chain.records:
        assert isinstance(record, dict)
        del record["agentId"]
    session.main.records += chain.records
    if ending != CUT:
        session.main.result(
            tool, toolUseResult={"content": [], "totalDurationMs": 900, "totalToolUseCount": 1, "usage": {}}
        )


def _flat(session: _Session) -> None:
    """Add a run as versions between wrote it: beside the session's file, without a sidecar, told once more as progress."""
    tool, agent = session.launch()
    run = session.run(agent, SUCCESS, tool)
    transcript = session.transcript(session.tree.name("", 8), session.folder)
    transcript.hears(session.tree.words(90))
    transcript.works(run, CLEAN)
    for record in list(transcript.records):
        assert isinstance(record, dict)
        data = {"type": "agent_progress", "agentId": transcript.agent_id, "message": record, "prompt": ""}
        session.main.add("progress", data=data, parentToolUseID=tool, toolUseID=f"agent_{record['uuid']}")
    session.main.result(tool, toolUseResult=_result(transcript))


def _workflow(session: _Session) -> None:
    """Add the agents of a workflow, which give their results by calling a tool; the journal says which have done so."""
    folder = session.subagents / "workflows" / session.tree.name("wf_", 8)
    folder.mkdir(parents=True)
    journal: list[Record] = []
    for ending, outcome in ((CLEAN, SUCCESS), (CUT, SUCCESS), (CUT, LOST)):
        agent_id = session.tree.name("a")
        agent = session.rng.choice(("workflow-subagent", "coder"))
        transcript = session.transcript(agent_id, folder, {"agentType": agent, "spawnDepth": 1})
        run = session.run(agent, outcome, agent_id)
        transcript.hears(session.tree.words(90))
        transcript.works(run, ending)
        journal.append({"type": "started", "key": f"v2:{agent_id}", "agentId": agent_id})
        if outcome == SUCCESS:
            journal.append({"type": "result", "key": f"v2:{agent_id}", "agentId": agent_id, "result": "Done."})
    (folder / "journal.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in journal))


def _teammate(session: _Session) -> None:
    tool, _ = session.launch(name="helper", subagent_type="coder")
    name = f"helper@session-{session.id[:8]}"
    spawned = {"status": "teammate_spawned", "teammate_id": name, "agent_id": name, "agent_type": "coder"}
    session.main.result(tool, toolUseResult=spawned)
    agent_id = session.tree.name("ahelper-")
    more = {"name": "helper", "taskKind": "in_process_teammate", "customAgentType": "coder"}
    transcript = session.transcript(agent_id, sidecar={"agentType": "helper", "spawnDepth": 0, **more})
    run = session.run("coder", SUCCESS, agent_id)
    transcript.hears(session.tree.words(90))
    transcript.works(run, CLEAN)


def _fork(session: _Session) -> None:
    """Add a fork, whose transcript begins with a copy of its launcher's."""
    tool, _ = session.launch(subagent_type="fork")
    copied = [
        record
        for record in session.main.records
        if isinstance(record, dict) and record["type"] in ("user", "assistant")
    ]
    run, transcript = session.launched(tool, "fork", SUCCESS, isFork=True)
    mine = {"isSidechain": True, "agentId": transcript.agent_id}
    prompt = list(transcript.records)
    transcript.records = [*({**record, **mine} for record in copied[-40:]), *prompt]
    transcript.works(run, CLEAN)
    session.main.result(tool, toolUseResult=_result(transcript))


def _cleared(session: _Session) -> None:
    """Add a run that goes on under another session: after `/clear` the rest of its transcript is in that one's folder."""
    run, transcript = session.launched(*session.launch(run_in_background=True), SUCCESS)
    session.main.result(run.launch, toolUseResult=_result(transcript, "async_launched", isAsync=True))
    transcript.uses_a_tool(run)
    assert transcript.agent_id is not None
    later = session.transcript(transcript.agent_id, session.folder / session.tree.uuid() / "subagents")
    later.works(run, CLEAN)


def _helpers(session: _Session) -> None:
    """Add Claude Code's own helpers: they begin with a copy of the conversation, and what they ask is the session's."""
    answers = [record for record in session.main.records if isinstance(record, dict) and record["type"] == "assistant"][
        -6:
    ]
    for prefix in ("acompact-", "aside_question-", "aprompt_suggestion-"):
        transcript = session.transcript(session.tree.name(prefix))
        mine = {"isSidechain": True, "agentId": transcript.agent_id}
        other = {"requestId": session.tree.name("req_")} if prefix == "aside_question-" else {}
        transcript.records += [{**record, **mine, **other} for record in answers]
        transcript.answers(None)


_SHAPES: tuple[Callable[[_Session], None], ...] = (
    _foreground,
    _failed_in_front,
    _interrupted,
    _unreported,
    _background,
    _background,
    _stopped_by_tool,
    _turned_down,
    _unknown_type,
    _without_transcript,
    _nested,
    _woken,
    _inline,
    _inline,
    _flat,
    _workflow,
    _teammate,
    _fork,
    _cleared,
    _helpers,
)


# What may become of a session's file afterwards.


def _copied(session: _Session, **mark: Any) -> None:
    """Go on with a session under another id, in a file that begins with a copy of its history."""
    later = _Session(session.tree, session.project, session.now + 60.0)
    for record in session.main.records:
        if isinstance(record, dict):
            later.main.records.append({**record, "sessionId": later.id, **mark})
    later.turn()
    run, transcript = later.launched(*later.launch(), SUCCESS)
    transcript.works(run, CLEAN)
    later.main.result(run.launch, toolUseResult=_result(transcript))
    for each in later.files:
        each.write()


def _resumed(session: _Session) -> None:
    _copied(session)


def _forked(session: _Session) -> None:
    _copied(session, forkedFrom={"sessionId": session.id, "messageUuid": session.tree.uuid()})


def _moved(session: _Session) -> None:
    """Go on under another id whose file, and whose folder, are links to those of the session."""
    other = session.tree.uuid()
    (session.folder / f"{other}.jsonl").symlink_to(session.main.path)
    (session.folder / other).symlink_to(session.folder / session.id, target_is_directory=True)


def _alone(session: _Session) -> None:
    """Leave a session as it is."""


_COPIES = (_resumed, _forked, _moved, _alone)
