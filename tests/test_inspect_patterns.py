"""Classes in file names: what a pattern says of a name is what its regular expression finds there."""

import re

from hypothesis import given
from hypothesis import strategies as st

from fovea.inspect.patterns import find_patterns, partition
from fovea.inspect.words import NO_CLASS, PARTS

WORDS = st.text("abcdefghijklmnopqrstuvwxyzéß正病", min_size=1, max_size=6).filter(
    lambda word: word not in NO_CLASS and word not in PARTS
)
FORMS = st.sampled_from(["{word}{n}.jpg", "{word}_{n}.jpg", "{n}-{word}.png", "{word} ({n}).jpeg", "x{n}_{word}_y.jpg"])


@given(words=st.lists(WORDS, min_size=2, max_size=5, unique=True), form=FORMS)
def test_words_in_one_place_are_the_classes(words: list[str], form: str) -> None:
    names = {form.format(word=word, n=n): word for word in words for n in range(11, 15)}
    assert any(pattern.labels == names for pattern in find_patterns(list(names)))


@given(names=st.lists(st.text("ab1_-. (é", min_size=1, max_size=6).map(lambda stem: f"{stem}.jpg"), unique=True))
def test_a_pattern_finds_what_it_says(names: list[str]) -> None:
    for pattern in find_patterns(names):
        matches = {name: re.search(pattern.regex, name) for name in names}
        assert {name: match and match["label"] for name, match in matches.items()} == pattern.labels
        assert len(set(partition(pattern.labels.values()))) > 1
