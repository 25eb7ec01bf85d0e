"""Ids are those of transformers, whatever the files beside a tokenizer say, or they are refused."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

import archspec
from archspec.data import TextEncoder, encoder_for, tokenizer_files
from archspec.errors import DataError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SCRIPTS = [  # ten, with accents that stand alone and in one character, capitals, and marks
    "The Café was naïve", "Élan, hacía e\u0301te\u0301 İstanbul", "Быстрая Ёлка", "Γειά σου Κόσμε",
    "שָׁלוֹם עולם", "مَرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "東京タワー こんにちは が",
    "한국어 문장",
]  # fmt: skip
MARKS = [
    "<url>",
    "[MASK]",
    "a<url>b",
    " <URL> ",
    "[unused0]",
    "\u200b",
    "\t\n",
    "!?…",
    "12.5",
    "ß ẞ ﬁ",
    "a<b>é<url> é",
]


def write(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def vocabulary(special: list[str]) -> str:
    """Each letter of the scripts, within words too: small and large, with accents and without."""
    from unicodedata import normalize

    text = "".join([*SCRIPTS, *MARKS])
    letters = {*text, *text.lower(), *normalize("NFD", text.lower()), *normalize("NFD", text)}
    plain = sorted(letter for letter in letters if not letter.isspace() and letter.isprintable())
    pieces = [
        *special,
        *plain,
        *(f"##{letter}" for letter in plain),
        "hacía",
        "hacia",
        "東京",
        "the",
    ]
    return "\n".join(dict.fromkeys(pieces)) + "\n"


EXTRA: list[dict[str, Any]] = [  # special tokens without a role, or of one that others lack
    {"image_token": "<b>"}, {"extra_special_tokens": {"image_token": "<b>"}, "image_token": "é"},
    {"additional_special_tokens": ["<b>"], "extra_special_tokens": ["é"]},
    {"additional_special_tokens": ["<b>"], "extra_special_tokens": []},
]  # fmt: skip


def settings(draw: random.Random) -> tuple[dict[str, Any], list[str]]:
    """Files beside a list of words, and its special tokens."""
    config: dict[str, Any] = {"tokenizer_class": "BertTokenizer"}
    for name, values in (
        ("do_lower_case", [True, False]), ("strip_accents", [True, False, None]),
        ("tokenize_chinese_chars", [True, False]), ("model_max_length", [7, 20, 512, 1e30]),
        ("truncation_side", ["left", "right"]), ("split_special_tokens", [True, False]),
    ):  # fmt: skip
        if draw.random() < 0.6:
            config[name] = draw.choice(values)
    special = [*SPECIAL]
    if draw.random() < 0.3:
        special[1:4] = ["<unk>", "<s>", "</s>"]
        config |= {"unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    files: dict[str, Any] = {"tokenizer_config.json": config, "vocab.txt": vocabulary(special)}
    size = len(files["vocab.txt"].splitlines())
    flags = {
        name: draw.random() < 0.5 for name in ("lstrip", "rstrip", "single_word", "normalized")
    }
    kind = draw.choice(["none", "decoder", "older"])
    if kind == "decoder":
        token = {"content": "<url>", "special": draw.random() < 0.5, **flags}
        config["added_tokens_decoder"] = {str(size): token}
    elif kind == "older":
        files["added_tokens.json"] = {"<url>": size}
        files["special_tokens_map.json"] = {"mask_token": {"content": "[MASK]", **flags}}
        if draw.random() < 0.5:
            config["additional_special_tokens"] = ["<url>"]
    if draw.random() < 0.4:
        config |= draw.choice(EXTRA)
    return files, special


def test_ids_are_those_of_transformers(tmp_path: Path) -> None:
    """Folders with settings by chance, each with texts of ten scripts; as two kinds of file."""
    from transformers import BertTokenizer

    draw = random.Random(0)
    wrong: list[str] = []
    for i in range(24):
        files, _ = settings(draw)
        folder = write(tmp_path / str(i), files)
        config = files["tokenizer_config.json"]
        theirs = BertTokenizer.from_pretrained(folder)
        if i % 4 == 0:  # the same as a tokenizer.json, whose own settings transformers does not use
            saved = theirs.backend_tokenizer.to_str()
            write(
                folder, {"tokenizer.json": saved.replace('"lowercase":true', '"lowercase":false')}
            )
            theirs = BertTokenizer.from_pretrained(folder)
        length = min(int(config.get("model_max_length", config.get("max_len", 64))), 64)
        texts = [*SCRIPTS, *MARKS, " ".join(draw.sample([*SCRIPTS, *MARKS], 6))]
        expected = theirs(texts, truncation=True, max_length=length)["input_ids"]
        found = TextEncoder(folder, length).encode(texts)
        wrong += [
            f"{i} {config} {[*files]}\n  {text!r}: {a}, not {b}"
            for text, a, b in zip(texts, found, expected, strict=True)
            if a != b
        ][:1]
    assert not wrong, "\n".join(wrong)


def test_a_tokenizer_json_that_is_not_of_its_class(tmp_path: Path) -> None:
    """A class of BERT's says what the parts are: where they are others one of the two is wrong."""
    from transformers import BertTokenizer

    config = {"tokenizer_class": "BertTokenizer"}
    files = {"vocab.txt": "\ufeff" + vocabulary(SPECIAL), "tokenizer_config.json": config}
    assert TextEncoder(write(tmp_path, files), 9).encode(["[PAD]"]) == [[2, 0, 3]]  # no part of it
    write(tmp_path, {"vocab.txt": vocabulary(SPECIAL)})
    said = json.loads(BertTokenizer.from_pretrained(tmp_path).backend_tokenizer.to_str())
    parts: list[tuple[str, Any]] = [
        ("normalizer", None), ("normalizer", {"type": "NFKC"}), ("post_processor", None),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("model", {**said["model"], "max_input_chars_per_word": 5}),
        ("model", {**said["model"], "continuing_subword_prefix": "@@"}),
    ]  # fmt: skip
    for name, part in parts:
        write(tmp_path, {"tokenizer.json": {**said, name: part}, "tokenizer_config.json": config})
        assert refusal(tmp_path, 9).endswith(
            f"json: {name}: not those of tokenizer_class BertTokenizer"
        )
        as_it_is = {"tokenizer_class": "PreTrainedTokenizerFast"}  # as the hint says
        write(tmp_path, {"tokenizer_config.json": as_it_is})
        assert TextEncoder(tmp_path, 9).encode(["a"])


