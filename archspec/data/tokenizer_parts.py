"""The parts of a tokenizer that ``transformers`` builds from its class, whatever a file has there.

Of a ``tokenizer.json`` such a class takes the words, the merges and the added tokens; the others
follow from the settings in ``tokenizer_config.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from archspec.data.extras import train_extra

with train_extra():
    from tokenizers import Regex, normalizers, pre_tokenizers, processors

_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES: dict[str, Any] = {
    "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
    "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
}  # fmt: skip
_CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_FALLBACK = {**_BYTES, "fuse_unk": True, "byte_fallback": True}


_ROLES = "bos_token eos_token sep_token cls_token unk_token pad_token mask_token".split()
_OF_ROBERTA = "<s> </s> </s> <s> <unk> <pad> <mask>"
_OWN = {  # special tokens of a class that no setting names, by their role; "-" for none
    **dict.fromkeys(
        ("Roberta", "Bart", "Longformer", "LED", "XLMRoberta", "Camembert"), _OF_ROBERTA
    ),
    "MPNet": "<s> </s> </s> <s> [UNK] <pad> <mask>",
    "Albert": "[CLS] [SEP] [SEP] [CLS] <unk> <pad> [MASK]",
    "DebertaV2": "[CLS] [SEP] [SEP] [CLS] [UNK] [PAD] [MASK]",
    "XLNet": "<s> </s> <sep> <cls> <unk> <pad> <mask>",
    "T5": "- </s> - - <unk> <pad> -",
    "Llama": "<s> </s> - - <unk> - -",
    "Gemma": "<bos> <eos> - - <unk> <pad> <mask>",
    **dict.fromkeys(("GPT2", "CodeGen"), "<|endoftext|> <|endoftext|> - - <|endoftext|> - -"),
    "Qwen2": "- <|endoftext|> - - <|endoftext|> <|endoftext|> -",
    "GPTNeoX": "<|endoftext|> <|endoftext|> - - <|endoftext|> <|padding|> -",
    "CLIP": "<|startoftext|> <|endoftext|> - - <|endoftext|> <|endoftext|> -",
}
_OWN_EXTRA = {
    "Camembert": ("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
    "XLNet": ("<eop>", "<eod>"),
}


def _own_tokens(kind: str) -> dict[str, str]:
    """The special tokens that a class has by default, by their role."""
    pairs = zip(_ROLES, _OWN.get(kind, "").split(), strict=False)
    return {role: text for role, text in pairs if text != "-"}


class MissingToken(Exception):
    """A special token that a class needs is not in the file."""


class Settings:
    """What a class is asked for; the words of the file, to find the ids of special tokens."""

    def __init__(self, config: Mapping[str, Any], content: Mapping[str, Any]) -> None:
        self._config, self.content = config, content
        vocab = content["model"]["vocab"]
        pieces = [piece[0] for piece in vocab] if isinstance(vocab, list) else vocab
        self._ids = dict(zip(pieces, range(len(pieces)), strict=True))
        self._ids |= vocab if isinstance(vocab, dict) else {}
        self._ids |= {token["content"]: token["id"] for token in content.get("added_tokens") or ()}

    def flag(self, name: str, default: bool) -> bool:
        value = self._config.get(name)
        return default if value is None else bool(value)

    def optional_flag(self, name: str) -> bool | None:
        value = self._config.get(name)
        return None if value is None else bool(value)

    def scored(self, piece: str, score: float) -> int:
        """The id of a piece with a score; else of ``unk_id``, or 1."""
        pieces = [tuple(one) for one in self.content["model"]["vocab"]]
        found = (piece, score) in pieces
        return pieces.index((piece, score)) if found else self.number("unk_id", 1)

    def number(self, name: str, default: int) -> int:
        value = self._config.get(name)
        return value if isinstance(value, int) and value >= 0 else default

    def token(self, name: str, default: str) -> tuple[str, int]:
        """A special token and its id.

        Raises:
            MissingToken: the file lacks it.
        """
        value = self._config.get(name) or default
        text = str(value["content"] if isinstance(value, Mapping) else value)
        if text not in self._ids:
            raise MissingToken(f"it lacks the {name} {text!r} of its class")
        return text, self._ids[text]

    def require_own(self, kind: str) -> None:
        """Stop if ``transformers`` would add tokens that the class has by default.

        Raises:
            MissingToken: the file lacks one, and no setting says another.
        """
        defaults = {role: t for role, t in _own_tokens(kind).items() if role not in self._config}
        extra = self._config.get("extra_special_tokens")
        if not extra and kind == "T5":
            count = self.number("extra_ids", 100)
            defaults |= {f"extra_ids {i}": f"<extra_id_{i}>" for i in range(min(count, 1000))}
        elif not extra:
            defaults |= {f"token {text}": text for text in _OWN_EXTRA.get(kind, ())}
        for role, text in defaults.items():
            if text not in self._ids:
                raise MissingToken(f"it lacks the {role.split()[0]} {text!r} of its class")

    @property
    def charsmap(self) -> list[Any]:
        """The file's table of characters, of SentencePiece, if it has one."""
        given = self.content.get("normalizer") or {}
        parts = given.get("normalizers", [given])
        return [dict(part) for part in parts if part.get("type") == "Precompiled"][:1]


