"""The payloads of the reference, sections 1.3 to 1.6, as they are there."""

import json
from typing import Any

_COMMON = """{"session_id":"abc123","prompt_id":"0b9f5c9e-6a5e-4a6c-8f0e-3d2c1b0a9f8e",
 "transcript_path":"/Users/x/.claude/projects/-Users-x-proj/abc123.jsonl",
 "cwd":"/Users/x/proj","permission_mode":"default","effort":{"level":"high"}}"""

_PRE_TOOL_USE = """{"hook_event_name":"PreToolUse","tool_name":"Agent",
 "tool_input":{"description":"Find API endpoints","prompt":"Find all API endpoints","subagent_type":"Explore",
               "model":"sonnet","run_in_background":true},
 "tool_use_id":"toolu_01ABC123"}"""

_POST_TOOL_USE = """{"hook_event_name":"PostToolUse","tool_name":"Agent",
 "tool_input":{"description":"Find API endpoints","prompt":"Find all API endpoints","subagent_type":"Explore"},
 "tool_response":{"status":"completed","agentId":"a4d2c8f1e0b3a297","agentType":"Explore",
  "content":[{"type":"text","text":"Found 12 endpoints..."}],"prompt":"...",
  "resolvedModel":"claude-sonnet-4-5","modelsUsed":["claude-sonnet-4-5","claude-haiku-4-5"],
  "totalToolUseCount":7,"totalDurationMs":48211,"totalTokens":12450,
  "usage":{"input_tokens":8320,"output_tokens":900,"cache_creation_input_tokens":1200,"cache_read_input_tokens":2030,
    "cache_creation":{"ephemeral_5m_input_tokens":1200,"ephemeral_1h_input_tokens":0},
    "server_tool_use":null,"service_tier":"standard","speed":"standard","iterations":[],
    "output_tokens_details":{"thinking_tokens":0},"inference_geo":"..."},
  "toolStats":{"readCount":3,"searchCount":2,"bashCount":1,"editFileCount":1,"linesAdded":4,"linesRemoved":1,
   "otherToolCount":0},
  "worktreePath":"...","worktreeBranch":"..."},
 "tool_use_id":"toolu_01ABC123","duration_ms":48300}"""

_ASYNC_LAUNCHED = """{"hook_event_name":"PostToolUse","tool_name":"Agent",
 "tool_input":{"description":"Find API endpoints","prompt":"Find all API endpoints","subagent_type":"Explore"},
 "tool_response":{"status":"async_launched","isAsync":true,"agentId":"a4d2c8f1e0b3a297","description":"Find API endpoints",
  "resolvedModel":"claude-sonnet-4-5","prompt":"...","outputFile":"/tmp/.../a4d2c8f1e0b3a297.output",
  "canReadOutputFile":true},
 "tool_use_id":"toolu_01ABC123"}"""

_POST_TOOL_USE_FAILURE = """{"hook_event_name":"PostToolUseFailure","tool_name":"Agent",
 "tool_input":{"description":"Find API endpoints","prompt":"Find all API endpoints","subagent_type":"Explore"},
 "tool_use_id":"toolu_01ABC123",
 "error":"Agent terminated early due to an API error: ...","is_interrupt":false,"duration_ms":4187}"""

_SUBAGENT_START = """{"session_id":"abc123","transcript_path":".../abc123.jsonl","cwd":"/Users/...",
 "hook_event_name":"SubagentStart","agent_id":"agent-abc123","agent_type":"Explore"}"""

_SUBAGENT_STOP = """{"session_id":"abc123","transcript_path":"~/.claude/projects/.../abc123.jsonl","cwd":"/Users/...",
 "permission_mode":"default",
 "hook_event_name":"SubagentStop","stop_hook_active":false,"agent_id":"def456","agent_type":"Explore",
 "agent_transcript_path":"~/.claude/projects/.../abc123/subagents/agent-def456.jsonl",
 "last_assistant_message":"Analysis complete...","background_tasks":[],"session_crons":[]}"""

_STOP = """{"hook_event_name":"Stop","stop_hook_active":false,"last_assistant_message":"...","session_crons":[],
 "background_tasks":[{"id":"a4d2c8f1e0b3a297","type":"subagent","status":"running","description":"Find API endpoints",
  "agent_type":"Explore"},{"id":"b1","type":"shell","status":"running","description":"...","command":"make"}]}"""

_STOP_FAILURE = (
    '{"hook_event_name":"StopFailure","error":"rate_limit","error_details":"...","last_assistant_message":"..."}'
)
_SESSION_START = '{"hook_event_name":"SessionStart","source":"startup","model":"claude-sonnet-5"}'
_SESSION_END = '{"hook_event_name":"SessionEnd","reason":"prompt_input_exit"}'

_PROMPT = """<task-notification>
<task-id>a4d2c8f1e0b3a297</task-id>
<tool-use-id>toolu_01ABC123</tool-use-id>
<output-file>...</output-file>
<status>completed</status>
<summary>Agent "Find API endpoints" finished</summary>
<note>...</note><result>...</result>
<usage><subagent_tokens>12450</subagent_tokens><tool_uses>7</tool_uses><duration_ms>48211</duration_ms></usage>
</task-notification>"""


def _whole(example: str) -> dict[str, Any]:
    return {**json.loads(_COMMON), **json.loads(example)}


NOTIFICATION = {**json.loads(_COMMON), "hook_event_name": "UserPromptSubmit", "prompt": _PROMPT}

DOCUMENTED = {
    "SessionStart": _whole(_SESSION_START),
    "PreToolUse": _whole(_PRE_TOOL_USE),
    "PostToolUse": _whole(_POST_TOOL_USE),
    "async_launched": _whole(_ASYNC_LAUNCHED),
    "PostToolUseFailure": _whole(_POST_TOOL_USE_FAILURE),
    "SubagentStart": json.loads(_SUBAGENT_START),
    "SubagentStop": json.loads(_SUBAGENT_STOP),
    "Stop": _whole(_STOP),
    "StopFailure": _whole(_STOP_FAILURE),
    "SessionEnd": _whole(_SESSION_END),
}
