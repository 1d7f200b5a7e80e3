"""Failures that are not the agent's: rate limits, overload, authentication, billing and account holds. Pure.

They fail the task, but don't count for its breaker. A document's `config` can name more (`environment_errors`).

An exception is recognised by its code, its class or its HTTP status, or by those of the exceptions that it was raised from.
Only if these are not enough, the beginning of a text decides: an agent that fails may well mention a rate limit.

Sources: the error types of the Anthropic API (status 401, 402, 429, 529), the class names and codes of its SDK and of
those of others (OpenAI, botocore, google-genai, gRPC, Strands), the page "Error reference" of Claude Code.
"""

from functools import cache

from otel_tracker.runtime.interrupts import is_interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from typing import Any

RATE_LIMIT, OVERLOADED, AUTHENTICATION, BILLING = "rate_limit", "overloaded", "authentication", "billing"

# An exception's class, or one that it is derived from, by its name.
TYPES = {
    "BudgetExceededError": BILLING,
    "AuthenticationError": AUTHENTICATION,
    "ExpiredTokenException": AUTHENTICATION,
    "PermissionDenied": AUTHENTICATION,
    "PermissionDeniedError": AUTHENTICATION,
    "Unauthenticated": AUTHENTICATION,
    "UnauthorizedError": AUTHENTICATION,
    "UnrecognizedClientException": AUTHENTICATION,
    "ModelThrottledException": RATE_LIMIT,
    "ProvisionedThroughputExceededException": RATE_LIMIT,
    "QuotaExceededError": RATE_LIMIT,
    "RateLimitError": RATE_LIMIT,
    "RateLimitExceeded": RATE_LIMIT,
    "RateLimitExceededError": RATE_LIMIT,
    "RequestLimitExceeded": RATE_LIMIT,
    "ResourceExhausted": RATE_LIMIT,
    "ResourceExhaustedError": RATE_LIMIT,
    "ServiceQuotaExceededException": RATE_LIMIT,
    "ThrottledException": RATE_LIMIT,
    "ThrottlingError": RATE_LIMIT,
    "ThrottlingException": RATE_LIMIT,
    "TooManyRequests": RATE_LIMIT,
    "TooManyRequestsError": RATE_LIMIT,
    "TooManyRequestsException": RATE_LIMIT,
    "OverloadedError": OVERLOADED,
}

# What an API calls an error: a field of the exception, or of the body of the API's answer.
CODES = {
    "account_on_hold": BILLING,
    "billing_error": BILLING,
    "insufficient_quota": BILLING,
    "oauth_org_not_allowed": BILLING,
    "authentication_error": AUTHENTICATION,
    "authentication_failed": AUTHENTICATION,
    "permission_denied": AUTHENTICATION,
    "permission_error": AUTHENTICATION,
    "unauthenticated": AUTHENTICATION,
    "rate_limit": RATE_LIMIT,
    "rate_limit_error": RATE_LIMIT,
    "rate_limit_exceeded": RATE_LIMIT,
    "resource_exhausted": RATE_LIMIT,
    "overloaded": OVERLOADED,
    "overloaded_error": OVERLOADED,
}

# The HTTP status of an answer.
STATUSES = {401: AUTHENTICATION, 402: BILLING, 429: RATE_LIMIT, 529: OVERLOADED}

# How a text begins, or goes on behind a colon, a full stop, a dot as Claude Code has it, or `|`; in small letters.
_END = r"(?=\W*$| *[·∙|.,:;(-])"
_BEGINNINGS = {
    BILLING: (
        r"(?:your )?credit balance is too low",
        r"you exceeded your current quota",
        r"(?:this|your) organization has been disabled" + _END,
        r"your \w+ belongs to a disabled organization",
        r"your organization has disabled claude",
        r"(?:this|your) (?:account|organization) is on hold" + _END,
    ),
    AUTHENTICATION: (
        r"(?:not logged in\W+)?please run /login",
        r"not logged in" + _END,
        r"invalid (?:x-api-key|bearer token|api key(?: provided)?)" + _END,
        r"incorrect api key provided",
        r"oauth token (?:has been |has )?(?:expired|revoked)",
        r"oauth token does not meet scope",
        r"oauth authentication is currently not",
        r"your account does not have access to claude",
        r"could not resolve authentication method",
        r"(?:authentication error|failed to authenticate)" + _END,
    ),
    RATE_LIMIT: (
        r"you(?:['’]ve| have) (?:hit|reached) your (?:[\w-]+ ){0,4}limits?" + _END,  # noqa: RUF001 - Claude Code's apostrophe
        r"you(?:['’]re| are) out of extra usage",  # noqa: RUF001
        r"(?:\w+[ -]){0,5}(?:usage|hour|session|daily|weekly|monthly|spend) limit reached" + _END,
        r"rate limit (?:reached|exceeded)(?: for \S+)?" + _END,
        r"(?:this request would exceed|number of [\w ]+ has exceeded) your (?:[\w'-]+ ){0,3}rate limit",
        r"too many (?:requests|tokens)(?:, please| *$)",
        r"server is temporarily limiting requests",
    ),
    OVERLOADED: (
        r"[\w .-]{1,40} is experiencing high load",
        r"we['’]re (?:currently )?experiencing high demand",  # noqa: RUF001
        r"(?:the |this |that )?(?:api|engine|model|server|service) is (?:currently |temporarily )?overloaded" + _END,
    ),
}
_ANCHOR = r"(?:^|[:.·∙|] +|(?P<in_body>['\"]message['\"]: ?['\"]))"
_STATUS = (
    r"(?:api error|error code|request rejected|(?:last|unexpected) status)\W{1,3}(?:repeated )?(?P<status>\d{3})\b"
)
_ANSWER = r"(?P<answer>\d{3}) (?:client error|payment required|too many requests|unauthorized)\b"
_CODES = "|".join(CODES)
_CODE = rf"(?:\d{{3}} (?P<answer_code>{_CODES})\b|^(?:api error: )?(?P<code>{_CODES})(?=\W*$))"
_CLASS = rf"(?:an error occurred \()?(?:\w+\.)*(?P<type>{'|'.join(TYPES)})(?:\) when calling\b|{_END})"
_BODY = rf"['\"](?:type|code|status)['\"]: ?['\"](?P<body>{_CODES})['\"]"
_NAMES = ("status", "answer", "answer_code", "code", "type", "body")
_ASSERTION = r"\bassert(?:ion ?error|ion failed)?\b"
_QUOTATION = r"(?:^|[\s(\[=:])['\"`]"

