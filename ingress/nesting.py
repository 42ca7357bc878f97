"""How deep JSON nests, found out before any parser recurses into it."""

import re
from typing import Final

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A JSON string. The closing quote is optional and nothing backtracks, so that an unclosed one costs no second look."""
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]"))


def deeper_than(levels: int, text: bytes) -> bool:
    """Whether brackets outside strings nest deeper than `levels`, or are not balanced. Time is linear in `text`.

    It does not tell whether the text is JSON: that is the parser's word, which may then recurse in safety.
    """
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    brackets = _STRING.sub(b"", text).translate(_TO_SQUARE).translate(None, _NO_BRACKET)
    for _ in range(levels):
        # Every pass takes the innermost level off, wherever it is.
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    return bool(brackets)