def byte_level() -> Tokenizer:
    """Byte-pair encoding that has learned some of the texts, as GPT-2's and RoBERTa's are."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", "<|padding|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*SCRIPTS, "The café was"] * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def test_settings_go_before_the_parts_of_a_file(tmp_path: Path) -> None:
    """Of a class that transformers builds from its settings, whatever tokenizer.json has there."""
    import transformers

    plain = json.loads(byte_level().to_str())
    spaced = copy.deepcopy(plain)
    spaced["pre_tokenizer"]["add_prefix_space"] = True
    words = json.loads(word_pieces(tmp_path / "words").to_str())
    words["post_processor"] = {**plain["post_processor"], "sep": ["</s>", 6], "cls": ["<s>", 5]}
    kinds = ["RobertaTokenizer", "GPT2TokenizerFast", "BartTokenizer", "PreTrainedTokenizerFast"]
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        (kind, content, {} if given is None else {"add_prefix_space": given})
        for kind in kinds
        for content in (plain, spaced)
        for given in (None, False, True)
    ]
    for name in ("do_lower_case", "strip_accents", "tokenize_chinese_chars"):
        cases += [("MPNetTokenizer", words, {name: value}) for value in (True, False)]
    around = {**words, "post_processor": None}
    cases += [("MPNetTokenizer", around, {}), ("MPNetTokenizer", around, {"cls_token": "[CLS]"})]
    wrong: list[str] = []
    for i, (kind, content, given) in enumerate(cases):
        config = {"tokenizer_class": kind, **given}
        folder = write(
            tmp_path / str(i), {"tokenizer.json": content, "tokenizer_config.json": config}
        )
        texts = [*SCRIPTS, *MARKS]
        theirs = getattr(transformers, kind).from_pretrained(folder)
        expected = theirs(texts, truncation=True, max_length=64)["input_ids"]
        if TextEncoder(folder, 64).encode(texts) != expected:
            wrong.append(f"{kind} {given}")
    assert not wrong, "\n".join(wrong)


def _parts_of_others(said: dict[str, Any]) -> list[dict[str, Any]]:
    """A tokenizer.json with the same words, and parts that its class does not have."""
    scheme = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}
    prepend = {"type": "Prepend", "prepend": "▁"}
    lower = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}
    flags = {name: not said["model"][name] for name in ("fuse_unk", "byte_fallback")
             if name in said["model"] and "merges" in said["model"]}  # fmt: skip
    older = {key: value for key, value in said["model"].items() if key != "type"}
    return [
        said,
        {**said, "normalizer": lower, "pre_tokenizer": scheme, "post_processor": None},
        {**said, "normalizer": prepend, "pre_tokenizer": None, "model": said["model"] | flags},
        {**said, "pre_tokenizer": {"type": "Whitespace"}, "model": older},
    ]


def _pieces(special: list[str]) -> list[tuple[str, float]]:
    letters = sorted({*"".join([*SCRIPTS, *MARKS])} - {" ", "\t", "\n", "▁"})
    words = ["▁the", "▁the was", "▁The", "▁a", "was", "▁na", "ia", "▁"]
    scored = [(one, -3.0 - i / 100) for i, one in enumerate([*words, *letters])]
    return list({piece: (piece, score) for piece, score in
                 [*((one, 0.0) for one in special), *scored]}.values())  # fmt: skip


def _merges(special: list[str], letters: list[str]) -> dict[str, Any]:
    pairs = [("t", "h"), ("th", "e"), ("T", "h"), ("w", "a"), ("wa", "s"), ("▁", "the")]
    pairs = [(a, b) for a, b in pairs if {*a, *b} <= {*letters}]
    tokens = [*special, *letters, *(a + b for a, b in pairs)]
    return {"vocab": {one: i for i, one in enumerate(dict.fromkeys(tokens))}, "merges": pairs}


def _tokenizers_of_classes() -> dict[str, Any]:
    """A small one of each class whose parts transformers builds from the settings."""
    import transformers

    bert, llama = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], ["<unk>", "<s>", "</s>"]
    roberta = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted({*"".join([*SCRIPTS, *MARKS]), "▁"} - {" "})
    bytes_ = pre_tokenizers.ByteLevel.alphabet()
    clip = ["<|startoftext|>", "<|endoftext|>", *(f"{one}</w>" for one in sorted(bytes_))]
    fallback = [f"<0x{i:02X}>" for i in range(256)]
    given: dict[str, dict[str, Any]] = {
        "T5Tokenizer": {"vocab": _pieces(["<pad>", "</s>", "<unk>"]), "extra_ids": 0},
        "XLMRobertaTokenizer": {"vocab": _pieces(roberta)},
        "CamembertTokenizer": {"vocab": _pieces(["<s>NOTUSED", "<pad>", *roberta[2:], "<s>"])},
        "AlbertTokenizer": {"vocab": _pieces(["<pad>", "<unk>", *bert[2:]])},
        "DebertaV2Tokenizer": {"vocab": _pieces(bert)},
        "XLNetTokenizer": {"vocab": _pieces([*llama, "<cls>", "<sep>", "<pad>", "<mask>"])},
        "LlamaTokenizer": _merges([*llama, *fallback], letters),
        "GemmaTokenizer": _merges(
            ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *fallback], letters
        ),
        "Qwen2Tokenizer": _merges(["<|endoftext|>"], sorted(bytes_)),
        "GPT2Tokenizer": _merges(["<|endoftext|>"], sorted(bytes_)),
        "GPTNeoXTokenizer": _merges(["<|endoftext|>"], sorted(bytes_)),
        "RobertaTokenizer": _merges(roberta, sorted(bytes_)),
        "CLIPTokenizer": _merges(clip, sorted(bytes_)),
    }
    return {name: getattr(transformers, name)(**files) for name, files in given.items()}


def test_parts_of_a_class_go_before_those_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each class, with files that contradict it, and settings that contradict the file."""
    from transformers import AutoTokenizer

    monkeypatch.setattr(tokenizer_files, "_try_in_process", lambda *_: None)  # these are harmless
    asked: list[dict[str, Any]] = [
        {}, {"add_bos_token": True, "add_eos_token": True}, {"legacy": True},
        {"add_prefix_space": False, "do_lower_case": True, "keep_accents": True},
        {"add_prefix_space": True, "do_lower_case": False, "legacy": False},
    ]  # fmt: skip
    texts = [*SCRIPTS, *MARKS, "  two  spaces ", "a<s>b</s> c[SEP]d", "ﬁne １２", "``q''", ""]
    wrong: list[str] = []
    for name, made in _tokenizers_of_classes().items():
        folder = tmp_path / name
        made.save_pretrained(folder)
        said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        for i, content in enumerate(_parts_of_others(said)):
            for settings_ in asked if i < 2 else asked[:1]:
                write(folder, {"tokenizer.json": content,
                               "tokenizer_config.json": config | settings_})  # fmt: skip
                theirs: Any = AutoTokenizer.from_pretrained(folder)
                ours = TextEncoder(folder, 400, strict=False)
                expected = [theirs(texts)["input_ids"], theirs(texts, texts[::-1])["input_ids"]]
                if [ours.encode(texts), ours.encode([*zip(texts, texts[::-1], strict=True)])] != (
                    expected
                ):
                    wrong.append(f"{name}, file {i}, {settings_}")
    assert not wrong, "\n".join(wrong)


