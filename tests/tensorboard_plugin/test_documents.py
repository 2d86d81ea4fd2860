import json
import math
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.tensorboard_plugin.documents import SCHEMA, Tag, decode, encode, parse_tag, record_tag

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(width=32) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def told(value):
    """The slow reference: what a document keeps of a value."""
    if isinstance(value, float):
        return None if math.isnan(value) or math.isinf(value) else float(f"{value:.4e}")
    if isinstance(value, list):
        return [told(entry) for entry in value]
    if isinstance(value, dict):
        return {key: told(entry) for key, entry in value.items()}
    return value


@settings(deadline=None, max_examples=25)
@given(content=plain)
def test_a_document_comes_back_with_five_digits(content):
    assert decode(encode({"content": content})) == {"schema": SCHEMA, "content": told(content)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no compressed text",
        zlib.compress(b"no JSON"),
        zlib.compress(b"[1, 2]"),
        zlib.compress(b'"text"'),
        zlib.compress(b"{}"),
        zlib.compress(b"\xff\xfe"),
        zlib.compress(b'{"schema": "1"}'),
        zlib.compress(b'{"schema": 1}')[:-3],
        zlib.compress(b"[" * 100_000),
        zlib.compress(b" " * (1 << 25) + b'{"schema": 1}'),  # a bomb
    ],
)
def test_anything_else_is_refused_as_a_value_error(content):
    with pytest.raises(ValueError, match=r"document|schema"):
        decode(content)


def test_a_newer_document_is_refused():
    newer = zlib.compress(json.dumps({"schema": SCHEMA + 1}).encode())

    with pytest.raises(ValueError, match="HINT: update"):
        decode(newer)


def test_what_json_has_no_word_for_is_read_as_nothing():
    assert decode(zlib.compress(b'{"schema": 1, "a": NaN, "b": -Infinity}')) == {"schema": 1, "a": None, "b": None}


@pytest.mark.parametrize("prefix", ["interactions/", "interactions/layer 4/", "a\nb/"])
def test_a_tag_says_what_it_was_made_from(prefix):
    assert parse_tag(record_tag(prefix, 25)) == Tag(prefix, "record", 25)
    assert parse_tag(f"{prefix}refit") == Tag(prefix, "refit", None)
    assert parse_tag(f"{prefix}history") == Tag(prefix, "history", None)
    assert parse_tag(f"{prefix}samples") == Tag(prefix, "samples", None)


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "refit",
        "interactions",
        "interactions/record",
        "interactions/record/x",
        "interactions/record/1/2",
        "a/refits",
    ],
)
def test_other_tags_mean_nothing(tag):
    assert parse_tag(tag) is None


def test_tags_sort_by_epoch():
    epochs = [0, 5, 10, 999, 1000, 123_456]

    assert sorted(record_tag("i/", epoch) for epoch in epochs) == [record_tag("i/", epoch) for epoch in epochs]
