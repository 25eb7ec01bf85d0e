"""Reads the files of a tokenizer as ``transformers`` does, and refuses settings it cannot follow.

    tokenizer.json, vocab.txt   the tokenizer
    tokenizer_config.json       settings, special and added tokens
    special_tokens_map.json     special tokens of older tokenizers
    added_tokens.json           added tokens of older tokenizers

A hostile ``tokenizer.json`` can crash the process of the library that reads it: a process of its
own tries the file first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

from archspec.data.extras import train_extra
from archspec.data.tokenizer_classes import CLASS_OF_MODEL, MODELS_OF_THE_FILE, follow_settings
from archspec.data.tokenizer_parts import MissingToken
from archspec.errors import DataError, Problem, listing
from archspec.file_kinds import START, text_kind
from archspec.report.text import first_line

with train_extra():
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
_MODEL_CONFIG = "config.json"  # tells whose tokenizer it is
_SLOW = (  # files of tokenizers that transformers converts to a tokenizer.json
    "spiece.model", "spm.model", "sentencepiece.bpe.model", "sentencepiece.model",
    "tokenizer.model", "merges.txt", "vocab.json", "tekken.json",
)  # fmt: skip
BESIDE = (CONFIG, MAP, ADDED, _MODEL_CONFIG)
"""Files that matter beside a tokenizer's own, if they are there."""
MAX_BYTES = 60_000_000  # twice the largest known one, which has 262,144 tokens
MAX_ADDED = 100_000  # tokens beside the vocabulary
MAX_PARTS = 10_000  # normalizers, patterns and so on
_MAX_CONFIG_BYTES = 10_000_000
_MAX_LENGTH = 1_000_000_000  # transformers writes 1e30 for no limit
_SPECIAL = {
    "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}  # fmt: skip
_ROLES = ("bos_token", "eos_token", *_SPECIAL)
_EXTRA, _OLD_EXTRA = "extra_special_tokens", "additional_special_tokens"
_WORD_PIECE = frozenset(
    f"{name}Tokenizer{fast}"
    for name in ("Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert",
                 "Lxmert", "LayoutLM", "DPRQuestionEncoder", "DPRContextEncoder")
    for fast in ("", "Fast")
)  # fmt: skip
_AS_IT_IS = '"tokenizer_class": "PreTrainedTokenizerFast"'
_HARMLESS = {  # unsupported settings, with the values that have no effect
    "never_split": (None, []), "do_basic_tokenize": (True,), "wordpieces_prefix": ("##",),
    "clean_text": (True,), "padding_side": ("right",), "word_tokenizer_type": (None, "basic"),
    "subword_tokenizer_type": (None, "wordpiece"), "do_subword_tokenize": (True,),
    "do_word_tokenize": (True,), "backend": ("tokenizers", None), "split_by_punct": (None, False),
    "remove_space": (None, True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Files:
    """The content of a tokenizer's files.

    Attributes:
        tokenizer: without truncation and padding.
        max_length: maximum number of tokens of a text; None if not given.
        truncation_side: the side at which long texts are cut.
        roles: names of special tokens by their role, such as ``pad_token``, where given.
        guessed_settings: settings that the files leave open, with the values that were taken where
            ``transformers`` takes others.
    """

    tokenizer: Tokenizer
    max_length: int | None
    truncation_side: str
    roles: Mapping[str, str]
    guessed_settings: Mapping[str, Any]

    @property
    def guesses(self) -> tuple[str, ...]:
        """The guessed settings in words, a line each."""
        if "do_lower_case" not in self.guessed_settings:
            return ()
        text = "the words of vocab.txt have capitals, so texts keep theirs (transformers would"
        text += f' lower-case them): {CONFIG} beside it decides, with {{"do_lower_case": false}}'
        return (f"{text} or true",)


def tokenizer_file(path: Path) -> Path:
    """The file itself, or the one in a folder.

    Raises:
        DataError: E905, there is none.
    """
    if path.is_dir():
        candidates = [path / name for name in ("tokenizer.json", "vocab.txt")]
        path = next((file for file in candidates if file.is_file()), candidates[0])
    if not path.is_file():
        hint = _instead_of(path) or "give a tokenizer.json, a vocab.txt, or the folder of one"
        raise DataError(Problem("E905", f"{path}: no such file", hint=hint))
    if path.suffix == ".model" or path.name in _SLOW:
        message = f"{path}: not a tokenizer.json"
        raise DataError(Problem("E905", message, hint=_conversion(path)))
    return path


def _instead_of(path: Path) -> str:
    """What to do with a folder that has a tokenizer in files of another kind; "" for others."""
    with contextlib.suppress(OSError, ValueError):
        found = sorted(file for file in path.parent.iterdir() if file.name in _SLOW)
        return _conversion(found[0]) if found else ""
    return ""


def _conversion(path: Path) -> str:
    folder = f"{str(path.parent)!r}"
    making = f"AutoTokenizer.from_pretrained({folder}).save_pretrained({folder})"
    return f"from {path.name}, transformers makes a tokenizer.json: {making}"


def needed_files(path: Path) -> list[Path]:
    """A tokenizer's file, and those beside it without which it would be read differently."""
    beside = [path.parent / name for name in (CONFIG, MAP, ADDED)]
    if _Settings.beside(path).needs_model:
        beside.append(path.parent / _MODEL_CONFIG)
    return [path, *(file for file in beside if file.is_file())]


def read_files(path: Path) -> Files:
    """The tokenizer of a ``tokenizer.json`` or ``vocab.txt``, with the settings beside it.

    Raises:
        DataError: E905, it is not a tokenizer, or a setting is not supported.
    """
    settings = _Settings.beside(path)
    with as_data_error(path):
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(Problem("E905", f"{path}: {size:,} bytes, more than {MAX_BYTES:,}"))
        with path.open("rb") as file:
            check_text(path, file.read(START))
        is_list = path.suffix == ".txt"
        tokenizer = _word_piece(path, settings) if is_list else _from_json(path, settings)
        _add_tokens(tokenizer, settings, has_defaults=is_list or settings.is_word_piece)
    tokens = {name: str(token) for name in _ROLES if (token := settings.special(name)) is not None}
    roles = {n: token for n, token in tokens.items() if tokenizer.token_to_id(token) is not None}
    is_open = is_list and not settings.config
    guessed = {"do_lower_case": False} if is_open and _has_capitals(tokenizer.get_vocab()) else {}
    side = settings.truncation_side or (tokenizer.truncation or {}).get("direction", "right")
    return Files(tokenizer, settings.max_length, side, roles, guessed)


class as_data_error:  # a context manager
    """Turns what the Rust library raises into E905; its panics are no ``Exception``."""

    def __init__(self, path: Path, what: str = "not a tokenizer") -> None:
        self._path, self._what = path, what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, DataError | KeyboardInterrupt | SystemExit):
            return
        message = f"{self._path}: {self._what}: {first_line(error)}"
        raise DataError(Problem("E905", message)) from None


def check_text(path: Path, data: bytes) -> None:
    """Stop if a file is no text, or what a download left in its place.

    Raises:
        DataError: E905.
    """
    if kind := text_kind(data):
        raise DataError(Problem("E905", f"{path}: {kind.name}", hint=kind.hint))


# --------------------------------------------------------------------------------------- settings


class _Settings:
    """The content of ``tokenizer_config.json`` and the older files beside a tokenizer."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any], added: dict[int, AddedToken]
    ) -> None:
        self.folder, self.config, self.added = folder, config, added

    @classmethod
    def beside(cls, path: Path) -> _Settings:
        folder = path.parent
        config = _read_object(folder / CONFIG)
        settings = cls(folder, config, {})
        settings._rename_extra(config)
        settings.refuse()
        if "added_tokens_decoder" in config:
            decoder = settings._mapping(config["added_tokens_decoder"], "added_tokens_decoder")
            settings.added = {
                settings._number(i, CONFIG): settings._token(added_token, "added_tokens_decoder")
                for i, added_token in decoder.items()
            }
            return settings
        older = _read_object(folder / MAP)
        if isinstance(config.get(_EXTRA), list):  # the other file adds to it, by the newer name
            older.pop(_OLD_EXTRA, None)
            if not isinstance(older.get(_EXTRA), Mapping):
                older[_EXTRA] = [*config[_EXTRA], *settings._list(older.get(_EXTRA))]
        settings._rename_extra(older)
        settings.config = {**config, **older}
        named = {str(settings.special(name)) for name in _ROLES}
        named |= {str(token) for token in settings.extra()}
        for token, i in _read_object(folder / ADDED).items():
            special = token in named
            added_token = AddedToken(token, normalized=not special, special=special)
            settings.added[settings._number(i, ADDED)] = added_token
        return settings

    @property
    def tokenizer_class(self) -> str | None:
        """As the files say; else that of the model's type. None where nothing tells."""
        stated = self.config.get("tokenizer_class") or self._model.get("tokenizer_class")
        return stated or CLASS_OF_MODEL.get(self.model_type)

    @property
    def is_word_piece(self) -> bool:
        return self.tokenizer_class in _WORD_PIECE

    @property
    def needs_model(self) -> bool:
        """Whether the tokenizer would be another one without the model's ``config.json``."""
        if self.config.get("tokenizer_class"):
            return self.model_type in MODELS_OF_THE_FILE
        return self.tokenizer_class is not None

    @property
    def model_type(self) -> str:
        """Of the model in the same folder; "" if there is none, or it says none."""
        return str(self._model.get("model_type", ""))

    @cached_property
    def _model(self) -> Mapping[str, Any]:
        """The ``config.json`` of the model in the same folder."""
        return _read_object(self.folder / _MODEL_CONFIG)

    def refuse(self) -> None:
        """Refuse unsupported settings that would change the ids.

        Raises:
            DataError: E905.
        """
        unsupported = [
            (name, self.config[name])
            for name, harmless in _HARMLESS.items()
            if name in self.config and self.config[name] not in harmless
        ]
        if unsupported:
            raise self._unsupported(*unsupported[0])

    def flag(self, name: str, default: bool | None) -> bool | None:
        """A setting that is true, false, or not given."""
        value = self.config.get(name, default)
        if value is not None and not isinstance(value, bool):
            raise self._unsupported(name, value)
        return default if value is None else value

    @property
    def max_length(self) -> int | None:
        value = self.config.get("model_max_length", self.config.get("max_len"))  # its older name
        if value is None or (isinstance(value, float) and value > _MAX_LENGTH):
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value < 1:
            raise self._unsupported("model_max_length", value)
        return int(value) if value <= _MAX_LENGTH else None

    @property
    def truncation_side(self) -> str | None:
        """None if the settings do not say it: then the tokenizer's file does."""
        side = self.config.get("truncation_side")
        if side not in ("left", "right", None):
            raise self._unsupported("truncation_side", side)
        return side

    def special(self, name: str) -> AddedToken | None:
        """A special token by its role; BERT's if none is given."""
        value = self.config.get(name, _SPECIAL.get(name))
        return None if value is None else self._token(value, name, special=True)

    def required(self, name: str) -> str:
        """The text of a special token that BERT's tokenizer requires."""
        token = self.special(name)
        if token is None:
            raise self._unsupported(name, None)
        return str(token)

    def extra(self) -> list[AddedToken]:
        """Special tokens without a role, or of one that only this tokenizer has."""
        own = {name: value for name, value in self.config.items() if name not in _ROLES
               and name.endswith("_token") and isinstance(value, str)}  # fmt: skip
        more = self.config.get(_EXTRA)
        if isinstance(more, Mapping):
            own, more = {**own, **more}, None
        values = [*own.values(), *self._list(more)]
        return [self._token(item, _EXTRA, special=True) for item in values]

    def _rename_extra(self, config: dict[str, Any]) -> None:
        """Give special tokens without a role the newer name, which goes before the older one."""
        older = config.pop(_OLD_EXTRA, None)
        if not isinstance(older, list | Mapping | None):
            raise self._unsupported(_OLD_EXTRA, older)
        if older is not None and not config.get(_EXTRA):
            config[_EXTRA] = older

    def _list(self, value: object) -> list[Any]:
        if not isinstance(value, list | None):
            raise self._unsupported(_EXTRA, value)
        return cast("list[Any]", value or [])

    def _token(self, value: object, name: str, *, special: bool | None = None) -> AddedToken:
        if isinstance(value, str):
            known_tokens = {token.content: token for token in self.added.values()}
            return known_tokens.get(value) or AddedToken(
                value, special=bool(special), normalized=not special
            )
        mapping = self._mapping(value, name)
        flags = {key: flag for key, flag in mapping.items() if key not in ("content", "__type")}
        names = {"lstrip", "rstrip", "single_word", "normalized", "special"}
        content = mapping.get("content")
        if not isinstance(content, str) or not content or not flags.keys() <= names:
            raise self._unsupported(name, value)
        if not all(isinstance(flag, bool) for flag in flags.values()):
            raise self._unsupported(name, value)
        if special is not None:
            flags["special"] = special
        return AddedToken(content, **flags)

    def _mapping(self, value: object, name: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self._unsupported(name, value)
        return cast("Mapping[str, Any]", value)

    def _number(self, value: object, file: str) -> int:
        text = str(value)
        if isinstance(value, bool) or not text.isdecimal() or len(text) > 9:
            message = f"{self.folder / file}: {text[:40]!r} is no id of a token"
            raise DataError(Problem("E905", message))
        return int(text)

    def _unsupported(self, name: str, value: object) -> DataError:
        shown = json.dumps(value, ensure_ascii=False, default=str)[:60]
        message = f"{self.folder / CONFIG}: {name}: {shown} is not supported"
        hint = "its ids would be other ones: a tokenizer.json without this setting can be read"
        return DataError(Problem("E905", message, hint=hint))


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file."""
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise DataError(Problem("E905", f"{path}: more than {_MAX_CONFIG_BYTES:,} bytes"))
        data = path.read_bytes()
        check_text(path, data)
        value: Any = json.loads(data.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(Problem("E905", f"{path}: not JSON: {str(error)[:200]}")) from None
    if not isinstance(value, dict):
        raise DataError(Problem("E905", f"{path}: not a JSON object"))
    return cast("dict[str, Any]", value)


# -------------------------------------------------------------------------------------- tokenizers


def _word_piece(path: Path, settings: _Settings) -> Tokenizer:
    """BERT's tokenizer over a list of words, one a line."""
    kind = settings.tokenizer_class
    if kind is not None and not settings.is_word_piece:
        message = f"{path.parent / CONFIG}: tokenizer_class: {str(kind)[:60]} is not supported"
        raise DataError(Problem("E905", message, hint="its tokenizer.json can be read"))
    words = path.read_text(encoding="utf-8-sig").split("\n")
    words = words[:-1] if words and not words[-1] else words
    vocab = {word.rstrip(): i for i, word in enumerate(words)}
    unk, cls, sep = map(settings.required, ("unk_token", "cls_token", "sep_token"))
    if missing := [word for word in (unk, cls, sep) if word not in vocab]:
        raise ValueError(f"it lacks {listing(missing)}")
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=unk, max_input_chars_per_word=100))
    is_lower = bool(settings.config) or not _has_capitals(vocab)
    tokenizer.normalizer = _bert_normalizer(settings, lower=is_lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[cls, "$A", sep],
        pair=[cls, "$A", sep, "$B:1", f"{sep}:1"],
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    return tokenizer


def _has_capitals(vocab: Iterable[str]) -> bool:
    """Whether a vocabulary is cased, which decides where there are no settings."""
    return any(word != word.lower() for word in vocab if not word.startswith("["))


def _bert_normalizer(settings: _Settings, *, lower: bool) -> normalizers.Normalizer:
    return normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.flag("tokenize_chinese_chars", True) is not False,
        strip_accents=settings.flag("strip_accents", None),
        lowercase=settings.flag("do_lower_case", lower) is not False,
    )


def _from_json(path: Path, settings: _Settings) -> Tokenizer:
    data = path.read_bytes()
    counted = (  # by a key that occurs once in each
        ("added tokens", data.count(b'"single_word"'), MAX_ADDED),
        ("parts", data.count(b'"type"'), MAX_PARTS),
    )
    for kind, count, limit in counted:
        if count > limit:
            raise DataError(Problem("E905", f"{path}: {count:,} {kind}, more than {limit:,}"))
    _try_in_process(path, hashlib.sha256(data).hexdigest())
    content: dict[str, Any] = json.loads(data)
    if settings.is_word_piece:
        # For such a class transformers takes only the words from here, the rest from the settings.
        tokenizer = Tokenizer.from_str(data.decode())
        _check_class(path, tokenizer, content, settings)
        tokenizer.normalizer = _bert_normalizer(settings, lower=True)
        return tokenizer
    try:
        name = follow_settings(
            content, settings.config, settings.tokenizer_class, settings.model_type
        )
    except MissingToken as missing:
        hint = f"write the right one into {CONFIG}, or {_AS_IT_IS}"
        raise DataError(Problem("E905", f"{path}: {missing}", hint=hint)) from None
    if name:
        shown = json.dumps(settings.config.get(name), ensure_ascii=False, default=str)[:60]
        message = f"{path.parent / CONFIG}: {name}: {shown}, and {path.name} does otherwise"
        hint = "the ids would be other ones: correct the one that is wrong"
        raise DataError(Problem("E905", message, hint=hint))
    return Tokenizer.from_str(json.dumps(content))


def _check_class(
    path: Path, tokenizer: Tokenizer, content: Mapping[str, Any], settings: _Settings
) -> None:
    """Check that a file fits the class that the settings name.

    Raises:
        DataError: E905.
    """
    model, names = content["model"], ("cls_token", "sep_token")
    expected_ids = [tokenizer.token_to_id(settings.required(name)) for name in names]
    empty = tokenizer.encode("")
    special_ids = [i for i, is_read in zip(empty.ids, empty.attention_mask, strict=True) if is_read]
    is_usual = {
        "normalizer": (content.get("normalizer") or {}).get("type") == "BertNormalizer",
        "pre_tokenizer": (content.get("pre_tokenizer") or {}).get("type") == "BertPreTokenizer",
        "model": model.get("continuing_subword_prefix", "##") == "##"
        and model.get("max_input_chars_per_word", 100) == 100
        and model.get("type", "WordPiece") == "WordPiece",
        "post_processor": special_ids == expected_ids,
    }
    if unusual := [name for name, usual in is_usual.items() if not usual]:
        message = f"{path}: {listing(unusual)}: not those of tokenizer_class"
        message += f" {settings.tokenizer_class}"
        hint = f"where the file itself is right, write {_AS_IT_IS} into {CONFIG}"
        raise DataError(Problem("E905", message, hint=hint))


def _add_tokens(tokenizer: Tokenizer, settings: _Settings, *, has_defaults: bool) -> None:
    """Add special tokens, in the order that gives them the ids they have in transformers.

    Args:
        has_defaults: whether BERT's special tokens are used if none are given.
    """
    named = [
        token
        for name in _ROLES
        if (token := settings.special(name)) is not None
        and (
            name in settings.config
            or (has_defaults and tokenizer.token_to_id(str(token)) is not None)
        )
    ]
    existing = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    for i, token in sorted(settings.added.items()):
        if token.content in {one.content for one in named}:
            token.special = True
        tokenizer.add_tokens([token])
        if (token_id := tokenizer.token_to_id(token.content)) != i:
            message = f"{settings.folder / CONFIG}: the added token {token.content!r} has id {i}"
            raise DataError(Problem("E905", f"{message}, and the tokenizer gives it {token_id}"))
    known = {*existing, *(token.content for token in settings.added.values())}
    tokenizer.add_special_tokens(
        [
            one
            for one in _without_duplicates([*named, *settings.extra()])
            if one.content not in known
        ]
    )
    tokenizer.encode_special_tokens = bool(settings.flag("split_special_tokens", False))


def _without_duplicates(tokens: list[AddedToken]) -> Iterator[AddedToken]:
    seen: set[str] = set()
    for token in tokens:
        if token.content not in seen:
            seen.add(token.content)
            yield token


# ------------------------------------------------------------------------------------ hostile files

_TIMEOUT = 60
_TRIAL = """
import contextlib, os, sys
size = os.stat(sys.argv[1]).st_size
with contextlib.suppress(ImportError):
    import resource
    seconds, memory = 2 + size // 10_000_000, 300_000_000 + 10 * size
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
texts = ["", "a", "The quick brown fox, 12.5!", "naïve café", "東京 한국어 हिन्दी", "\\0\\ufffd"]
texts += ["a" * 5_000, "x y " * 500]
tokenizer.no_padding()
tokenizer.get_vocab(with_added_tokens=True)
tokenizer.to_str()
for length in (64, 0):
    tokenizer.enable_truncation(length) if length else tokenizer.no_truncation()
    for text in texts:
        with contextlib.suppress(Exception):  # a panic is not an Exception
            tokenizer.encode(text)
"""


@lru_cache(maxsize=64)
def _try_in_process(path: Path, digest: str) -> None:
    """Read and use a file in a process of its own; ``digest`` is only a key for the cache.

    Raises:
        DataError: E905, the process failed or did not end.
    """
    command = [sys.executable, "-I", "-c", _TRIAL, str(path.absolute())]
    alone = {**os.environ, "RAYON_NUM_THREADS": "1"}  # stacks of threads count against the limit
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT, check=False, env=alone
        )
    except subprocess.TimeoutExpired:
        message = f"{path}: not a tokenizer: it does not come to its end"
        raise DataError(Problem("E905", message)) from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1][:200] if lines and done.returncode > 0 else ""
        reason = reason or f"it ends the process that reads it (signal {-done.returncode})"
        raise DataError(Problem("E905", f"{path}: not a tokenizer: {reason}"))