def test_whose_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """Of some models the stated class is wrong in many folders: transformers passes it over."""
    from transformers import AutoTokenizer

    content = json.loads(byte_level().to_str())
    files = {"tokenizer.json": content, "tokenizer_config.json": {}}
    llama = {"tokenizer_class": "LlamaTokenizer"}
    for i, (kind, model) in enumerate(
        [(llama, {}), ({"tokenizer_class": "GPT2Tokenizer"}, {"model_type": "phi3"}),
         ({"tokenizer_class": "GPT2Tokenizer"}, {"model_type": "gpt2"})]
    ):  # fmt: skip
        files = {"tokenizer.json": {**content, "normalizer": {"type": "Lowercase"}},
                 "tokenizer_config.json": kind, "config.json": model}  # fmt: skip
        folder = write(tmp_path / str(i), files)
        texts = [*SCRIPTS, *MARKS]
        theirs: Any = AutoTokenizer.from_pretrained(folder)
        found = TextEncoder(folder, 400).encode(texts)
        assert found == theirs(texts)["input_ids"], kind
        plain = TextEncoder(write(tmp_path / f"{i} alone", {"tokenizer.json": content}), 400)
        assert (found == plain.encode([text.lower() for text in texts])) is (i < 2)
        needed = [file.name for file in tokenizer_files.needed_files(folder / "tokenizer.json")]
        assert ("config.json" in needed) is (i == 1), needed  # a run's copy has the same ids