# Errors of the code itself, never of an API; their texts often quote what was expected.
_OF_CODE = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, SyntaxError, TypeError)

_LONGEST_CHAIN = 20  # exceptions
_LONGEST_LINE = 4000  # characters


def outage_of(error: "BaseException | None", text: "Any" = None) -> "str | None":
    """Return the outage that has caused an error, by the error or its text; None where the fault may be the agent's own."""
    chain = [] if error is None else list(_chain_of(error))
    for one in chain:
        outage = _outage_by_fields(one)
        if outage is not None:
            return outage
    texts = [text] if isinstance(text, str) and not isinstance(error, _OF_CODE) else []
    texts += [_text_of(one) for one in chain[1:] if not isinstance(one, _OF_CODE)]
    return next((outage for candidate in texts if (outage := _outage_by_text(candidate)) is not None), None)


def outage_named(name: str) -> "str | None":
    """Return the outage of a name: a class with or without its module, an API's code, or an HTTP status."""
    last = name.rpartition(".")[2].lstrip("_")
    if len(last) == 3 and last.isascii() and last.isdigit():
        return STATUSES.get(int(last))
    return TYPES.get(last) or CODES.get(last.lower())


def members_of(error: BaseException) -> "tuple[BaseException, ...]":
    """Return the exceptions that a group holds; none where `error` isn't a group."""
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _chain_of(error: BaseException) -> "Iterator[BaseException]":
    """Yield an exception, what it was raised from or during, and so on."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen and len(seen) < _LONGEST_CHAIN:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _outage_by_fields(error: BaseException) -> "str | None":
    """Return the outage by an exception's code, class or status; of a group the first one's, if all members are outages."""
    inner = members_of(error)
    if inner:
        outages = [outage_of(member, _text_of(member)) for member in inner]
        return None if None in outages else outages[0]
    response = _field(error, "response")
    codes = (*(_field(error, key) for key in ("code", "type", "status")), *_codes_in(_field(error, "body")))
    words = [_field(code, "name") or code for code in (*codes, *_codes_in(response))]  # an enum's, in gRPC
    named = [outage_named(word) for word in words if isinstance(word, str)]
    by_class = [outage_named(base.__name__) for base in type(error).__mro__]
    statuses = [_field(error, key) for key in ("status_code", "code", "status", "http_status")]
    statuses += [_field(response, key) for key in ("status_code", "status")]
    is_exit = isinstance(error, SystemExit)  # whose code is no status
    by_status = [STATUSES.get(status) for status in statuses if isinstance(status, int) and not is_exit]
    return next((outage for outage in (*named, *by_class, *by_status) if outage is not None), None)


def _codes_in(body: "Any") -> "tuple[Any, ...]":
    """Return what the body of an API's answer calls an error, in the shapes of Anthropic, OpenAI and botocore."""
    inner = body.get("error", body.get("Error")) if isinstance(body, dict) else None
    return tuple(inner.get(key) for key in ("type", "code", "status", "Code")) if isinstance(inner, dict) else ()


def _field(value: "Any", name: str) -> "Any":
    """Return an attribute, of a gRPC error what its method returns; None if there is none or it can't be had."""
    try:
        attribute = getattr(value, name, None)
        return attribute() if name == "code" and callable(attribute) else attribute
    except Exception as failure:  # a property of the application's may raise
        if is_interrupt(failure):
            raise
        return None


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # the application's __str__ may raise
        if is_interrupt(failure):
            raise
        return ""


def _outage_by_text(text: str) -> "str | None":
    """Return the outage that the first or the last line of a text begins with: a message's is first, a traceback's last."""
    lines = text.strip().splitlines() or [""]
    return _outage_by_line(lines[0][:_LONGEST_LINE]) or _outage_by_line(lines[-1][:_LONGEST_LINE])


def _outage_by_line(line: str) -> "str | None":
    """Return the outage that a line reports; behind an assertion or a quotation mark a line only mentions one."""
    beginnings, assertion, quotation = _patterns()
    for match in beginnings.finditer(line):
        before = line[: match.start()]
        is_quoted = quotation.search(before) is not None and not (match["body"] or match["in_body"])
        name = next((match[name] for name in _NAMES if match[name]), None)
        outage = outage_named(name) if name else next((outage for outage in _BEGINNINGS if match[outage]), None)
        if outage is not None and not is_quoted and assertion.search(before) is None:
            return outage
    return None


@cache  # compiled when the first failure needs it, since every hook loads this module
def _patterns() -> "tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]":
    import re

    outages = [f"(?P<{outage}>{'|'.join(beginnings)})" for outage, beginnings in _BEGINNINGS.items()]
    starts = f"{_ANCHOR}(?:{'|'.join([*outages, _STATUS, _ANSWER, _CODE, _CLASS])})|{_BODY}"
    return re.compile(starts, re.IGNORECASE), re.compile(_ASSERTION, re.IGNORECASE), re.compile(_QUOTATION)
