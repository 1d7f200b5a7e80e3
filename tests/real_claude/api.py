"""A Messages API of the tests' own: it answers by the mark in a prompt, as a script says, and keeps a ledger of what it sent."""

import json
import re
import select
import socket
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, NamedTuple

from otel_tracker.state.shapes import Tokens
from tests.real_claude.patience import PATIENCE_SECONDS

Block = dict[str, Any]

LAST_AGENT = "the last agent that was launched"
"""Stands in a tool's input for that agent's id."""

_AGENT_ID = re.compile(r"agentId: (\w+)")
_MARK = re.compile(r"\bmark ([\w-]+):")
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_numbers = count(1)


def marked(mark: str) -> str:
    """Return a prompt that is answered by the script of `mark`."""
    return f"mark {mark}: do it"


class Turn(NamedTuple):
    """One answer of the model."""

    blocks: tuple[Block, ...]
    status: int = 200
    message: str = ""
    is_cut: bool = False
    """Whether the connection ends within the last block, where the answer is streamed."""
    cached_tokens: int = 20_000
    """How many tokens, about, it says to have read from the cache."""
    after_failures: int = 0
    """How many requests for it fail with 500 before it is sent."""
    is_held: bool = False
    """Whether it waits for `Api.release` before the first byte."""
    is_usage_held: bool = False
    """Whether its usage, at the end of a stream, waits for `Api.release`."""


def says(*texts: str, **of_turn: Any) -> Turn:
    return Turn(tuple({"type": "text", "text": text} for text in texts or ("Done.",)), **of_turn)


def calls(*blocks: Block, **of_turn: Any) -> Turn:
    return Turn(blocks, **of_turn)


def tool(name: str, /, **tool_input: Any) -> Block:
    return {"type": "tool_use", "name": name, "input": tool_input}


def agent(kind: str | None, mark: str, /, **tool_input: Any) -> Block:
    """Return the call that launches a sub-agent, whose prompt has `mark`."""
    named = {} if kind is None else {"subagent_type": kind}
    return tool("Agent", description="a task", prompt=marked(mark), **named, **tool_input)


def works(**of_turn: Any) -> Turn:
    """Return a turn that uses a tool."""
    return calls(tool("Bash", command="true", description="work"), **of_turn)


def fails(status: int, message: str = "made up by the test") -> Turn:
    return Turn((), status, message)


class Sent(NamedTuple):
    """A usage that was sent, whole or (where the answer was cut) in its first half."""

    mark: "str | None"
    model: str
    tokens: Tokens
    is_whole: bool