def test_a_class_that_only_the_models_config_tells(tmp_path: Path) -> None:
    """By name, or by the model's type, as transformers takes it where the settings say none."""
    from transformers import AutoTokenizer

    words, bytes_ = json.loads(word_pieces(tmp_path).to_str()), json.loads(byte_level().to_str())
    cased = {**words, "normalizer": {**words["normalizer"], "lowercase": False}}
    spaced = {**bytes_, "pre_tokenizer": {**bytes_["pre_tokenizer"], "add_prefix_space": True}}
    rows: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
        (words, {"strip_accents": False}, {"model_type": "bert"}),
        (words, {"do_lower_case": False}, {"model_type": "electra"}),
        (words, {}, {"model_type": "mpnet"}),
        (cased, {}, {"model_type": "distilbert"}),
        (cased, {"do_lower_case": False}, {"tokenizer_class": "ElectraTokenizer"}),
        (cased, {"tokenizer_class": "RetriBertTokenizer"}, {"model_type": "bert"}),
        (cased, {"tokenizer_class": "PreTrainedTokenizerFast"}, {"model_type": "bert"}),
        (spaced, {}, {"model_type": "roberta"}),
        (spaced, {"add_prefix_space": True}, {"model_type": "gpt2"}),
        (spaced, {}, {"model_type": "llama"}),
        (spaced, {"errors": "replace"}, {"tokenizer_class": "GPT2Tokenizer"}),
    ]
    texts, wrong = [*SCRIPTS, *MARKS], list[str]()
    for i, (content, config, model) in enumerate(rows):
        files = {"tokenizer.json": content, "tokenizer_config.json": config}
        folder = write(tmp_path / str(i), {**files, "config.json": {"model_type": "bert", **model}})
        theirs: Any = AutoTokenizer.from_pretrained(folder)
        found = TextEncoder(folder, 400).encode(texts)
        if found != theirs(texts)["input_ids"]:
            wrong.append(f"{config}, {model}")
        copied = write(tmp_path / f"{i} in a run", {})
        for file in tokenizer_files.needed_files(folder / "tokenizer.json"):
            shutil.copy(file, copied)
        assert TextEncoder(copied, 400).encode(texts) == found, model
    assert not wrong, "\n".join(wrong)

    list_of_words = {"vocab.txt": vocabulary(SPECIAL), "config.json": {"model_type": "mpnet"}}
    message = refusal(write(tmp_path / "words", list_of_words), 9)
    assert message.endswith("tokenizer_class: MPNetTokenizer is not supported")


