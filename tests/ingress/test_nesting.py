"""The depth of JSON is found in linear time and agrees with what a parser sees."""

from time import process_time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress.nesting import deeper_than

Json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet='a"\\[]{}é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='k"\\[{'), inner, max_size=3),
    max_leaves=30,
)


def depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max((depth(inner) for inner in value.values()), default=0)
        case list():
            return 1 + max((depth(inner) for inner in value), default=0)
        case _:
            return 0


@settings(max_examples=300)
@given(Json, st.integers(0, 6))
def test_it_agrees_with_a_parser(value: object, levels: int) -> None:
    assert deeper_than(levels, orjson.dumps(value)) == (depth(value) > levels)


@pytest.mark.parametrize(("levels", "deeper"), [(63, True), (64, False), (65, False)])
def test_the_limit_is_the_last_depth_allowed(levels: int, *, deeper: bool) -> None:
    assert deeper_than(levels, b"[" * 64 + b"]" * 64) == deeper
    assert deeper_than(levels, b'{"a":' * 64 + b"1" + b"}" * 64) == deeper


MIB = 1 << 20


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * MIB,
        b"[]" * (MIB // 2),
        (b"[" * 64 + b"]" * 64) * (MIB // 128),
        b"[" * 65 + b'"' + b'\\"' * (MIB // 2),
        b"[" * 65 + b"\\" * MIB,
        b"[" * 65 + b'"' * MIB,
        b'"a",' * (MIB // 4) + b"[" * 65,
    ],
    ids=["open", "pairs", "hills", "escaped quotes", "backslashes", "quotes", "strings"],
)
def test_the_worst_mebibyte_does_not_hold_the_loop_up(hostile: bytes) -> None:
    began = process_time()
    deeper_than(64, hostile)
    assert process_time() - began < 0.4  # measured: 0.05; the rest is for a busy machine