@dataclass(frozen=True)
class Parts:
    """Parts that take the place of a file's; its model has only some of the values replaced.

    Attributes:
        post_processor: None where the file's own one stays.
        is_fallback: whether ``post_processor`` is only for files that have none.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    normalizer: Any = None
    pre_tokenizer: Any = None
    post_processor: Any = None
    is_fallback: bool = False


def rebuild(kind: str, content: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Give a ``tokenizer.json`` the parts of a class, such as ``T5``.

    Args:
        kind: one of ``MODELS``.
        content: the file.
        config: the settings.

    Raises:
        MissingToken: the file lacks a token that the parts need.
    """
    _, build = _CLASSES[kind]
    settings = Settings(config, content)
    parts = build(settings)
    settings.require_own(kind)
    content["model"] |= parts.model
    content["normalizer"] = _plain(parts.normalizer)
    content["pre_tokenizer"] = _plain(parts.pre_tokenizer)
    is_kept = parts.is_fallback and content.get("post_processor") is not None
    if parts.post_processor is not None and not is_kept:
        content["post_processor"] = _plain(parts.post_processor)


def _plain(part: Any) -> Any:
    """A part as the file has it."""
    return part if part is None or isinstance(part, dict) else json.loads(part.__getstate__())


def _sequence(parts: list[Any]) -> Any:
    return {"type": "Sequence", "normalizers": [_plain(part) for part in parts]} if parts else None


# -------------------------------------------------------------------------------- SentencePiece


def _words(scheme: str) -> Any:
    """Words between spaces, each with a mark where it begins."""
    mark = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)  # pyright: ignore
    return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), mark])


def _template(begin: tuple[str, int] | None, end: tuple[str, int], *, doubled: bool = False) -> Any:
    """The special tokens around a text, and between two."""
    start = f"{begin[0]} " if begin else ""
    middle = f"{end[0]} {end[0]}" if doubled else end[0]
    return processors.TemplateProcessing(
        single=f"{start}$A {end[0]}",
        pair=f"{start}$A {middle} $B {end[0]}",
        special_tokens=[token for token in (begin, end) if token],
    )


def _t5(settings: Settings) -> Parts:
    return Parts(
        {"unk_id": 2, "byte_fallback": False},
        _sequence(settings.charsmap),
        _words("always"),
        _template(None, ("</s>", settings.token("eos_token", "</s>")[1])),
    )


def _camembert(settings: Settings) -> Parts:
    return _xlm_roberta(settings, settings.token("unk_token", "<unk>")[1])


def _xlm_roberta(settings: Settings, unk_id: int = 3) -> Parts:
    return Parts(
        {"unk_id": unk_id, "byte_fallback": False},
        _sequence(settings.charsmap),
        _words("always" if settings.flag("add_prefix_space", True) else "never"),
        _template(
            settings.token("bos_token", "<s>"), settings.token("eos_token", "</s>"), doubled=True
        ),
    )


def _albert(settings: Settings) -> Parts:
    parts: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not settings.flag("keep_accents", False):
        parts += [normalizers.NFKD(), normalizers.StripAccents()]
    if settings.flag("do_lower_case", True):
        parts.append(normalizers.Lowercase())
    scheme = "always" if settings.flag("add_prefix_space", True) else "never"
    model = {"unk_id": 1, "byte_fallback": False}
    around = _pair_template(("[CLS]", settings.token("cls_token", "[CLS]")[1]),
                            ("[SEP]", settings.token("sep_token", "[SEP]")[1]))  # fmt: skip
    return Parts(model, _sequence([*parts, *settings.charsmap]), _words(scheme), around, True)


def _xlnet(settings: Settings) -> Parts:
    parts: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    parts += [normalizers.NFKD(), normalizers.StripAccents()]
    if settings.flag("do_lower_case", False):
        parts.append(normalizers.Lowercase())
    (sep, sep_id), (cls, cls_id) = (
        settings.token("sep_token", "<sep>"),
        settings.token("cls_token", "<cls>"),
    )
    around = processors.TemplateProcessing(
        single=f"$A:0 {sep}:0 {cls}:2",
        pair=f"$A:0 {sep}:0 $B:1 {sep}:1 {cls}:2",
        special_tokens=[(sep, sep_id), (cls, cls_id)],
    )
    model = {"unk_id": settings.number("unk_id", 0), "byte_fallback": False}
    return Parts(model, _sequence([*parts, *settings.charsmap]), _words("always"), around)


def _pair_template(cls: tuple[str, int], sep: tuple[str, int]) -> Any:
    return processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {sep[0]}:1",
        special_tokens=[cls, sep],
    )