def word_pieces(folder: Path) -> Tokenizer:
    from transformers import BertTokenizer

    files = {"vocab.txt": vocabulary([*SPECIAL, "<s>", "</s>", "<pad>", "<mask>"])}
    return BertTokenizer.from_pretrained(write(folder, files)).backend_tokenizer


def test_settings_that_a_tokenizer_json_contradicts(tmp_path: Path) -> None:
    words, bytes_ = json.loads(word_pieces(tmp_path).to_str()), json.loads(byte_level().to_str())
    lower = {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "Lowercase"}]}
    model = {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0]]}
    pieces = {
        **bytes_, "normalizer": lower, "model": model,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        "post_processor": None, "added_tokens": [],
    }  # fmt: skip
    rows: list[tuple[Any, str | None, str, Any, Any]] = [  # the last but one is refused
        (words, None, "do_lower_case", False, True),
        (words, None, "strip_accents", False, True),
        (words, None, "tokenize_chinese_chars", False, True),
        (bytes_, None, "do_lower_case", True, False),
        (bytes_, "WhisperTokenizer", "add_prefix_space", True, False),
        (pieces, "LlamaTokenizer", "tokenizer_class", "LlamaTokenizer", "PreTrainedTokenizerFast"),
        (bytes_, "GPT2Tokenizer", "tokenizer_class", "T5Tokenizer", "GPT2Tokenizer"),
        (words, "RobertaTokenizer", "tokenizer_class", "RobertaTokenizer", "ElectraTokenizer"),
        (pieces, "GPT2Tokenizer", "tokenizer_class", "GPT2Tokenizer", "PreTrainedTokenizer"),
    ]
    for content, kind, name, wrong, right in rows:
        config = {"tokenizer_class": kind, name: wrong}
        files = {"tokenizer.json": content, "tokenizer_config.json": config}
        message = refusal(write(tmp_path / "case", files), 9)
        value = json.dumps(wrong)
        assert message.endswith(f"{name}: {value}, and tokenizer.json does otherwise"), message
        files["tokenizer_config.json"] = {"tokenizer_class": kind, name: right}
        TextEncoder(write(tmp_path / "case", files), 9)
    config = {"tokenizer_class": "RobertaTokenizer", "sep_token": {"content": "<sep>"}}
    files = {"tokenizer.json": bytes_, "tokenizer_config.json": config}
    message = refusal(write(tmp_path / "case", files), 9)
    assert message.endswith("tokenizer.json: it lacks the sep_token '<sep>' of its class")
    # transformers would add what a class has by default, with ids past the file's
    unigram = {**pieces, "model": {**model, "vocab": [["<unk>", 0], ["<pad>", 0], ["</s>", 0]]}}
    vocab = {word: i for word, i in words["model"]["vocab"].items() if word != "<mask>"}
    merges = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    ended = {**bytes_, "model": merges, "added_tokens": []}
    unmasked = {**words, "model": {**words["model"], "vocab": vocab}}
    for content, config, missing in (
        (unigram, {"tokenizer_class": "T5Tokenizer"}, "extra_ids '<extra_id_0>'"),
        (unmasked, {"tokenizer_class": "MPNetTokenizer"}, "mask_token '<mask>'"),
        (ended, {"tokenizer_class": "GPT2Tokenizer"}, "bos_token '<|endoftext|>'"),
    ):  # fmt: skip
        files = {"tokenizer.json": content, "tokenizer_config.json": config}
        message = refusal(write(tmp_path / "case", files), 9)
        assert message.endswith(f"it lacks the {missing} of its class"), message
    files["tokenizer.json"], files["tokenizer_config.json"] = unigram, {"extra_ids": 0}
    TextEncoder(write(tmp_path / "case", files), 9)


