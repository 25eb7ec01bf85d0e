"""What a ``tokenizer_class`` and its settings mean for a ``tokenizer.json``.

``transformers`` builds the parts of some classes from the settings, whatever the file has for them;
other settings only repeat what the file says. Where the two differ, the ids do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from archspec.data.tokenizer_parts import MODELS, rebuild

_ANY_FILE = frozenset({"PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"})
# Of these models transformers takes the file as it is, whatever class is stated.
MODELS_OF_THE_FILE = frozenset(
    {"mistral", "mixtral", "modernbert", "modernbert-decoder", "olmo2", "phi3"}
)
CLASS_OF_MODEL: Mapping[str, str] = {
    model: f"{name}Tokenizer"
    for name, models in (
        ("Bert", "bert distilbert electra convbert mobilebert squeezebert lxmert layoutlm nezha"),
        ("MPNet", "mpnet"), ("Roberta", "roberta bart longformer led"),
        ("XLMRoberta", "xlm-roberta xlm-roberta-xl"), ("Camembert", "camembert"),
        ("Albert", "albert"), ("DebertaV2", "deberta-v2"), ("XLNet", "xlnet"), ("T5", "t5 mt5"),
        ("GPT2", "gpt2 gpt_neo gptj codegen"), ("GPTNeoX", "gpt_neox mamba mamba2"),
        ("Qwen2", "qwen2 qwen3"), ("Gemma", "gemma gemma2 gemma3 gemma3_text"), ("CLIP", "clip"),
    )
    for model in models.split()
}  # fmt: skip
"""The tokenizer's class of a model's type, for folders whose files say none."""


def follow_settings(
    content: dict[str, Any], config: Mapping[str, Any], stated: str | None, model_type: str
) -> str:
    """Give a ``tokenizer.json`` the parts that the settings demand.

    Args:
        content: the file; its parts are replaced where the class builds them from settings.
        config: the settings.
        stated: the tokenizer's class, none of BERT's; None if unknown.
        model_type: of the model whose tokenizer it is; "" if unknown.

    Returns:
        The name of a setting that the file contradicts; "" if there is none.

    Raises:
        MissingToken: the file lacks a special token that its class needs.
    """
    if stated in _ANY_FILE or (stated and model_type in MODELS_OF_THE_FILE):
        return ""
    kind = str(stated or "").removesuffix("Fast").removesuffix("Tokenizer")
    model = content["model"].get("type")
    if model is not None and model != MODELS.get(kind, model):
        return "tokenizer_class"
    byte_level = any(part.get("type") == "ByteLevel" for part in _encoders(content))
    if kind == "Llama" and byte_level:
        return ""  # as Llama 3's, whose class is stated wrongly in many folders
    if kind in MODELS and _model_type(content["model"]) == MODELS[kind]:
        rebuild(kind, content, config)
        return ""
    return _contradicted(content, config, kind)


def _model_type(model: Mapping[str, Any]) -> str:
    """The type of a model; older files leave it out."""
    by_its_keys = "Unigram" if isinstance(model["vocab"], list) else "WordPiece"
    return model.get("type") or ("BPE" if "merges" in model else by_its_keys)


def _encoders(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from _parts(content.get("pre_tokenizer"))
    yield from _parts(content.get("decoder"))


def _parts(part: object) -> Iterator[dict[str, Any]]:
    """A normalizer or pre-tokenizer, and those that it is a sequence of."""
    if not isinstance(part, dict):
        return
    part = cast("dict[str, Any]", part)
    yield part
    lists = ("normalizers", "pretokenizers", "decoders")
    for inner in (one for name in lists for one in part.get(name, ())):
        yield from _parts(inner)


def _contradicted(content: Mapping[str, Any], config: Mapping[str, Any], kind: str) -> str:
    """A setting that the file does not do; without a class, that of the model's type follows it."""
    normalizers = [*_parts(content.get("normalizer"))]
    types = {part.get("type") for part in normalizers}
    lowers = "Lowercase" in types or any(part.get("lowercase") is True for part in normalizers)
    done: dict[str, bool] = {}
    if not kind and (lowers or config.get("do_lower_case")):
        done["do_lower_case"] = lowers
    for part in normalizers:
        if not kind and part.get("type") == "BertNormalizer":
            strips = part.get("strip_accents")
            done["do_lower_case"] = lowers
            done["strip_accents"] = lowers if strips is None else bool(strips)
            done["tokenize_chinese_chars"] = bool(part.get("handle_chinese_chars"))
    adds_space = _adds_space(content)
    if kind and adds_space is not None:
        done["add_prefix_space"] = adds_space
    asked = {name: config.get(name) for name in done}
    return next(
        (name for name, value in asked.items() if value is not None and value is not done[name]), ""
    )


def _adds_space(content: Mapping[str, Any]) -> bool | None:
    """Whether a text begins as a word within it does; None if no part tells."""
    for part in (*_parts(content.get("normalizer")), *_parts(content.get("pre_tokenizer"))):
        kind = part.get("type")
        if kind == "Prepend":
            return True
        if kind == "Metaspace" and "prepend_scheme" in part:
            return part["prepend_scheme"] != "never"
        if kind in ("ByteLevel", "Metaspace"):
            return bool(part.get("add_prefix_space", True))
    return None
