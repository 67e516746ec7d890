"""Which characters of the decoded text each generated token covers, and rewards placed on tokens by them.

Scorers speak of characters, the policy acts in tokens. Aligning the generated ids themselves (not a second tokenisation
of the text, which can differ from what was sampled) puts every reward on the token that earned it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from alarm.scorers.base import Placement, Score

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Offset = tuple[int, int]

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def decode_with_offsets(
    tokenizer: PreTrainedTokenizerBase, ids: Tensor, mask: Tensor
) -> tuple[list[str], list[list[Offset]]]:
    """Decode generated ids and say which characters each of them became.

    The ends of a row's offsets cut its text into the tokens' parts: token k became the characters from the end of token
    k - 1 to its own end. Its start leaves out the white space that its part begins with ("▁world" starts at the "w"),
    so that a unit with the space behind it ends on its own last token and not on the next word. Tokens that share a
    character (its bytes are split over them) all cover it. Tokens without text get an empty span at the end of the text
    so far: special tokens, ids outside the vocabulary, unknown tokens if they are special, mere white space.

    Args:
        tokenizer: a fast tokenizer with a decoder of the Metaspace (T5, sentencepiece), byte-level (GPT-2) or
            byte-fallback (Llama) kind, WordPiece, or none.
        ids: generated ids, [B, T].
        mask: [B, T], boolean, True for real tokens, which start at column 0; ids elsewhere are never read.
    Returns:
        The B texts, equal to `tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)` (so
        byte-level texts keep a leading space, and Metaspace ones lose the first word's), and for each row one
        (start, end) per real token.
    Raises:
        ValueError: for a mask with gaps, a slow tokenizer, or a decoder that rewrites text across tokens.
    """
    if ids.shape != mask.shape:
        raise ValueError(f"ids have shape {tuple(ids.shape)} but the mask {tuple(mask.shape)}; they must be equal")
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise ValueError("the mask has a gap: responses must start at column 0 and be padded on the right only")
    pieces = _pieces_of(tokenizer)
    rows = [row[:length] for row, length in zip(ids.tolist(), mask.sum(dim=1).tolist(), strict=True)]
    texts = pieces.backend.decode_batch(rows, skip_special_tokens=True)
    return texts, [_row_offsets(pieces, row, text) for row, text in zip(rows, texts, strict=True)]


def place_rewards(
    scores: Sequence[Score], offsets: Sequence[Sequence[Offset]], response_mask: Tensor, placement: Placement
) -> tuple[Tensor, Tensor]:
    """Put each score where its aspect has its values.

    - `LAST`: `Score.value` on the last real token, which is the end token if there is one.
    - `UNIT_END`: each span's value on the token with the span's last visible character, in order, so that a later unit
      overwrites an earlier one on the same token; a span behind the text goes to the last real token; one of mere white
      space goes nowhere.
    - `COVERED`: active on every real token; the span's value where a span has a character of the token (the white
      space before it included), 0 elsewhere, the end token included. An empty span covers nothing.

    Args:
        scores: B scores of the decoded texts.
        offsets: for each row one span per real token, from `decode_with_offsets`.
        response_mask: [B, T], boolean, True for real tokens, right-padded.
    Returns:
        Values [B, T] float32, 0 where not active, and active [B, T] boolean, on the mask's device. A row without real
        tokens has nothing active.
    Raises:
        ValueError: if the batch sizes, or a row's offsets and its mask, do not match.
    Source: ALaRM, appendix; placement of Fine-Grained RLHF, by offsets instead of re-tokenised prefixes.
    """
    lengths = response_mask.sum(dim=1).tolist()
    if not len(scores) == len(offsets) == len(lengths):
        raise ValueError(
            f"got {len(scores)} scores, {len(offsets)} rows of offsets and {len(lengths)} responses; "
            "pass one of each per response"
        )
    values = [[0.0] * response_mask.shape[1] for _ in lengths]
    active = [[False] * response_mask.shape[1] for _ in lengths]
    for row, (score, tokens, length) in enumerate(zip(scores, offsets, lengths, strict=True)):
        if len(tokens) != length:
            raise ValueError(f"row {row} has {length} real tokens but {len(tokens)} offsets; decode with the same mask")
        if placement is Placement.COVERED:
            active[row][:length] = [True] * length
        if length:
            for position, value in _placed(score, tokens, placement):
                values[row][position], active[row][position] = value, True
    shape, device = response_mask.shape, response_mask.device
    return (
        torch.tensor(values, dtype=torch.float32, device=device).view(shape),
        torch.tensor(active, dtype=torch.bool, device=device).view(shape),
    )


def _placed(score: Score, tokens: Sequence[Offset], placement: Placement) -> Iterator[tuple[int, float]]:
    """The (position, value) pairs of one response with at least one token, in the order of the spans."""
    last = len(tokens) - 1
    if placement is Placement.LAST:
        yield last, score.value
        return
    text_end = max(end for _, end in tokens)
    for span in score.spans:
        if placement is Placement.UNIT_END:
            visible = [
                k for k, (start, end) in enumerate(tokens) if start < end and start < span.end and end > span.start
            ]
            if visible or span.start >= text_end:
                yield (visible[-1] if visible else last), span.value
        else:
            before = 0
            for position, (start, end) in enumerate(tokens):
                # From the end of the token before: its white space is part of the token, a shared character too.
                if max(min(before, start), span.start) < min(end, span.end):
                    yield position, span.value
                before = end


class _Pieces:
    """What each id of a vocabulary adds to a text, looked up once per id."""

    def __init__(self, backend, special: dict[int, bool]) -> None:
        self.backend = backend
        self.special = special
        kinds = _decoder_kinds(backend.decoder)
        self._alphabet = _byte_alphabet() if "ByteLevel" in kinds else {}
        self.byte_fallback = "ByteFallback" in kinds
        self._known: dict[tuple[int, bool], str | bytes | None] = {}
        # A token is decoded behind this one to see it inside a text: the first token may lose its leading space.
        candidates = range(0 if self._alphabet else backend.get_vocab_size())
        self._before = next(([token_id] for token_id in candidates if self._visible(token_id)), [])
        self._before_text = self._decode(self._before)

    def get(self, token_id: int, *, first: bool) -> str | bytes | None:
        """The text of an id, or its bytes if it may be part of a character; None if decoding leaves it out."""
        key = (token_id, first)
        if key not in self._known:
            self._known[key] = self._look_up(token_id, first)
        return self._known[key]

    def _look_up(self, token_id: int, first: bool) -> str | bytes | None:
        token = self.backend.id_to_token(token_id)
        if token is None or self.special.get(token_id, False):
            return None
        if self._alphabet:
            if all(char in self._alphabet for char in token):
                return bytes(self._alphabet[char] for char in token)
            return token.encode()
        if self.byte_fallback and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(match[1])
        if first:
            return self._decode([token_id])
        return self._decode([*self._before, token_id])[len(self._before_text) :]

    def _visible(self, token_id: int) -> bool:
        piece = self.get(token_id, first=True)
        return isinstance(piece, str) and bool(piece.strip())

    def _decode(self, ids: list[int]) -> str:
        return self.backend.decode(ids, skip_special_tokens=True)


_CACHE: WeakKeyDictionary[PreTrainedTokenizerBase, _Pieces] = WeakKeyDictionary()


def _pieces_of(tokenizer: PreTrainedTokenizerBase) -> _Pieces:
    """The tokenizer's pieces, kept as long as it lives and its added tokens stay the same."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(
            f"{type(tokenizer).__name__} is a slow tokenizer and cannot tell its tokens' characters; "
            "load the fast one (AutoTokenizer.from_pretrained(..., use_fast=True))"
        )
    special = {token_id: token.special for token_id, token in backend.get_added_tokens_decoder().items()}
    pieces = _CACHE.get(tokenizer)
    if pieces is None or pieces.special != special:
        pieces = _CACHE[tokenizer] = _Pieces(backend, special)
    return pieces