def _deberta_v2(settings: Settings) -> Parts:
    parts: list[Any] = [normalizers.Lowercase()] if settings.flag("do_lower_case", False) else []
    parts += [
        normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
        normalizers.NFC(),
        normalizers.Strip(left=False, right=True),
    ]
    scheme = "always" if settings.flag("add_prefix_space", True) else "first"
    mark = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)  # pyright: ignore
    cls, sep = settings.token("cls_token", "[CLS]"), settings.token("sep_token", "[SEP]")
    around = _pair_template(cls, sep)
    unknown, _ = settings.token("unk_token", "[UNK]")
    model = {"unk_id": settings.scored(unknown, 0.0), "byte_fallback": False}
    return Parts(model, _sequence(parts), pre_tokenizers.Sequence([mark]), around)


# ------------------------------------------------------------------------------------- word pieces


def _mpnet(settings: Settings) -> Parts:
    """As of BERT, with special tokens as RoBERTa has them."""
    normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.flag("tokenize_chinese_chars", True),
        strip_accents=settings.optional_flag("strip_accents"),
        lowercase=settings.flag("do_lower_case", True),
    )
    around = processors.RobertaProcessing(
        settings.token("sep_token", "</s>"), settings.token("cls_token", "<s>"), True, False
    )
    unknown, _ = settings.token("unk_token", "[UNK]")
    model = {"unk_token": unknown, "continuing_subword_prefix": "##"}
    model |= {"max_input_chars_per_word": 100}
    return Parts(model, normalizer, pre_tokenizers.BertPreTokenizer(), around)


# ------------------------------------------------------------------------------ byte-pair encoding


def _llama(settings: Settings) -> Parts:
    scheme = "never"
    if settings.flag("add_prefix_space", True):
        scheme = "always" if settings.flag("legacy", False) else "first"
    mark = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)  # pyright: ignore
    return Parts(_FALLBACK, None, mark)


def _gemma(settings: Settings) -> Parts:
    return Parts(
        {**_FALLBACK, "unk_token": settings.token("unk_token", "<unk>")[0]},
        normalizers.Replace(" ", "▁"),
        pre_tokenizers.Split(pattern=" ", behavior="merged_with_previous", invert=False),
    )


def _qwen2(settings: Settings) -> Parts:
    words = pre_tokenizers.Split(Regex(_QWEN_WORDS), behavior="isolated", invert=False)
    spaced = settings.flag("add_prefix_space", False)
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=spaced, use_regex=False)
    both = pre_tokenizers.Sequence([words, as_bytes])
    return Parts(_BYTES, normalizers.NFC(), both)


def _gpt2(settings: Settings) -> Parts:
    spaced = settings.flag("add_prefix_space", False)
    return Parts(_BYTES, None, pre_tokenizers.ByteLevel(add_prefix_space=spaced))


def _clip(settings: Settings) -> Parts:
    words = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
    unknown, _ = settings.token("unk_token", "<|endoftext|>")
    begin, end = (
        settings.token("bos_token", "<|startoftext|>"),
        settings.token("eos_token", "<|endoftext|>"),
    )
    return Parts(
        {**_BYTES, "end_of_word_suffix": "</w>", "unk_token": unknown},
        _sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        ),
        pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        processors.RobertaProcessing(end, begin, False, False),
    )


def _gpt_neox(settings: Settings) -> Parts:
    spaced = settings.flag("add_prefix_space", False)
    alone = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    return Parts(_BYTES, normalizers.NFC(), as_bytes, alone)


def _roberta(settings: Settings) -> Parts:
    spaced = settings.flag("add_prefix_space", False)
    around = processors.RobertaProcessing(
        settings.token("sep_token", "</s>"),
        settings.token("cls_token", "<s>"),
        settings.flag("trim_offsets", True),
        spaced,
    )
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    return Parts(_BYTES, None, bytes_, around)


_CLASSES: dict[str, tuple[str, Callable[[Settings], Parts]]] = {
    **{name: ("BPE", build) for name, build in (
        ("Llama", _llama), ("Gemma", _gemma), ("Qwen2", _qwen2), ("GPT2", _gpt2),
        ("CodeGen", _gpt2), ("GPTNeoX", _gpt_neox), ("CLIP", _clip), ("Roberta", _roberta),
        ("Bart", _roberta), ("Longformer", _roberta), ("LED", _roberta),
    )},
    "MPNet": ("WordPiece", _mpnet),
    **{name: ("Unigram", build) for name, build in (
        ("T5", _t5), ("XLMRoberta", _xlm_roberta), ("Camembert", _camembert),
        ("Albert", _albert), ("DebertaV2", _deberta_v2), ("XLNet", _xlnet),
    )},
}  # fmt: skip
MODELS = {name: model for name, (model, _) in _CLASSES.items()}
"""The type of the model in the files of a class."""