def test_files_that_are_to_be_converted_first(tmp_path: Path) -> None:
    """As the folder of DeBERTa-v3, which has its pieces in a model of SentencePiece alone."""
    (tmp_path / "spm.model").write_bytes(b"\n\x0e\n\x05<unk>")
    for path in (tmp_path, tmp_path / "spm.model", tmp_path / "tokenizer.json"):
        with pytest.raises(DataError) as caught:
            TextEncoder(path, 9)
        assert "from spm.model, transformers makes a tokenizer.json" in caught.value.hint
    (tmp_path / "spm.model").unlink()
    with pytest.raises(DataError) as caught:
        TextEncoder(tmp_path, 9)
    assert caught.value.hint.startswith("give a tokenizer.json")


def test_the_side_at_which_a_tokenizer_json_cuts(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    content = json.loads(word_pieces(tmp_path).to_str())
    content["truncation"] = {
        "direction": "Left", "max_length": 128, "strategy": "LongestFirst", "stride": 0
    }  # fmt: skip
    text, found = "a b c d e f g h", []
    for config in ({}, {"truncation_side": "right"}, {"tokenizer_class": "BertTokenizer"}):
        files = {"tokenizer.json": content, "tokenizer_config.json": config}
        folder = write(tmp_path / "case", files)
        theirs: Any = AutoTokenizer.from_pretrained(folder)
        expected = theirs([text], truncation=True, max_length=5)["input_ids"]
        assert TextEncoder(folder, 5).encode([text]) == expected, config
        found += expected
    assert found[0] != found[1]


def test_accents_are_kept(tmp_path: Path) -> None:
    config = {"do_lower_case": True, "strip_accents": False}
    words = [*SPECIAL, "a", "cafe", "hacia", "hacía", "film"]
    folder = write(tmp_path, {"vocab.txt": "\n".join(words), "tokenizer_config.json": config})
    assert TextEncoder(folder, 9).encode(["hacía film"]) == [[2, 8, 9, 3]]


def refusal(*given: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        TextEncoder(*given, **options)
    assert caught.value.code == "E905"
    return caught.value.message


def test_settings_that_are_not_followed_are_named(tmp_path: Path) -> None:
    cases: list[tuple[str, Any]] = [
        ("never_split", ["x"]), ("do_basic_tokenize", False), ("padding_side", "left"),
        ("tokenizer_class", "BertJapaneseTokenizer"), ("do_lower_case", "yes"),
        ("strip_accents", 1), ("model_max_length", "long"), ("model_max_length", 0),
        ("truncation_side", "both"), ("clean_text", False), ("cls_token", 3), ("sep_token", None),
        ("additional_special_tokens", "x"),
        ("added_tokens_decoder", {"7": {"content": "x", "y": 1}}),
        ("word_tokenizer_type", "mecab"),
    ]  # fmt: skip
    for name, value in cases:
        folder = write(
            tmp_path,
            {"vocab.txt": "\n".join([*SPECIAL, "a"]), "tokenizer_config.json": {name: value}},
        )
        message = refusal(folder, 9)
        assert name in message and message.endswith("is not supported"), message
    write(tmp_path, {"tokenizer_config.json": {"added_tokens_decoder": {"9": {"content": "x"}}}})
    assert refusal(tmp_path, 9).endswith(
        "the added token 'x' has id 9, and the tokenizer gives it 6"
    )
    for text in ("[]", "{", "3"):
        write(tmp_path, {"tokenizer_config.json": text})
        assert "tokenizer_config.json: not " in refusal(tmp_path, 9)
    write(tmp_path, {"tokenizer_config.json": {"model_max_length": 8}})
    assert refusal(tmp_path, 9).endswith(
        "a maximum length of 9, and the tokenizer's model_max_length is 8"
    )
    assert TextEncoder(tmp_path, 9, strict=False).max_length == 8


# --------------------------------------------------------------------------- hostile tokenizer.json


def test_a_file_that_ends_the_process_is_refused(tmp_path: Path) -> None:
    word_level = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    template = {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
        "pair": [], "special_tokens": {},
    }  # fmt: skip
    abort = {"type": "Precompiled", "precompiled_charsmap": "//////////8="}
    unigram = {"type": "Unigram", "unk_id": None, "vocab": [["a", -1.0]], "byte_fallback": False}
    plain = {"version": "1.0", "added_tokens": [], "model": word_level}
    write(tmp_path, {"tokenizer.json": plain})
    assert TextEncoder(tmp_path, 9).encode(["a"]) == [[0]]
    lower = {"type": "Lowercase"}
    token = {"id": 9, "content": "b", "single_word": False}
    hostile: list[tuple[str, Any, str]] = [
        (
            "normalizer",
            {"type": "Sequence", "normalizers": [lower] * 20_000},
            "20,002 parts, more than 10,000",
        ),
        ("added_tokens", [token] * 100_001, "100,001 added tokens, more than 100,000"),
        ("post_processor", template, "not a tokenizer: pyo3_runtime.PanicException"),
        ("normalizer", abort, "not a tokenizer: it ends the process that reads it (signal 6)"),
        ("model", unigram, "a text cannot be encoded: Encountered an unknown token"),
    ]
    for name, part, reason in hostile:
        write(tmp_path, {"tokenizer.json": {**plain, name: part}})
        with pytest.raises(DataError) as caught:
            TextEncoder(tmp_path, 9).encode(["a b"])
        assert caught.value.code == "E905"
        assert caught.value.message.startswith(f"{tmp_path / 'tokenizer.json'}: {reason}")


# -------------------------------------------------------------------------- sentence-transformers


def test_pooling_and_normalisation_are_held_against_the_spec(tmp_path: Path) -> None:
    spec = archspec.load("minilm-l6", vocab_size=6)
    modules = [{"type": f"sentence_transformers.models.{name}", "path": path} for name, path in (
        ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"),
    )]  # fmt: skip
    mean = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    cls = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    dense = [*modules, {"type": "sentence_transformers.models.Dense", "path": "3_Dense"}]
    words = {
        "vocab.txt": "\n".join([*SPECIAL, "a"]),
        "sentence_bert_config.json": {"max_seq_length": 40},
    }
    done = "minilm-l6 has pooling: mean, normalize: true"
    cases: list[tuple[list[dict[str, str]], dict[str, Any], dict[str, Any], str]] = [
        (modules, mean, {}, ""),
        (modules, {"pooling_mode": "mean"}, {}, ""),
        (modules, cls, {}, f"pooling: cls, normalize: true; {done}"),
        (modules[:2], mean, {}, f"pooling: mean, normalize: false; {done}"),
        (modules, {**mean, **cls, "pooling_mode_mean_tokens": True}, {},
         "pooling by cls, mean is not supported"),
        (dense, mean, {}, "the module sentence_transformers.models.Dense is not supported"),
        ([{"type": "custom.Transformer"}, *modules[1:]], mean, {},
         "the module custom.Transformer is not supported"),
        ([modules[0], modules[2], modules[1]], mean, {},
         "the order Transformer, Normalize, Pooling is not supported"),
        (modules, {**mean, "pooling_mode_new": True}, {},
         "pooling by mean, pooling_mode_new is not supported"),
        (modules, {**cls, "pooling_mode": "mean"}, {}, "pooling by cls, mean is not supported"),
        (modules, mean, {"truncate_dim": 64}, "truncate_dim is not supported"),
        (modules[:1], mean, {}, "a model without Pooling is not supported"),
        (modules, mean, {"default_prompt_name": "query"}, "default_prompt_name is not supported"),
    ]  # fmt: skip
    for said, pooling, config, message in cases:
        files = {**words, "modules.json": said, "config_sentence_transformers.json": config}
        write(tmp_path / "1_Pooling", {"config.json": pooling})
        write(tmp_path, files)
        if not message:
            encoder = encoder_for(spec, weights=tmp_path)
            assert isinstance(encoder, TextEncoder) and encoder.max_length == 40
            continue
        with pytest.raises(DataError) as caught:
            encoder_for(spec, weights=tmp_path)
        assert caught.value.code == "E905" and caught.value.message.endswith(message)
    write(tmp_path, {"modules.json": modules, "config_sentence_transformers.json": {}})
    with pytest.raises(DataError) as caught:
        encoder_for(archspec.load("bert-model", vocab_size=6), weights=tmp_path)
    assert caught.value.message.endswith("bert-model does not say what it does")
    assert caught.value.problems[0].hint.startswith("minilm-l6 pools so: give it")
    below = write(tmp_path / "0_Transformer", words)  # as older folders have it
    write(tmp_path, {"modules.json": [{**modules[0], "path": "0_Transformer"}, *modules[1:]]})
    assert isinstance(encoder_for(spec, weights=below), TextEncoder)
    write(tmp_path / "1_Pooling", {"config.json": cls})
    with pytest.raises(DataError, match=r"modules\.json: pooling: cls, normalize: true; minilm"):
        encoder_for(spec, weights=below)


def test_settings_of_sentence_transformers_that_change_vectors(tmp_path: Path) -> None:
    spec = archspec.load("minilm-l6", vocab_size=6)
    names = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
    modules = [{"type": f"sentence_transformers.models.{n}", "path": path} for n, path in names]
    write(tmp_path / "1_Pooling", {"config.json": {"pooling_mode": "mean"}})
    write(tmp_path, {"vocab.txt": "\n".join([*SPECIAL, "a"]), "modules.json": modules})
    rows: list[tuple[dict[str, Any], str]] = [
        ({"transformer_task": "feature-extraction", "model_args": {"dtype": "float16"}}, ""),
        ({"tokenizer_args": {}, "config_args": None}, ""),
        ({"do_lower_case": True}, "do_lower_case: true"),
        ({"transformer_task": "fill-mask"}, 'transformer_task: "fill-mask"'),
        ({"tokenizer_args": {"do_lower_case": False}}, 'tokenizer_args: {"do_lower_case": false}'),
        ({"model_args": {"rotary": 1, "dtype": "x"}}, 'model_args: {"rotary": 1}'),
    ]
    for settings_, message in rows:
        write(tmp_path, {"sentence_bert_config.json": {"max_seq_length": 40, **settings_}})
        if not message:
            assert isinstance(encoder_for(spec, weights=tmp_path), TextEncoder)
            continue
        with pytest.raises(DataError) as caught:
            encoder_for(spec, weights=tmp_path)
        assert caught.value.message.endswith(f"{message} is not supported")
