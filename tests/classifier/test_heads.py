from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from classifier.heads import Heads, best_units, pool, sentence_scores, sentence_sums, unit_embeddings
from classifier.lexical import Lexicon
from classifier.records import Evidence, Unit, Window


def unit(sentence: int, previous: int | None, text: str = "", context: str = "") -> Unit:
    return Unit(sentence, previous, Evidence("reasoning", None, None, 0, len(text), text), context)


def test_pool_lies_halfway_between_the_best_and_the_mean_of_the_three_best() -> None:
    scores = np.array([[1, 0], [5, 0], [3, 0], [4, 9]], dtype=np.float32)
    assert pool(scores).tolist() == [4.5, 6]


def test_pool_of_fewer_units_takes_all_there_are() -> None:
    assert pool(np.array([[2], [4]], dtype=np.float32)).tolist() == [3.5]


def test_sentence_sums_add_up_token_states() -> None:
    window = Window((1, 2, 3), first=0, last=2, lengths=(2, 1))
    states = np.array([[1, 0], [2, 0], [0, 5]], dtype=np.float32)
    assert sentence_sums(window, states).tolist() == [[3, 0], [0, 5]]


def test_a_unit_is_the_sentence_with_its_predecessor_at_length_one() -> None:
    sums = np.array([[3, 0], [0, 4]], dtype=np.float32)
    embeddings = unit_embeddings([unit(0, None), unit(1, 0)], sums)
    assert np.allclose(embeddings, np.array([[1, 0], [0.6, 0.8]]))


def test_best_units_come_best_first_and_ties_in_reading_order() -> None:
    assert best_units(np.array([1, 3, 3, 2], dtype=np.float32), 3).tolist() == [1, 2, 3]


def test_a_sentence_that_is_heard_in_two_units_carries_the_reason() -> None:
    units = [unit(0, None), unit(1, 0), unit(2, 1), unit(3, None)]
    scores = np.array([[3], [4], [0], [3]], dtype=np.float32)  # the first gives the reason, its successor only follows it
    assert sentence_scores(scores, units)[:, 0].tolist() == [5, 4, -1, 3.5]  # neither the third nor the last is anyone's predecessor


def test_lexical_features_count_context_and_sentence() -> None:
    lexicon = Lexicon.fit([unit(0, None, "keep my values"), unit(1, 0, "my values", "keep")], minimum=2, limit=10)
    assert set(lexicon.terms) == {"keep", "my", "values", "keep my", "my values"}
    _, columns, values = lexicon.rows([unit(1, 0, "My VALUES", "unknown words")])
    assert set(columns.tolist()) == {lexicon.terms[t] for t in ("my", "values", "my values")}
    assert float(np.linalg.norm(values)) == pytest.approx(1)


def test_rows_hold_the_features_of_each_unit() -> None:
    units = [unit(0, None, "Keep my values, keep."), unit(1, 0, "…", "Keep my values, keep."), unit(2, 1, "", ""), unit(3, 2, "My VALUES")]
    lexicon = Lexicon.fit(units, minimum=1, limit=10)
    starts, columns, values = lexicon.rows(units)
    assert starts.tolist() == [0, 6, 12, 12, 15]
    for i, each in enumerate(units):
        found = (part[starts[i] : starts[i + 1]].tolist() for part in (columns, values))
        assert list(found) == [part.tolist() for part in lexicon.rows([each])[1:]]


def test_scores_are_those_of_the_definition() -> None:
    words = ["keep", "my", "values", "don’t", "train", "me", "Me", "…", "unseen"]
    random = np.random.default_rng(3)
    texts = ["", *(" ".join(random.choice(words, size=n)) for n in random.integers(0, 40, size=60))]
    units = [unit(i, i - 1 if i else None, text, texts[i - 1] if i else "") for i, text in enumerate(texts)]
    lexicon = Lexicon.fit(units[:20], minimum=2, limit=30)
    dense, lexical, bias = (random.standard_normal(shape).astype(np.float32) for shape in ((16, 5), (len(lexicon.terms), 5), (5,)))
    embeddings = random.standard_normal((len(units), 16)).astype(np.float32)

    counts = np.zeros((len(units), len(lexicon.terms)))
    for row, each in zip(counts, units, strict=True):
        said = re.findall(r"[\w']+", f"{each.context} {each.evidence.text}".lower().replace("’", "'"))
        for term in (*said, *(f"{a} {b}" for a, b in pairwise(said))):
            if term in lexicon.terms:
                row[lexicon.terms[term]] += 1
    weighted = counts * lexicon.idf
    weighted /= np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-12)
    scores = Heads(("a", "b", "c", "d", "e"), dense, lexical, bias).scores(embeddings, units, lexicon)
    assert np.allclose(scores, embeddings @ dense + weighted @ lexical + bias, atol=1e-5)


def test_a_unit_without_known_words_scores_its_embedding_alone() -> None:
    lexicon = Lexicon.fit([unit(0, None, "a b")], minimum=1, limit=10)
    heads = Heads(("x",), np.array([[2.0]], np.float32), np.ones((3, 1), np.float32), np.array([1.0], np.float32))
    assert heads.scores(np.array([[3.0]], np.float32), [unit(0, None, "…")], lexicon).tolist() == [[7]]


def test_idf_is_scikit_learns() -> None:
    lexicon = Lexicon.fit([unit(0, None, "a"), unit(1, None, "a b")], minimum=1, limit=10)
    assert lexicon.idf[lexicon.terms["a"]] == pytest.approx(1)
    assert lexicon.idf[lexicon.terms["b"]] == pytest.approx(np.log(3 / 2) + 1)