def _byte_alphabet() -> dict[str, int]:
    """The byte behind each character of a byte-level vocabulary."""
    from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

    return {char: byte for byte, char in bytes_to_unicode().items()}


def _decoder_kinds(decoder) -> set[str]:
    """Type names of a decoder and of the decoders in it; its state is the only place that tells them."""
    if decoder is None:
        return set()
    state = json.loads(decoder.__getstate__())
    return {part["type"] for part in [state, *state.get("decoders", [])]}


def _row_offsets(pieces: _Pieces, row: list[int], text: str) -> list[Offset]:
    """One span per id of `row`, whose decoded text is `text`."""
    found: list[str | bytes | None] = []
    first = True
    for token_id in row:
        piece = pieces.get(token_id, first=first)
        found.append(piece)
        first = first and piece is None
    joined, bounds = _join(found, each_byte=pieces.byte_fallback)
    cut = len(joined) - len(text)
    if joined != text and not (cut > 0 and joined.endswith(text) and joined[:cut].isspace()):
        raise ValueError(
            "the tokenizer's decoder rewrites text across tokens, so they cannot be aligned with it: "
            f"the pieces give {joined!r}, the decoder {text!r}; use a Metaspace, byte-level or byte-fallback tokenizer"
        )
    return [_trimmed(text, max(start - cut, 0), max(end - cut, 0)) for start, end in bounds]


