"""Secrets in error texts: an error often repeats the key, the header or the URL that was refused.

Masked are texts that only a secret looks like (a vendor's prefix, an armoured key, a password in a URL), and texts after the
name of a secret (`password=`, `"api_key": "..."`, `Authorization: Bearer ...`). Texts that merely look random stay: hashes,
UUIDs, ids. Masking twice is masking once, and the time grows with the length of the text only: after its beginning a pattern reads
to the end of a word, a quotation or a block, and each begins at most once.
"""

import re

from otel_tracker.runtime.environment import masks_secrets
from otel_tracker.runtime.limits import MASKED_CHARACTERS

MASK = "***"

_VENDORS = "|".join(  # noqa: FLY002 - one pattern, a line for each kind
    (
        r"sk-ant-(?:[a-z]+\d\d-)?|sk-(?:proj|svcacct|admin|or-v1|lf)-|pk-lf-",  # Anthropic, OpenAI, OpenRouter, Langfuse
        r"sk-(?=[A-Za-z]{0,60}\d)(?=[A-Za-z0-9]{20})|gsk_|xai-(?=\w{40})|pplx-(?=\w{30})|hf_(?=\w{30})|r8_(?=\w{30})|tvly-",
        r"lsv2_[ps][kt]_|AIza(?=[\w-]{30})|ya29\.|GOCSPX-",  # LangSmith, Google
        r"gh[opsru]_(?=\w{16})|github_pat_|gl(?:pat|rt|dt|ptt|soat|cbt)-|dckr_pat_",
        r"npm_(?=\w{30})|pypi-Ag|dop_v1_|shp(?:at|ss|ca|pa)_|dapi(?=[0-9a-f]{32})|hv[sb]\.(?=[\w-]{20})|AGE-SECRET-KEY-1",
        r"xox[abeoprs]-(?=[\w-]{0,80}\d)|xapp-\d-|lin_api_|ntn_(?=\w{30})|figd_|gls?[ac]_(?=\w{20})",
        r"[rs]k_(?:live|test)_|whsec_|SG\.(?=[\w-]{16})|A(?:KIA|SIA|BIA|CCA|ROA|IDA)(?=[A-Z0-9]{16}(?![A-Za-z0-9]))",
    )
)
_ARMOUR = r"(?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_NAME = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|credentials?|authorization|cookie"
    r"|(?:api|access|secret|private|account|signing|encryption)[_-]?key"
    r"|(?:access|auth|refresh|id|session|security|bearer|bot|api|private|secret)[_-]?token)"
)
_IS = r"\\?[\"']?[ \t]{0,3}(?:=>|[=:])[ \t]{0,3}"
_VALUE = r"[^\s\"'&;,)\]}]"
_HAS_DIGIT = rf"(?={_VALUE}{{0,200}}\d)(?={_VALUE}{{6}})"
_IS_NONE = rf"(?:none|null|nil|true|false|undefined|)(?!{_VALUE})"
_IS_PATH = r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.-]+[/\\]"
_QUOTE = rf"{_IS}(\\?[\"'])"
_EQUALS = rf"\\?[\"']?[ \t]{{0,3}}=[ \t]{{0,3}}(?!{_IS_NONE}|{_IS_PATH})"
_COLON = rf"\\?[\"']?[ \t]{{0,3}}:[ \t]{{0,3}}(?!{_IS_PATH}){_HAS_DIGIT}"  # behind it many an ordinary word stands

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?s)()-----BEGIN {_ARMOUR}.*?(?:-----END {_ARMOUR}|\Z)",
        rf"(?i)(authorization{_IS}(?:bearer|basic|digest|token|apikey)[ \t]{{1,3}}){_VALUE}+",
        rf"(?i)({_NAME}(?:{_QUOTE}|{_EQUALS}|{_COLON}))(?(2)(?:(?!\2)[^\n])+|{_VALUE}+)",
        rf"(?i)((?<![\w-])--(?:\w{{1,20}}-){{0,3}}(?:{_NAME}|token)[ \t]{{1,3}})(?!{_IS_PATH}){_HAS_DIGIT}{_VALUE}+",
        rf"(?i)((?<![a-z])(?:token|[?&](?:key|sig|signature)){_IS}[\"']?){_HAS_DIGIT}[\w.~+/%=-]{{16,}}",
        r"(?i)\b(bearer[ \t]{1,3})(?=[\w.~+/-]{0,200}\d|[\w.~+/-]{32})[\w.~+/-]{8,}=*",
        r"\b(Basic[ \t]{1,3})(?=[A-Za-z0-9+/]{0,200}\d)(?=[A-Za-z0-9+/]{0,200}[a-z][A-Z])[A-Za-z0-9+/]{8,}=*",
        r"(?<=://)([^\s/:@]{0,256}:)[^\s/]{1,512}(?=@)",
        r"((?:hooks\.slack\.com/\w{1,20}|discord(?:app)?\.com/api/webhooks/\d{1,30})/)[\w/-]{8,}",
        r"(api\.telegram\.org/bot\d{1,20}:)[\w-]{8,}",
        r"()(?<![\w-])eyJ[\w-]{5,}\.eyJ[\w-]{5,}(?:\.[\w-]*)?",  # a JSON Web Token
        rf"(?<![A-Za-z0-9])({_VENDORS})[\w-]{{8,}}",
    )
)
"""The first group of each is the text before the secret, which stays."""


def masked(text: str) -> str:
    """Return `text`, cut at MASKED_CHARACTERS, with `***` for each secret; as it is where masking is switched off."""
    text = text[:MASKED_CHARACTERS]
    if not masks_secrets():
        return text
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text
