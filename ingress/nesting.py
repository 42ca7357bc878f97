"""How deep JSON nests, found out before any parser recurses into it."""

from itertools import accumulate
from typing import Final

_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]"))
_STEP: Final = [{ord("["): 1, ord("]"): -1}.get(byte, 0) for byte in range(256)]


def deeper_than(levels: int, text: bytes) -> bool:
    """Whether brackets outside strings nest deeper than `levels`. Time is linear in `text`, whatever it holds.

    It does not tell whether the text is JSON: that is the parser's word, which may then recurse in safety.
    """
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    # Without escaped quotes every second piece between quotes is a string.
    pieces = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    brackets = b"".join(pieces[::2]).translate(_TO_SQUARE).translate(None, _NO_BRACKET)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > levels