class Api:
    """Answers at `listener`, a bound socket, in threads of its own, until `close`."""

    def __init__(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()
        self.url = f"http://{host}:{port}"
        self.ledger: list[Sent] = []
        self.requests: list[Any] = []
        self.errors: list[str] = []
        self._scripts: dict[str, tuple[Turn, ...]] = {}
        self._changed = threading.Condition()
        self._held: list[str] = []
        self._released: set[str] = set()
        self._failed: Counter[str | None] = Counter()
        self._is_closed = False
        self._server = _Server(listener, self)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def plays(self, mark: str, *turns: Turn) -> None:
        """Answer to `mark` with these turns, and after the last one that it is done.

        A conversation that is compacted goes on with the mark `<mark>-compacted`.
        """
        self._scripts[mark] = turns

    def until_held(self, mark: str, times: int = 1) -> None:
        """Return when `times` answers to `mark`, or their usages, wait to be released."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._held.count(mark) >= times, PATIENCE_SECONDS), (
                f"no answer to {mark!r} is held; asked for were {[_mark_and_turn(each) for each in self.requests]}"
            )

    def release(self, mark: str) -> None:
        """Send all answers to `mark` that are held, or will be."""
        with self._changed:
            self._released.add(mark)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def turn_for(self, request: Any) -> tuple[str | None, Turn]:
        """Return the mark and the answer of a request, when it may be sent."""
        mark, place = _mark_and_turn(request)
        turn = self._turn(request, mark, place)
        with self._changed:
            self.requests.append(request)
            if turn.is_held and mark:
                self.hold(mark)
            if self._failed[mark] < turn.after_failures:
                self._failed[mark] += 1
                return mark, fails(500)
        return mark, turn

    def hold(self, mark: str) -> None:
        """Return when the answers to `mark` are released."""
        with self._changed:
            self._held.append(mark)
            self._changed.notify_all()
            self._changed.wait_for(lambda: mark in self._released or self._is_closed)

    def _turn(self, request: Any, mark: str | None, place: int) -> Turn:
        said = [message["content"] for message in request["messages"] if message["role"] == "user"]
        if any("<summary> block" in text for text in _texts(said[-1])):
            return says(f"<summary>{marked(f'{mark}-compacted')}</summary>")
        script = self._scripts.get(mark or "", ())
        return script[place] if place < len(script) and request.get("tools") else says()


def _mark_and_turn(request: Any) -> tuple[str | None, int]:
    """Return the last mark in what a user says in a conversation, and how often the model has answered since."""
    answers = 0
    for message in reversed(request["messages"]):
        if message["role"] == "assistant":
            answers += 1
            continue
        marks = [mark for text in _texts(message["content"]) for mark in _MARK.findall(text)]
        if marks:
            return marks[-1], answers
    return None, answers


def _texts(content: str | list[Block]) -> list[str]:
    return [content] if isinstance(content, str) else [block["text"] for block in content if block["type"] == "text"]


class _Server(ThreadingHTTPServer):
    """Serves at a socket that is bound already."""

    def __init__(self, listener: socket.socket, api: Api) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.api = listener, api

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep an error of the tests' own, for the story to fail by."""
        self.api.errors.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Print nothing."""

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_GET(self) -> None:
        self._send(404, b"{}")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            if self.path.split("?")[0] == "/v1/messages":
                self._answer(self.server.api, request)
            elif "count_tokens" in self.path:
                self._send(200, b'{"input_tokens": 1000}')
            else:
                self._send(404, b"{}")
        except ConnectionError:  # the program has gone away
            self.close_connection = True

    def _answer(self, api: Api, request: Any) -> None:
        mark, turn = api.turn_for(request)
        if _has_gone(self.connection):
            raise ConnectionError
        if turn.status != 200:
            error = {"type": _ERRORS[turn.status], "message": turn.message}
            self._send(turn.status, json.dumps({"type": "error", "error": error}).encode())
            return
        message = _message(request, turn)
        is_whole = not (turn.is_cut and request.get("stream"))
        api.ledger.append(Sent(mark, message["model"], _tokens(message["usage"]), is_whole=is_whole))
        if request.get("stream"):
            self._stream(api, mark, message, turn)
        else:
            self._send(200, json.dumps(message).encode())

    def _stream(self, api: Api, mark: str | None, message: Any, turn: Turn) -> None:
        """Send an answer in one piece: Claude Code soon writes down what it has, and older ones add no usage to it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("request-id", f"req_{next(_numbers):06}")
        self.send_header("Connection", "close")
        self.end_headers()
        events = [
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _events(message, is_cut=turn.is_cut)
        ]
        if turn.is_usage_held and mark:
            self.wfile.write("".join(events[:-2]).encode())
            api.hold(mark)
            events = events[-2:]
        self.wfile.write("".join(events).encode())
        self.close_connection = True

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("request-id", f"req_{next(_numbers):06}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _has_gone(connection: socket.socket) -> bool:
    """Tell whether the other side, which has said all that it has to say, has closed the connection."""
    return bool(select.select([connection], [], [], 0)[0]) and connection.recv(1, socket.MSG_PEEK) == b""


def _message(request: Any, turn: Turn) -> Any:
    """Return an answer with a usage that no other answer has."""
    number = next(_numbers)
    agents = _AGENT_ID.findall(json.dumps(request["messages"]))
    blocks = [
        {
            **block,
            "id": f"toolu_{number:06}{place:018}",
            "input": {name: agents[-1] if value == LAST_AGENT else value for name, value in block["input"].items()},
        }
        if block["type"] == "tool_use"
        else block
        for place, block in enumerate(turn.blocks)
    ]
    return {
        "id": f"msg_{number:024}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": blocks,
        "stop_reason": "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10 + number,
            "output_tokens": 100 + number,
            "cache_read_input_tokens": turn.cached_tokens + number,
            "cache_creation_input_tokens": 1_000 + number,
            "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": number},
            "service_tier": "standard",
        },
    }


def _tokens(usage: Any) -> Tokens:
    return {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
        "cache_read": usage["cache_read_input_tokens"],
        "cache_write": usage["cache_creation_input_tokens"],
        "cache_write_1h": usage["cache_creation"]["ephemeral_1h_input_tokens"],
    }


def _events(message: Any, *, is_cut: bool) -> Iterator[Block]:
    """Yield the events of a streamed answer; of one that is cut, those in which the last block has not ended."""
    first = {**message["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": first}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "tool_use":
            begun, delta = (
                {**block, "input": {}},
                {"type": "input_json_delta", "partial_json": json.dumps(block["input"])},
            )
        else:
            begun, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        if is_cut and index == len(message["content"]) - 1:
            return
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": message["usage"]}
    yield {"type": "message_stop"}
