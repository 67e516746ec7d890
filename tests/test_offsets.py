"""Offsets of generated tokens in the decoded text, and rewards placed on tokens through them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from alarm.scorers.base import Placement, Score, Span
from alarm.text.offsets import decode_with_offsets, place_rewards

SPECIAL = ["<pad>", "</s>", "<unk>"]
TEXTS = ["The quick brown fox, jumps. It rains; we left at 5!", "naïve café 日本語 😀", "hello world again"] * 10


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.add_tokens(["<sep>", "two words"])
    fast.add_tokens([AddedToken("<extra_id_0>", special=True)])
    return fast


def _metaspace_bpe() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=160, special_tokens=SPECIAL, show_progress=False)
    )
    return _fast(tokenizer)


def _byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return _fast(tokenizer)


def _unigram() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return _fast(tokenizer)


def _byte_fallback() -> PreTrainedTokenizerFast:
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefghilortuw", "▁w", "▁a", "or"]
    merges = [("▁", "w"), ("▁", "a"), ("o", "r")]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    llama = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(llama)
    return _fast(tokenizer)


def _words() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, "one", "two", "three"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return _fast(tokenizer)


def _word_pieces() -> PreTrainedTokenizerFast:
    vocabulary = {piece: index for index, piece in enumerate([*SPECIAL, "one", "two", "##s", "##ly", ".", "n't", "'"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    return _fast(tokenizer)


TOKENIZERS = {
    make.__name__: make() for make in (_metaspace_bpe, _byte_level, _unigram, _byte_fallback, _word_pieces, _words)
}
every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)


def _batch(rows: list[list[int]], *, padding: int = 0, pad_id: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows), default=0) + padding
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows], dtype=torch.long).view(len(rows), width)
    mask = torch.tensor([[k < len(row) for k in range(width)] for row in rows], dtype=torch.bool).view(ids.shape)
    return ids, mask


def _rows(name: str) -> st.SearchStrategy[list[list[int]]]:
    """What a policy may sample: any ids at all (two of them outside the vocabulary), and encodings of any text."""
    tokenizer = TOKENIZERS[name]
    sampled = st.lists(st.integers(0, len(tokenizer) + 1), max_size=12)
    characters = st.sampled_from("aehlorw 日é😀,.▁\n\u3000")
    encoded = st.text(characters, max_size=12).map(lambda text: tokenizer(text).input_ids)
    return st.lists(st.one_of(sampled, encoded), min_size=1, max_size=4)


# --- decode_with_offsets -------------------------------------------------------------------------------------------


@every_tokenizer
@given(data=st.data())
def test_texts_are_those_of_the_tokenizer(name: str, data: st.DataObject) -> None:
    rows = data.draw(_rows(name))
    texts, _ = decode_with_offsets(TOKENIZERS[name], *_batch(rows))
    decode = TOKENIZERS[name].decode
    assert texts == [decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False) for row in rows]


@every_tokenizer
@given(data=st.data())
def test_ends_cut_the_text_into_parts_and_starts_skip_only_white_space(name: str, data: st.DataObject) -> None:
    rows = data.draw(_rows(name))
    for row, text, offsets in zip(rows, *decode_with_offsets(TOKENIZERS[name], *_batch(rows)), strict=True):
        assert len(offsets) == len(row)
        ends = [0, *(end for _, end in offsets)]
        assert ends == sorted(ends)
        assert ends[-1] == len(text) or not row
        starts = [start for start, end in offsets if start < end]
        assert starts == sorted(starts)
        for before, (start, end) in zip(ends, offsets, strict=False):
            assert start <= end
            assert start == end or not text[start].isspace()
            assert not text[before:start].strip()
            # Only a character whose bytes are split over tokens belongs to more than one.
            assert start >= before - (start < end)


@every_tokenizer
@given(data=st.data(), padding=st.integers(0, 3))
def test_padding_and_neighbours_change_nothing(name: str, data: st.DataObject, padding: int) -> None:
    rows = data.draw(_rows(name))
    pad_id = data.draw(st.integers(0, len(TOKENIZERS[name]) - 1))
    together = decode_with_offsets(TOKENIZERS[name], *_batch(rows, padding=padding, pad_id=pad_id))
    alone = [decode_with_offsets(TOKENIZERS[name], *_batch([row])) for row in rows]
    assert together == ([texts[0] for texts, _ in alone], [offsets[0] for _, offsets in alone])


@every_tokenizer
@given(data=st.data())
def test_offsets_agree_with_decoded_prefixes(name: str, data: st.DataObject) -> None:
    """The slow way: where a prefix decodes to a prefix of the text, its length is the end of its last token."""
    row = data.draw(_rows(name))[0]
    (text,), (offsets,) = decode_with_offsets(TOKENIZERS[name], *_batch([row]))
    for count, (_, end) in enumerate(offsets, start=1):
        prefix = TOKENIZERS[name].decode(row[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if text.startswith(prefix) and "\ufffd" not in prefix:
            assert end == len(prefix)


@pytest.mark.parametrize("name", ["_metaspace_bpe", "_unigram", "_byte_level"])
@given(words=st.lists(st.sampled_from(["hello", "world", "fox,", "naïve", "日本語", "😀", "again."]), max_size=6))
def test_encoded_text_gets_the_encoder_s_own_offsets(name: str, words: list[str]) -> None:
    text = " ".join(words)
    encoded = TOKENIZERS[name](text, return_offsets_mapping=True)
    texts, (offsets,) = decode_with_offsets(TOKENIZERS[name], *_batch([encoded.input_ids]))
    assert texts == [text]
    pairs = list(zip(offsets, encoded.offset_mapping, strict=True))
    # A bare "▁" in front has no text of its own; the encoder gives it the first character all the same.
    lone = encoded.tokens()[:1] == ["▁"]
    for (start, end), (encoder_start, encoder_end) in pairs[lone:]:
        part = text[encoder_start:encoder_end]
        assert (start, end) == (encoder_end - len(part.lstrip()), encoder_end)


def _ids(name: str, *tokens: str) -> list[int]:
    return [TOKENIZERS[name].convert_tokens_to_ids(token) for token in tokens]


def test_metaspace_by_hand() -> None:
    row = _ids("_metaspace_bpe", "▁", "▁hello", "<unk>", "</s>", "▁", "o", "<sep>", "▁world", "</s>", "<pad>")
    (text,), (offsets,) = decode_with_offsets(TOKENIZERS["_metaspace_bpe"], *_batch([row]))
    assert text == " hello o<sep> world"
    parts = [(0, 0), (1, 6), (6, 6), (6, 6), (7, 7), (7, 8), (8, 13), (14, 19), (19, 19), (19, 19)]
    assert offsets == parts


def test_the_first_token_with_text_loses_its_space_wherever_it_stands() -> None:
    row = _ids("_metaspace_bpe", "</s>", "▁hello", "▁hello")
    assert decode_with_offsets(TOKENIZERS["_metaspace_bpe"], *_batch([row])) == (
        ["hello hello"],
        [[(0, 0), (0, 5), (6, 11)]],
    )


def test_a_character_split_over_byte_tokens_belongs_to_all_of_them() -> None:
    # "日" is E6 97 A5, "æ", "Ĺ" and "¥" in the byte-level alphabet; the special token between them has no text.
    row = _ids("_byte_level", "Ġ", "æ", "Ĺ", "</s>", "¥", "a", "æ", "Ĺ", "a")
    (text,), (offsets,) = decode_with_offsets(TOKENIZERS["_byte_level"], *_batch([row]))
    assert text == " 日a\ufffda"
    assert offsets == [(1, 1), (1, 2), (1, 2), (2, 2), (1, 2), (2, 3), (3, 4), (3, 4), (4, 5)]


def test_byte_fallback_by_hand() -> None:
    row = _ids("_byte_fallback", "▁w", "<0xE6>", "<0x97>", "<0xA5>", "a", "<0xE6>", "<0x97>", "or")
    (text,), (offsets,) = decode_with_offsets(TOKENIZERS["_byte_fallback"], *_batch([row]))
    assert text == "w日a\ufffd\ufffdor"
    assert offsets == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3), (3, 4), (4, 5), (5, 7)]


def test_a_space_that_the_decoder_strips_from_the_text_shifts_it() -> None:
    row = _ids("_byte_fallback", "</s>", "<0x20>", "a", "▁w")
    (text,), (offsets,) = decode_with_offsets(TOKENIZERS["_byte_fallback"], *_batch([row]))
    assert text == "a w"
    assert offsets == [(0, 0), (0, 0), (0, 1), (2, 3)]


@every_tokenizer
def test_responses_without_text(name: str) -> None:
    end = TOKENIZERS[name].eos_token_id
    assert decode_with_offsets(TOKENIZERS[name], *_batch([[], [end]])) == (["", ""], [[], [(0, 0)]])
    assert decode_with_offsets(TOKENIZERS[name], *_batch([[]])) == ([""], [[]])


def test_tokens_added_later_are_seen() -> None:
    tokenizer = _metaspace_bpe()
    hello = tokenizer.convert_tokens_to_ids("▁hello")
    rows = _batch([[hello, len(tokenizer)]])
    assert decode_with_offsets(tokenizer, *rows)[0] == ["hello"]
    tokenizer.add_tokens(["<later>"])
    assert decode_with_offsets(tokenizer, *rows) == (["hello<later>"], [[(0, 5), (5, 12)]])


def test_decoding_refuses_what_it_cannot_align() -> None:
    ids, mask = torch.ones(1, 3, dtype=torch.long), torch.tensor([[True, False, True]])
    with pytest.raises(ValueError, match="gap"):
        decode_with_offsets(TOKENIZERS["_unigram"], ids, mask)
    with pytest.raises(ValueError, match="shape"):
        decode_with_offsets(TOKENIZERS["_unigram"], ids, mask[:, :2])
    with pytest.raises(ValueError, match="slow tokenizer"):
        decode_with_offsets(object(), *_batch([[1]]))
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1, "b": 2}, unk_token="<pad>"))
    tokenizer.decoder = decoders.CTC()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    with pytest.raises(ValueError, match="across tokens"):
        decode_with_offsets(fast, *_batch([[1, 2, 2]]))


# --- place_rewards -------------------------------------------------------------------------------------------------

HELLO = [(0, 5), (6, 11), (11, 12), (13, 16), (16, 16)]
"""Tokens of "hello world. Yes", with an end token."""


def _place(spans: list[Span], placement: Placement, offsets=HELLO, value: float = 7.0, padding: int = 1):
    mask = torch.tensor([[True] * len(offsets) + [False] * padding])
    values, active = place_rewards([Score(value, tuple(spans))], [offsets], mask, placement)
    assert values.dtype == torch.float32
    assert active.dtype == torch.bool
    return values[0].tolist(), active[0].tolist()


def test_last_is_the_last_real_token() -> None:
    assert _place([], Placement.LAST) == ([0, 0, 0, 0, 7, 0], [False] * 4 + [True, False])


def test_units_end_on_their_last_visible_character() -> None:
    # The first unit has the space behind it, which the next token's piece brings along.
    values, active = _place([Span(0, 13, 0.5), Span(13, 16, -0.5)], Placement.UNIT_END)
    assert values == [0, 0, 0.5, -0.5, 0, 0]
    assert active == [False, False, True, True, False, False]


def test_later_units_overwrite_and_those_behind_the_text_are_clamped() -> None:
    # (0, 2) and (2, 5) end inside the first token, (20, 30) lies behind the text, (5, 6) is a space.
    spans = [Span(0, 2, 1.0), Span(2, 5, 2.0), Span(5, 6, 9.0), Span(20, 30, 3.0)]
    assert _place(spans, Placement.UNIT_END) == ([2, 0, 0, 0, 3, 0], [True, False, False, False, True, False])


def test_a_unit_ends_on_the_last_token_of_a_split_character() -> None:
    assert _place([Span(0, 1, 1.0)], Placement.UNIT_END, [(0, 1), (0, 1), (1, 1)])[0] == [0, 1, 0, 0]


def test_covered_tokens_overlap_the_span() -> None:
    values, active = _place([Span(8, 12, -1.0)], Placement.COVERED)
    assert values == [0, -1, -1, 0, 0, 0]
    assert active == [True] * 5 + [False]
    assert _place([Span(5, 6, -1.0)], Placement.COVERED)[0] == [0, -1, 0, 0, 0, 0]  # the space before "world"
    assert _place([Span(3, 3, -1.0)], Placement.COVERED)[0] == [0] * 6
    assert _place([Span(0, 1, -1.0)], Placement.COVERED, [(0, 1), (0, 1), (1, 1)])[0] == [-1, -1, 0, 0]


@pytest.mark.parametrize("placement", Placement)
def test_rows_without_real_tokens_have_nothing_active(placement: Placement) -> None:
    mask = torch.zeros(2, 3, dtype=torch.bool)
    values, active = place_rewards([Score(1.0, (Span(0, 1, 1.0),)), Score(1.0)], [[], []], mask, placement)
    assert values.tolist() == [[0.0] * 3] * 2
    assert not active.any()
    values, active = place_rewards([Score(1.0)], [[]], torch.zeros(1, 0, dtype=torch.bool), placement)
    assert values.shape == active.shape == (1, 0)


def test_placing_refuses_what_does_not_match() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="one of each"):
        place_rewards([Score(1.0)] * 2, [[(0, 1), (1, 2)]], mask, Placement.LAST)
    with pytest.raises(ValueError, match="row 0 has 2 real tokens but 1 offsets"):
        place_rewards([Score(1.0)], [[(0, 1)]], mask, Placement.UNIT_END)


WORDS = st.lists(st.sampled_from(["hello", "world", "fox", "café", "日本", "again."]), min_size=1, max_size=8)


@pytest.mark.parametrize("name", ["_metaspace_bpe", "_unigram", "_byte_level"])
@given(data=st.data(), words=WORDS, padding=st.integers(0, 3), trailing=st.booleans())
def test_word_units_keep_their_rewards_whatever_the_tokenizer(
    name: str, data: st.DataObject, words: list[str], padding: int, trailing: bool
) -> None:
    """Units are found in the text alone, so no word's reward may get lost, move to another word, or into padding."""
    tokenizer = TOKENIZERS[name]
    row = [*tokenizer(" ".join(words)).input_ids, tokenizer.eos_token_id]
    ids, mask = _batch([row, row[:1]], padding=padding)
    texts, offsets = decode_with_offsets(tokenizer, ids, mask)
    rewards = [data.draw(st.integers(-4, 4)) / 4 for _ in words]
    spans, start = [], 0
    for word, reward in zip(words, rewards, strict=True):
        # A space at a unit's border may belong to the unit before it (sub-sentences) or behind it (sentences).
        end = start + len(word)
        spans.append(Span(start if trailing else max(start - 1, 0), min(end + trailing, len(texts[0])), reward))
        start = end + 1
    values, active = place_rewards([Score(0.0, tuple(spans)), Score(0.0)], offsets, mask, Placement.UNIT_END)
    assert values[0][active[0]].tolist() == rewards
    assert values.sum().item() == sum(rewards)
    assert not active[1].any()
    # The active tokens are those that end a word: the text up to each of them ends where the word does.
    ends = [offsets[0][position][1] for position in active[0].nonzero().flatten().tolist()]
    assert [texts[0][:end].split() for end in ends] == [words[: k + 1] for k in range(len(words))]
    assert [end == len(texts[0]) or texts[0][end] == " " for end in ends] == [True] * len(words)


@every_tokenizer
@given(data=st.data())
def test_covered_marks_exactly_the_tokens_with_a_character_of_the_span(name: str, data: st.DataObject) -> None:
    row = data.draw(_rows(name))[0]
    (text,), offsets = decode_with_offsets(TOKENIZERS[name], *_batch([row]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    mask = torch.ones(1, len(row), dtype=torch.bool)
    values, active = place_rewards([Score(0.0, (Span(start, end, -1.0),))], offsets, mask, Placement.COVERED)
    assert active.all()
    before, expected = 0, []
    for token_start, token_end in offsets[0]:
        own = set(range(before, token_end)) | set(range(token_start, token_end))
        expected.append(-1.0 if own & set(range(start, end)) else 0.0)
        before = token_end
    assert values[0].tolist() == expected
    assert (start == end) == (not any(expected))