def _join(found: list[str | bytes | None], *, each_byte: bool) -> tuple[str, list[Offset]]:
    """The text of the pieces and the part of it that each gave; neighbouring bytes are decoded together."""
    parts: list[str] = []
    bounds: list[Offset] = []
    end = 0
    run = b""
    run_ends: list[int] = []
    """For each token since the run of bytes began, the length of the run with it."""

    def close_run() -> None:
        nonlocal end, run
        owners, decoded = _characters(run, each_byte=each_byte)
        before = 0
        for after in run_ends:
            so_far = end + owners[after - 1] + 1
            bounds.append((end + owners[before], so_far) if after > before else (so_far, so_far))
            before = after
        parts.append(decoded)
        end += len(decoded)
        run = b""
        run_ends.clear()

    for piece in found:
        if isinstance(piece, bytes):
            run += piece
        # A token without text does not end a run: decoding leaves it out before it looks at bytes.
        if isinstance(piece, bytes) or (piece is None and run_ends):
            run_ends.append(len(run))
            continue
        if run_ends:
            close_run()
        start = end
        if piece:
            parts.append(piece)
            end += len(piece)
        bounds.append((start, end))
    if run_ends:
        close_run()
    return "".join(parts), bounds


def _characters(data: bytes, *, each_byte: bool) -> tuple[list[int], str]:
    """For each byte the index of its character, and the text, with U+FFFD for bytes that are no text.

    Byte fallback replaces every byte of a run that is not wholly valid; byte-level decoding, like Python's "replace",
    puts one mark for each beginning of a character that breaks off.
    """
    if data.isascii():
        return list(range(len(data))), data.decode()
    owners: list[int] = []
    parts: list[str] = []
    count = position = 0
    while position < len(data):
        try:
            good, bad = data[position:].decode(), 0
        except UnicodeDecodeError as error:
            if each_byte:
                return list(range(len(data))), "\ufffd" * len(data)
            good, bad = data[position : position + error.start].decode(), error.end - error.start
        for char in good:
            owners += [count] * len(char.encode())
            count += 1
        parts.append(good)
        if bad:
            owners += [count] * bad
            count += 1
            parts.append("\ufffd")
        position = len(owners)
    return owners, "".join(parts)


def _trimmed(text: str, start: int, end: int) -> Offset:
    while start < end and text[start].isspace():
        start += 1
    return start, end
