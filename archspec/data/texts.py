"""Turns texts into token ids with a ``tokenizer.json`` or a ``vocab.txt``."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from archspec.data.extras import train_extra
from archspec.data.token_counts import TokenCounts
from archspec.data.tokenizer_files import Files, as_data_error, read_files, tokenizer_file
from archspec.errors import DataError, Problem, listing

with train_extra():
    from tokenizers import Tokenizer

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Text = str | tuple[str, str]
"""A text, or a pair of texts."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The tokens of one text, with their places in it.

    Attributes:
        ids: of the tokens.
        names: of the tokens, as the tokenizer writes them.
        spans: start and end of each token in the text; None for a token that the tokenizer added.
        words: number of each token's word, as the tokenizer splits them; None if unknown.
        truncated: whether tokens were cut off.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    spans: tuple[tuple[int, int] | None, ...]
    words: tuple[int | None, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Encoded:
    """The token ids of several texts.

    Attributes:
        ids: of each text or pair, special tokens included, not padded.
        types: 0 for each token of a first text, 1 of a second; None if no input is a pair.
        truncated: positions of the texts that were cut.
        counts: of all texts.
    """

    ids: list[list[int]]
    types: list[list[int]] | None
    truncated: frozenset[int]
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of contexts with their questions.

    Attributes:
        encoded: the tokens of each window.
        owners: the pair of each window.
        places: of each token of a window, its characters in the context; None for other tokens.
        too_long: the pairs without windows, because of their questions.
    """

    encoded: Encoded
    owners: list[int]
    places: list[list[tuple[int, int] | None]]
    too_long: frozenset[int]


class TextEncoder:
    """Turns texts into token ids.

    Args:
        path: ``tokenizer.json``, ``vocab.txt`` (WordPiece, as BERT's), or a folder with one.
        max_length: maximum number of tokens, with special ones; longer texts are cut.
        inputs: which of ``input_ids``, ``attention_mask``, ``token_type_ids`` a batch has.
        has_types: whether a batch of pairs has ``token_type_ids`` in any case.
        limit: the largest ``max_length`` that the model supports; None if unlimited.
        strict: whether a ``max_length`` above the files' ``model_max_length`` is an error;
            otherwise it is reduced.

    Attributes:
        pad_id: the padding token.
        mask_id: the token in place of one that is to be predicted; None if there is none.
        blank: a token without meaning: that of unknown words, else the padding token if it has a
            name, else None.
        size: one more than the highest token id.
        guesses: what the tokenizer's files leave open, and how they were read, a line each.
        guessed_settings: what a ``tokenizer_config.json`` would say instead.

    Raises:
        DataError: E905, there is no such file, or it is no tokenizer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_length: int,
        inputs: Sequence[str] = ("input_ids", "attention_mask"),
        *,
        has_types: bool = False,
        limit: int | None = None,
        strict: bool = True,
    ) -> None:
        if unknown := [name for name in inputs if name not in INPUTS]:
            hint = f"a tokenizer gives {listing(INPUTS)}"
            raise DataError(Problem("E905", f"no text becomes '{unknown[0]}'", hint=hint))
        self.path = tokenizer_file(Path(path))
        self.inputs = tuple(inputs)
        self.pair_inputs = tuple(
            name for name in INPUTS if name in inputs or (has_types and name == "token_type_ids")
        )
        files = read_files(self.path)
        self._tokenizer = files.tokenizer
        self.guesses, self.guessed_settings = files.guesses, files.guessed_settings
        self.limit = min([n for n in (limit, files.max_length) if n is not None], default=None)
        if self.limit is not None and max_length > self.limit:
            if strict:
                message = (
                    f"a maximum length of {max_length:,}, and the tokenizer's model_max_length"
                )
                raise DataError(Problem("E905", f"{self.path}: {message} is {self.limit:,}"))
            max_length = self.limit
        self.max_length = max_length
        self.size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self.pad_id = _pad_id(self._tokenizer, files.roles.get("pad_token"))
        self.mask_id = self._role(files, "mask_token", _MASK_TOKENS)
        self._bos = self._role(files, "bos_token", _BEGIN_TOKENS)
        self._eos = self._role(files, "eos_token", _END_TOKENS)
        self.blank = _first_known(self._tokenizer, (*_UNKNOWN_TOKENS, *_PAD_TOKENS))
        self._tokenizer.no_padding()
        self._windowed: Tokenizer | None = None
        self._unknown = _unknown_id(self._tokenizer)
        self._added = special = self._tokenizer.num_special_tokens_to_add(False)
        self._added_to_pairs = self._tokenizer.num_special_tokens_to_add(True)
        if max_length <= special:
            message = f"a maximum length of {max_length} leaves no room beside {special} special"
            raise DataError(Problem("E905", f"{message} tokens"))
        self._side = files.truncation_side
        self._tokenizer.enable_truncation(max_length, direction=self._side)

    def shorten(self, limit: int) -> None:
        """Cut texts at ``limit`` tokens at most, as the model takes no more.

        Raises:
            DataError: E905, no token of a text is left.
        """
        self.limit, self.max_length = limit, min(limit, self.max_length)
        if self.max_length <= self._added:
            message = f"the model's {limit:,} positions leave no room beside {self._added}"
            raise DataError(Problem("E905", f"{message} special tokens"))
        self._tokenizer.enable_truncation(self.max_length, direction=self._side)

    @property
    def definition(self) -> str:
        """Everything that decides what a text becomes: the tokenizer as JSON, and the inputs."""
        facts = [metadata.version("tokenizers"), self._tokenizer.to_str(), self.pad_id, self.inputs]
        facts += [self._eos]
        return json.dumps(facts)

    @property
    def json(self) -> str:
        """The tokenizer, as a ``tokenizer.json`` has it."""
        return self._tokenizer.to_str(pretty=True)

    def _role(self, files: Files, role: str, usual: Sequence[str]) -> int | None:
        """The token of a role: as the files say, else one of the usual names."""
        names = [files.roles[role]] if role in files.roles else usual
        return _first_known(self._tokenizer, names)

    @property
    def special_ids(self) -> frozenset[int]:
        """The tokens that are no part of a text, and that of unknown words."""
        added = self._tokenizer.get_added_tokens_decoder().items()
        named = {i for i in (self.mask_id, self.blank) if i is not None}
        return frozenset({i for i, one in added if one.special} | named | {*self.encode([""])[0]})

    @property
    def special_tokens(self) -> dict[str, str]:
        """The special tokens by their roles, where the vocabulary has them."""
        ids = {"pad_token": self.pad_id, "unk_token": self._unknown, "mask_token": self.mask_id}
        ids |= {"bos_token": self.begin_id, "eos_token": self.end_id}
        return {role: name for role, i in ids.items() if i is not None and (name := self.name(i))}

    @property
    def has_mask(self) -> bool:
        """Whether batches have a mask; without one, the model takes padding for tokens."""
        return "attention_mask" in self.inputs

    def encode(self, texts: Sequence[Text]) -> list[list[int]]:
        """The token ids of each text or pair, special tokens included, not padded.

        Of a pair that is too long, tokens are cut from the end of the longer text first.
        """
        return self.encode_counted(texts).ids

    def encode_counted(self, texts: Sequence[Text]) -> Encoded:
        """As ``encode``, with token types, and counts of what is lost."""
        with as_data_error(self.path, "a text cannot be encoded"):
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        return self._counted(texts, encodings)

    def encode_parts(self, texts: Sequence[str]) -> Encoded:
        """As ``encode_counted``, but a text that is too long goes on in further parts, uncut.

        Each part has ``max_length`` tokens at most, special ones included, and is one of ``ids``.
        """
        with as_data_error(self.path, "a text cannot be encoded"):
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        counts = self._counted(texts, encodings).counts
        ids = [part.ids for one in encodings for part in (one, *one.overflowing)]
        tokens = sum(map(len, ids)) - self._added * len(ids)
        unknown = sum(one.count(self._unknown) for one in ids) if self._unknown is not None else 0
        parts = len(ids) if counts.truncated else 0
        counts = replace(counts, tokens=tokens, unknown=unknown, parts=parts)
        return Encoded(ids, None, frozenset(), counts)

    @cached_property
    def _whole(self) -> Tokenizer:
        """The tokenizer, without cutting."""
        tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """The tokens that begin a text, and those that end it: at the end one, or none."""
        sample = self._whole.encode("a")
        added = sample.special_tokens_mask
        first = added.index(0) if 0 in added else len(added)
        end = [sample.ids[-1]] if added[-1:] == [1] and first < len(added) else []
        return sample.ids[:first], end or ([] if self._eos is None else [self._eos])

    @property
    def has_end(self) -> bool:
        """Whether a token says that a text has ended."""
        return self.end_id is not None

    @property
    def begin_id(self) -> int | None:
        """The token that begins a text: the one that the tokenizer adds, else the one for that."""
        return next(iter(self._around[0]), self._bos)

    @property
    def end_id(self) -> int | None:
        """The token that ends a text: the one that the tokenizer adds, else the one for that."""
        return next(iter(self._around[1]), None)

    def encode_whole(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of whole texts, however long, with the tokens that begin and end a text."""
        begin, end = self._around
        return [[*begin, *one.ids, *end] for one in self._plain(texts)]

    def encode_prompts(self, prompts: Sequence[str]) -> list[list[int]]:
        """The tokens of whole prompts, as ``encode_answers`` has them in front of an answer."""
        begin, _ = self._around
        return [[*begin, *one.ids] for one in self._plain([one.rstrip(" ") for one in prompts])]

    def encode_answers(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], int]]:
        """The tokens of prompts with their answers, however long, and the first of each answer.

        Spaces at the end of a prompt are left out. Where white space stands neither at its end nor
        at the beginning of its answer, a space joins them.
        """
        begin, end = self._around
        starts = [prompt.rstrip(" ") for prompt, _ in pairs]
        joined = [
            start + ("" if start[-1:].isspace() or answer[:1].isspace() else " ") + answer
            for start, (_, answer) in zip(starts, pairs, strict=True)
        ]
        found: list[tuple[list[int], int]] = []
        for start, one in zip(starts, self._plain(joined, places=True), strict=True):
            is_answer = (place for place, (_, last) in enumerate(one.offsets) if last > len(start))
            first = next(is_answer, len(one.ids))
            found.append(([*begin, *one.ids, *end], len(begin) + first))
        return found

    def _plain(self, texts: Sequence[str], *, places: bool = False) -> list[Any]:
        """Whole texts, without special tokens."""
        encode = self._whole.encode_batch if places else self._whole.encode_batch_fast
        with as_data_error(self.path, "a text cannot be encoded"):
            return encode(list(texts), add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return self._tokenizer.decode(list(ids))

    def count_unknown(self, ids: Any) -> int:
        """How many tokens of an array stand for unknown words."""
        return 0 if self._unknown is None else int((ids == self._unknown).sum())

    def encode_words(
        self, texts: Sequence[str], starts: Sequence[Sequence[int]]
    ) -> tuple[Encoded, list[list[int]]]:
        """As ``encode_counted``, with the position of the first token of each word.

        Args:
            starts: of each text the first character of each of its words, in order.

        Returns:
            The tokens; and for each text, for each word, a position in them: -1 for a word that no
            token begins with.
        """
        with as_data_error(self.path, "a text cannot be encoded"):
            encodings = self._tokenizer.encode_batch(texts)
        encoded = self._counted(texts, encodings)
        firsts = [*map(_first_tokens, starts, texts, encodings)]
        count, lost = sum(map(len, firsts)), sum(one.count(-1) for one in firsts)
        counts = replace(encoded.counts, targets=count, lost=lost)
        return replace(encoded, counts=counts), firsts

    def encode_windows(self, pairs: Sequence[tuple[str, str]]) -> Windows:
        """Encode questions with contexts, of which long ones become overlapping windows.

        A window has at most ``max_length`` tokens, and has a third as many in common with the one
        before it. Pairs whose question leaves no room for that are ``too_long``.
        """
        overlap = self.max_length // 3
        room = self.max_length - self._added_to_pairs - overlap - 1
        with as_data_error(self.path, "a text cannot be encoded"):
            questions = self._tokenizer.encode_batch_fast(
                [first for first, _ in pairs], add_special_tokens=False
            )
            long = frozenset(i for i, one in enumerate(questions) if len(one.ids) > room)
            good = [i for i in range(len(pairs)) if i not in long]
            encodings = self._windows(overlap).encode_batch([pairs[i] for i in good])
        parts = [
            (i, part)
            for i, one in zip(good, encodings, strict=True)
            for part in (one, *one.overflowing)
        ]
        cut = sum(bool(one.overflowing) for one in encodings)
        shared = dict.fromkeys(good, overlap)
        for i, part in parts:
            shared[i] += part.sequence_ids.count(1) - overlap
        longest = max((len(questions[i].ids) + n for i, n in shared.items()), default=0)
        ids = [part.ids for _, part in parts]
        tokens = sum(map(len, ids)) - self._added_to_pairs * len(parts)
        unknown = sum(one.count(self._unknown) for one in ids) if self._unknown is not None else 0
        counts = TokenCounts(
            len(pairs), cut, longest + self._added_to_pairs, self.max_length, self.limit, tokens,
            unknown, windows=len(parts), guesses=self.guesses,
        )  # fmt: skip
        places = [
            [
                place if side == 1 and place[1] > place[0] else None
                for place, side in zip(part.offsets, part.sequence_ids, strict=True)
            ]
            for _, part in parts
        ]
        types = [part.type_ids for _, part in parts]
        encoded = Encoded(ids, types, frozenset(), counts)
        return Windows(encoded, [i for i, _ in parts], places, long)

    def _windows(self, overlap: int) -> Tokenizer:
        """The tokenizer, with windows of second texts in place of cutting."""
        if self._windowed is None:
            self._windowed = Tokenizer.from_str(self._tokenizer.to_str())
            self._windowed.no_padding()
            self._windowed.enable_truncation(
                self.max_length, stride=overlap, strategy="only_second", direction="right"
            )
        return self._windowed

    def _counted(self, texts: Sequence[Text], encodings: Sequence[Any]) -> Encoded:
        ids = [one.ids for one in encodings]
        cut = frozenset(i for i, one in enumerate(encodings) if one.overflowing)
        lengths = [len(one) for one in ids]
        for i in cut:
            lengths[i] = self._whole_length(texts[i], encodings[i])
        pairs = [not isinstance(text, str) for text in texts]
        added = self._added_to_pairs * sum(pairs) + self._added * (len(ids) - sum(pairs))
        tokens = sum(map(len, ids)) - added
        unknown = sum(one.count(self._unknown) for one in ids) if self._unknown is not None else 0
        longest = max(lengths, default=0)
        limits = self.max_length, self.limit
        counts = TokenCounts(
            len(ids), len(cut), longest, *limits, tokens, unknown, guesses=self.guesses
        )
        types = [one.type_ids for one in encodings] if any(pairs) else None
        return Encoded(ids, types, cut, counts)

    def _whole_length(self, text: Text, encoding: Any) -> int:
        """The tokens of a text that was cut, as if it had not been."""
        if isinstance(text, str):  # the overflowing parts have special tokens of their own
            extra = sum(len(part.ids) - self._added for part in encoding.overflowing)
            return len(encoding.ids) + extra
        return self._added_to_pairs + sum(
            self.encode_counted([part]).counts.longest - self._added for part in text
        )

    def name(self, token: int) -> str:
        """A token as the tokenizer writes it; empty if the id is unknown."""
        return self._tokenizer.id_to_token(token) or ""

    def text(self, token: int) -> str:
        """A token as it stands in a text, with a space before it if it has one."""
        return self._tokenizer.decode([token], skip_special_tokens=False)

    def pieces(self, text: str) -> Pieces:
        """The tokens of one text, as ``encode`` makes them, with their places in it."""
        with as_data_error(self.path, "a text cannot be encoded"):
            encoding = self._tokenizer.encode(text)
        spans = (
            None if added else (start, end)
            for (start, end), added in zip(
                encoding.offsets, encoding.special_tokens_mask, strict=True
            )
        )
        words, truncated = tuple(encoding.word_ids), bool(encoding.overflowing)
        return Pieces(tuple(encoding.ids), tuple(encoding.tokens), tuple(spans), words, truncated)

    def collate(
        self,
        ids: Sequence[Sequence[int] | torch.Tensor],
        types: Sequence[Sequence[int] | torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Token ids of several texts as a batch, padded to the longest: int64 [batch, seq].

        Args:
            types: of the tokens of pairs.
        """
        tokens = _padded(ids, self.pad_id)
        lengths = torch.tensor([len(one) for one in ids], dtype=torch.int64)
        mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
        segments = torch.zeros_like(tokens) if types is None else _padded(types, 0)
        inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": segments}
        names = self.inputs if types is None else self.pair_inputs
        return {name: inputs[name] for name in names}

    def check_size(self, vocab_size: int) -> None:
        """Check that ``vocab_size`` embeddings are enough for all tokens.

        Raises:
            DataError: E905, the tokenizer has more.
        """
        size = max(self.size, self.pad_id + 1)
        if size > vocab_size:
            message = f"{self.path} has token ids up to {size - 1:,}"
            hint = f"the model's vocab_size is {vocab_size:,}: is it another model's tokenizer?"
            raise DataError(Problem("E905", message, hint=hint))


def word_starts(words: Sequence[str]) -> list[int]:
    """Where each word begins in ``joined(words)``.

    >>> word_starts(["a", "big", "cat"])
    [0, 2, 6]
    """
    return [*accumulate((len(word) + 1 for word in words[:-1]), initial=0)]


def _first_tokens(starts: Sequence[int], text: str, encoding: Any) -> list[int]:
    """The position of the first token of each word of a text; -1 for a word without one."""
    firsts = [-1] * len(starts)
    spans = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    for position, ((start, end), is_added) in enumerate(spans):
        while start < end and text[start].isspace():  # some tokens begin with the space before them
            start += 1
        word = bisect_right(starts, start) - 1
        if not is_added and start < end and word >= 0 and firsts[word] < 0:
            firsts[word] = position
    return firsts


def _padded(rows: Sequence[Sequence[int] | torch.Tensor], value: int) -> torch.Tensor:
    if not rows:
        return torch.zeros(0, 0, dtype=torch.int64)
    tensors = [torch.as_tensor(row, dtype=torch.int64) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)


def _pad_id(tokenizer: Tokenizer, name: str | None) -> int:
    padding = tokenizer.padding
    if padding:
        return int(padding["pad_id"])
    token = _first_known(tokenizer, _PAD_TOKENS if name is None else (name, *_PAD_TOKENS))
    return 0 if token is None else token  # masked anyway


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """The token for unknown words; None if there are none, as in byte-level vocabularies."""
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return model["unk_id"]
    name = model.get("unk_token")
    return tokenizer.token_to_id(name) if isinstance(name, str) else None


_PAD_TOKENS = ("[PAD]", "<pad>", "<|padding|>")
_UNKNOWN_TOKENS = ("[UNK]", "<unk>")
_MASK_TOKENS = ("[MASK]", "<mask>")
_BEGIN_TOKENS = ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>")
_END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


def _first_known(tokenizer: Tokenizer, names: Sequence[str]) -> int | None:
    ids = (tokenizer.token_to_id(word) for word in names)
    return next((one for one in ids if one is not None), None)
