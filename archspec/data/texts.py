"""Texts: made token ids by a ``tokenizer.json`` or a ``vocab.txt``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from archspec.data.extras import train_extra
from archspec.data.token_counts import TokenCounts
from archspec.data.tokenizer_files import panics, read_files, tokenizer_file
from archspec.errors import DataError, Problem, listing

with train_extra():
    from tokenizers import Tokenizer

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True)
class Pieces:
    """The tokens of one text, and where in it they come from.

    Attributes:
        ids: of the tokens.
        names: as the tokenizer writes them.
        spans: of each token, the first character and the one behind the last; None of a token
            that the tokenizer has added.
        words: of each token, the number of its word, as the tokenizer splits; None where it does
            not tell.
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
        ids: of each text, special tokens included, not padded.
        truncated: places of the texts that were cut.
        counts: of all of them.
    """

    ids: list[list[int]]
    truncated: frozenset[int]
    counts: TokenCounts


class TextEncoder:
    """Makes token ids of texts.

    Args:
        path: ``tokenizer.json``, ``vocab.txt`` (WordPiece, as BERT's), or a folder with one.
        max_length: tokens at most, special ones included; what is longer is cut.
        inputs: which of ``input_ids``, ``attention_mask``, ``token_type_ids`` a batch holds.
        limit: the largest ``max_length`` that the model takes; None if it has no bound.
        strict: whether a ``max_length`` above the files' ``model_max_length`` is an error, or
            made smaller.

    Attributes:
        pad_id: the token that fills up shorter texts.
        blank: the token that says nothing: that of unknown words; else the padding, if it has a
            name; else None.
        size: one more than the highest token id.

    Raises:
        DataError: E905, there is no such file, or it is no tokenizer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_length: int,
        inputs: Sequence[str] = ("input_ids", "attention_mask"),
        *,
        limit: int | None = None,
        strict: bool = True,
    ) -> None:
        if unknown := [name for name in inputs if name not in INPUTS]:
            hint = f"a tokenizer gives {listing(INPUTS)}"
            raise DataError(Problem("E905", f"no text becomes '{unknown[0]}'", hint=hint))
        self.path = tokenizer_file(Path(path))
        self.inputs = tuple(inputs)
        files = read_files(self.path)
        self._tokenizer = files.tokenizer
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
        self.pad_id = _pad_id(self._tokenizer, files.pad_token)
        self.blank = _known(self._tokenizer, (*_UNKNOWN, *_PADDING))
        self._tokenizer.no_padding()
        self._unknown = _unknown_id(self._tokenizer)
        self._added = special = self._tokenizer.num_special_tokens_to_add(False)
        if max_length <= special:
            message = f"a maximum length of {max_length} leaves no room beside {special} special"
            raise DataError(Problem("E905", f"{message} tokens"))
        self._tokenizer.enable_truncation(max_length, direction=files.truncation_side)

    @property
    def definition(self) -> str:
        """All that decides what a text becomes: the tokenizer as JSON, and the inputs."""
        given = [metadata.version("tokenizers"), self._tokenizer.to_str(), self.pad_id, self.inputs]
        return json.dumps(given)

    @property
    def has_mask(self) -> bool:
        """Whether a model is told what is padding; without it, padding counts as tokens."""
        return "attention_mask" in self.inputs

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, special tokens included, not padded."""
        return self.encode_counted(texts).ids

    def encode_counted(self, texts: Sequence[str]) -> Encoded:
        """As ``encode``, with what is lost of the texts."""
        with panics(self.path, "a text cannot be encoded"):
            found = self._tokenizer.encode_batch_fast(list(texts))
        ids = [one.ids for one in found]
        # What was cut off is in parts that have special tokens of their own.
        rests = [sum(len(part.ids) - self._added for part in one.overflowing) for one in found]
        cut = frozenset(i for i, rest in enumerate(rests) if rest)
        lengths = [len(one) + rest for one, rest in zip(ids, rests, strict=True)]
        tokens = sum(map(len, ids)) - self._added * len(ids)
        unknown = sum(one.count(self._unknown) for one in ids) if self._unknown is not None else 0
        longest = max(lengths, default=0)
        limits = self.max_length, self.limit
        counts = TokenCounts(len(ids), len(cut), longest, *limits, tokens, unknown)
        return Encoded(ids, cut, counts)

    def name(self, token: int) -> str:
        """A token as the tokenizer writes it; empty if there is none of this id."""
        return self._tokenizer.id_to_token(token) or ""

    def pieces(self, text: str) -> Pieces:
        """The tokens of one text, as ``encode`` makes them, with their places in it."""
        with panics(self.path, "a text cannot be encoded"):
            found = self._tokenizer.encode(text)
        spans = (
            None if added else (start, end)
            for (start, end), added in zip(found.offsets, found.special_tokens_mask, strict=True)
        )
        words, truncated = tuple(found.word_ids), bool(found.overflowing)
        return Pieces(tuple(found.ids), tuple(found.tokens), tuple(spans), words, truncated)

    def collate(self, ids: Sequence[Sequence[int] | torch.Tensor]) -> dict[str, torch.Tensor]:
        """Token ids of several texts as a batch, padded to the longest: int64 [batch, seq]."""
        lengths = [len(one) for one in ids]
        shape = (len(ids), max(lengths, default=0))
        tokens = torch.full(shape, self.pad_id, dtype=torch.int64)
        mask = torch.zeros(shape, dtype=torch.int64)
        for row, (one, length) in enumerate(zip(ids, lengths, strict=True)):
            tokens[row, :length] = torch.as_tensor(one, dtype=torch.int64)
            mask[row, :length] = 1
        found = {"input_ids": tokens, "attention_mask": mask}
        found["token_type_ids"] = torch.zeros_like(tokens)
        return {name: found[name] for name in self.inputs}

    def check_size(self, vocab_size: int) -> None:
        """Whether a model with ``vocab_size`` embeddings knows every token.

        Raises:
            DataError: E905, the tokenizer has more.
        """
        size = max(self.size, self.pad_id + 1)
        if size > vocab_size:
            message = f"{self.path} has token ids up to {size - 1:,}"
            hint = f"the model's vocab_size is {vocab_size:,}: is it another model's tokenizer?"
            raise DataError(Problem("E905", message, hint=hint))


def _pad_id(tokenizer: Tokenizer, name: str | None) -> int:
    padding = tokenizer.padding
    if padding:
        return int(padding["pad_id"])
    found = _known(tokenizer, _PADDING if name is None else (name, *_PADDING))
    return 0 if found is None else found  # masked anyway


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """The token of what the vocabulary lacks; None where it lacks nothing, as of bytes."""
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return model["unk_id"]
    name = model.get("unk_token")
    return tokenizer.token_to_id(name) if isinstance(name, str) else None


_PADDING = ("[PAD]", "<pad>", "<|padding|>")
_UNKNOWN = ("[UNK]", "<unk>")


def _known(tokenizer: Tokenizer, words: Sequence[str]) -> int | None:
    found = (tokenizer.token_to_id(word) for word in words)
    return next((one for one in found if one is not None), None)
