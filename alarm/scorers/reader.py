"""A reader: a network with its tokenizer and its text form, turning (prompt, response) texts into logits.

Where a text is too long the end of the prompt is cut, never the response: the released code cuts the end of the whole
text, and for a long question-answering prompt that removes the response.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from alarm.fused import fuse_activations
from alarm.scorers.forms import FORMS
from alarm.scorers.networks import Encoded, EncoderDecoderReader, collate, looks_back_only, marked_logits
from alarm.text.splitters import sentence_splitter

FORM_FILE = "scorer.json"
BATCH_SIZE = 64
"""Texts that a trained model reads at once."""


class Reader:
    """Reads prompts with the units of their responses; gives one row of logits per unit."""

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        kind: str,
        *,
        max_tokens: int,
        splitter: str = "rules",
    ) -> None:
        """`max_tokens` limits the prompt where it has a stream of its own, else prompt and response together.

        `splitter` names the sentence splitter that units are found with (`alarm.text.splitters`).
        """
        fuse_activations(network)
        self.network, self.tokenizer, self.max_tokens = network, tokenizer, max_tokens
        self.splitter = splitter
        self.form = replace(FORMS[kind], sentence_splitter=sentence_splitter(splitter))
        self.truncated_prompts = 0
        """Prompts cut so far, for records; one that an encoder-decoder reads for several responses counts once."""
        if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
            raise ValueError(
                "the reward model's tokenizer needs a pad token other than its end token: with none, or with the same, "
                "the model cannot find a response's last token and learns nothing. Set tokenizer.pad_token"
            )
        network.config.pad_token_id = tokenizer.pad_token_id
        self.encoder_decoder = isinstance(network, EncoderDecoderReader)
        self._separator = tokenizer.sep_token or tokenizer.eos_token
        if self._separator is None:
            raise ValueError("the reward model's tokenizer needs a separator or end token; set tokenizer.sep_token")
        # A network that only looks back has seen a unit when it reaches the separator after it, not the one before.
        self._looks_back_only = looks_back_only(network.config)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | Path,
        tokenizer: PreTrainedTokenizerBase,
        kind: str,
        *,
        seed: int,
        max_tokens: int = 1024,
        splitter: str = "rules",
        likelihoods: bool = True,
    ) -> Reader:
        """A network with `checkpoint`'s weights below a new head drawn from `seed`.

        An encoder-decoder's head also reads likelihoods where `likelihoods` says so (see `EncoderDecoderReader`).
        """
        config = AutoConfig.from_pretrained(checkpoint, num_labels=max(1, len(FORMS[kind].labels)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if config.is_encoder_decoder:
                config.reads_likelihoods = likelihoods
                network = EncoderDecoderReader(config, AutoModelForSeq2SeqLM.from_pretrained(checkpoint, config=config))
            else:
                network = _classifier(kind).from_pretrained(checkpoint, config=config)
        return cls(network, tokenizer, kind, max_tokens=max_tokens, splitter=splitter)

    @classmethod
    def load(cls, directory: str | Path, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Reader:
        """Read back what `save` wrote, in evaluation mode. Raises `ValueError` if the folder holds no scorer."""
        directory = Path(directory)
        if not (directory / FORM_FILE).is_file():
            raise ValueError(f"{directory} holds no learned scorer ({FORM_FILE} is missing); train one there first")
        stored = json.loads((directory / FORM_FILE).read_text(encoding="utf-8"))
        if AutoConfig.from_pretrained(directory).is_encoder_decoder:
            network = EncoderDecoderReader.load(directory)
        else:
            network = _classifier(stored["kind"]).from_pretrained(directory)
        network = network.to(device=device, dtype=dtype).eval()
        tokenizer = AutoTokenizer.from_pretrained(directory)
        return cls(
            network,
            tokenizer,
            stored["kind"],
            max_tokens=stored["max_tokens"],
            splitter=stored.get("sentence_splitter", "rules"),
        )

    def save(self, directory: str | Path) -> None:
        """Write weights, tokenizer and text form into `directory`."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.network.save(directory) if self.encoder_decoder else self.network.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)
        stored = {"kind": self.form.kind, "max_tokens": self.max_tokens, "sentence_splitter": self.splitter}
        (directory / FORM_FILE).write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")

    def encode(self, prompts: Sequence[str], units: Sequence[Sequence[str]]) -> list[Encoded]:
        """Token ids of each prompt with the units of its response, one mark per unit."""
        if not prompts:
            return []  # tokenizers cannot read an empty list
        prompts = [self.form.prompt(prompt) for prompt in prompts]
        if self.encoder_decoder:
            return self._two_streams(prompts, units)
        return self._separated(prompts, units) if self.form.labels else self._template(prompts, units)

    @torch.inference_mode()
    def logits(
        self, prompts: Sequence[str], units: Sequence[Sequence[str]], *, batch_size: int = BATCH_SIZE
    ) -> list[Tensor]:
        """Logits [units, labels], fp32 on the CPU, for each prompt and the units of its response."""
        encoded = self.encode(prompts, units)
        by_length = sorted(
            range(len(encoded)), key=lambda i: (len(encoded[i].response_ids), len(encoded[i].prompt_ids))
        )
        results: list[Tensor] = [torch.empty(0)] * len(encoded)
        for start in range(0, len(by_length), batch_size):
            rows = by_length[start : start + batch_size]
            batch = collate([encoded[i] for i in rows], pad_id=self.tokenizer.pad_token_id)
            logits = marked_logits(self.network, batch.to(self.network.device)).cpu()
            sizes = [len(encoded[i].marks) for i in rows]
            for i, part in zip(rows, logits.split(sizes), strict=True):
                results[i] = part
        return results

    def _two_streams(self, prompts: Sequence[str], units: Sequence[Sequence[str]]) -> list[Encoded]:
        """Both texts as the policy reads and writes them, judged at the last token of each unit.

        A separator inside the response would be an end token to the decoder, with nothing likely after it.
        """
        end = self.tokenizer.eos_token_id
        distinct = list(dict.fromkeys(prompts))
        # An encoder cannot read nothing, so an empty prompt is the end token alone.
        prompt_ids = {
            text: ids or [end] for text, ids in zip(distinct, self.tokenizer(distinct).input_ids, strict=True)
        }
        self.truncated_prompts += sum(len(ids) > self.max_tokens for ids in prompt_ids.values())
        flat = [piece for pieces in units for piece in pieces]
        piece_ids = iter(self.tokenizer(flat, add_special_tokens=False).input_ids if flat else [])
        encoded = []
        for prompt, pieces in zip(prompts, units, strict=True):
            response, marks = [self.network.config.decoder_start_token_id], []
            for _ in pieces:
                ids = next(piece_ids)
                # A unit is judged at its last token, a whole response at its end token.
                response += ids if ids and self.form.labels else [*ids, end]
                marks.append(len(response) - 1)
            encoded.append(Encoded(tuple(prompt_ids[prompt][: self.max_tokens]), tuple(response), tuple(marks)))
        return encoded

    def _template(self, prompts: Sequence[str], units: Sequence[Sequence[str]]) -> list[Encoded]:
        """One stream, scored at its last token."""
        heads = [self.form.before_prompt + prompt for prompt in prompts]
        tokens = self.tokenizer(
            [head + self.form.before_response + "".join(pieces) for head, pieces in zip(heads, units, strict=True)],
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        encoded = []
        columns = (tokens.input_ids, tokens.offset_mapping, tokens.special_tokens_mask, heads)
        for row, offsets, specials, head in zip(*columns, strict=True):
            # Special tokens have empty spans, and stay; so has a lone space, and goes.
            of_prompt = [end <= len(head) and not special for (_, end), special in zip(offsets, specials, strict=True)]
            ids = self._cut_prompt(row, of_prompt)
            encoded.append(Encoded((), tuple(ids), (len(ids) - 1,)))
        return encoded

    def _separated(self, prompts: Sequence[str], units: Sequence[Sequence[str]]) -> list[Encoded]:
        """One stream of whitespace words with a separator at each unit."""
        rows, prompt_sizes, separators = [], [], []
        for prompt, pieces in zip(prompts, units, strict=True):
            words = (self.form.before_prompt + prompt).split()
            prompt_sizes.append(len(words))
            separators.append([])
            words += self.form.before_response.split()
            for piece in pieces:
                unit = piece.split()
                separators[-1].append(len(words) + (len(unit) if self._looks_back_only else 0))
                words += [*unit, self._separator] if self._looks_back_only else [self._separator, *unit]
            rows.append(words)
        tokens = self.tokenizer(rows, is_split_into_words=True)
        encoded = []
        for i, (prompt_words, at) in enumerate(zip(prompt_sizes, separators, strict=True)):
            of_word = tokens.word_ids(i)
            of_prompt = [word is not None and word < prompt_words for word in of_word]
            first = {word: place for place, word in reversed(list(enumerate(of_word)))}
            ids = self._cut_prompt(tokens.input_ids[i], of_prompt)
            cut = len(of_word) - len(ids)
            encoded.append(Encoded((), tuple(ids), tuple(first[word] - cut for word in at)))
        return encoded

    def _cut_prompt(self, ids: Sequence[int], of_prompt: Sequence[bool]) -> list[int]:
        """Drop the last tokens of the prompt until `max_tokens` are left."""
        excess = len(ids) - self.max_tokens
        if excess <= 0:
            return list(ids)
        if excess > sum(of_prompt):
            raise ValueError(
                f"a response alone has more than the {self.form.kind} model's {self.max_tokens} tokens; raise "
                "max_tokens or lower max_new_tokens"
            )
        self.truncated_prompts += 1
        positions = [i for i, is_prompt in enumerate(of_prompt) if is_prompt]
        dropped = set(positions[len(positions) - excess :])
        return [token for i, token in enumerate(ids) if i not in dropped]


def _classifier(kind: str) -> type:
    return AutoModelForTokenClassification if FORMS[kind].labels else AutoModelForSequenceClassification


def checksum(directory: str | Path) -> str:
    """The first 12 digits of a sha256 over the names and values of a stored network's weights."""
    from safetensors.torch import load_file

    digest = hashlib.sha256()
    for file in sorted(Path(directory).glob("*.safetensors")):
        # Not the file's bytes: the order of its header entries varies between equal networks.
        for name, tensor in sorted(load_file(file).items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
