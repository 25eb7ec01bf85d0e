"""The contract between a spec and a ``config.json``: what is read, required, ignored, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archspec import Problem, Spec, SpecError, load, loads
from archspec.lang import json_file

CONFIGS = Path(__file__).parents[1] / "inputs" / "configs"
LLAMA = """\
archspec: 1
model: M
params:
  hidden_size: {default: 64, min: 1}
  num_attention_heads: 4
  head_dim: {type: int, nullable: true, default: $hidden_size // num_attention_heads}
  rope_theta: 500000.0
  num_labels: 2
  depth: 1
blocks:
  M:
    inputs: {x: [batch, $hidden_size]}
    outputs: {y: [batch, $num_labels]}
    modules: {fc: {type: Linear, in_features: $hidden_size, out_features: $num_labels}}
"""
SECTION = """\
config:
  model_type: llama
  read:
    num_labels: len(id2label)
    depth: [depth, len(layer_types)]
    rope_theta: [rope_parameters.rope_theta, rope_theta]
  require: {hidden_act: [silu, swish], rope_parameters.rope_type: default, is_decoder: true}
  defaults: {rope_theta: 10000.0, is_decoder: true}
  ignore: [pretraining_tp, vision_config]
task: {kind: text-classification}
"""
WINDOW = """\
archspec: 1
model: M
params: {window: {type: int, default: null}}
blocks: {M: {inputs: {x: [batch, 4]}, modules: {act: {type: ReLU}}}}
config:
  defaults: {window: 4096}
"""
REFUSING = WINDOW + "  if_null: {window: 0}\n  refuse: {window: [0, 1]}\n"
TOWERS = WINDOW.replace("{window: 4096}", "{a.window: 4096, b.window: 4096}")
TOWERS += "  read: {window: [a.window, b.window]}\n"
OLD_TOWER = TOWERS + "  ignore: [b]\n"
CLIP = (
    LLAMA
    + """\
config:
  model_type: clip
  read: {hidden_size: text_config.hidden_size}
  require: {text_config.model_type: clip_text_model}
  ignore: [vision_config]
"""
)


def spec_of(text: str, given: Any, folder: Path, **params: Any) -> Spec:
    path = folder / "config.json"
    path.write_text(given if isinstance(given, str) else json.dumps(given), encoding="utf-8")
    return loads(text, config=path, name="net.yaml", **params)


def told(text: str, given: Any, folder: Path, **params: Any) -> list[str]:
    """``code:line:column message`` of each problem."""
    with pytest.raises(SpecError) as caught:
        spec_of(text, given, folder, **params)
    return [line_of(problem) for problem in caught.value.problems]


def line_of(problem: Problem) -> str:
    place = problem.place
    where = f"{Path(place.file).name}:{place.line}:{place.column}" if place else ""
    return f"{problem.code} {where} {problem.message}".replace("  ", " ")


def test_what_is_read(tmp_path: Path) -> None:
    usual = {"head_dim": 16, "rope_theta": 10000.0, "num_labels": 2, "depth": 1}
    names = {"id2label": {"1": "b", "0": "a", "2": "c"}}
    rows: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
        (LLAMA, {}, {}, {"head_dim": 16, "rope_theta": 500000.0}),
        (LLAMA, {"head_dim": None, "rope_theta": 1}, {}, {"head_dim": 16, "rope_theta": 1.0}),
        (LLAMA, {"hidden_size": None, "head_dim": 8}, {}, {"hidden_size": 64, "head_dim": 8}),
        (LLAMA, {"head_dim": 8}, {"head_dim": None}, {"head_dim": 16}),
        (LLAMA, {"model_type": "nobody", "is_decoder": False}, {}, {"depth": 1}),
        (LLAMA, {"id2label": None, "label2id": None, "problem_type": None}, {}, {"num_labels": 2}),
        (LLAMA + SECTION, {}, {}, usual),
        (LLAMA + SECTION, {"hidden_act": None, "id2label": None, "label2id": None}, {}, usual),
        (WINDOW, {"window": None}, {}, {"window": None}),
        (WINDOW + "  if_null: {window: 7}\n", {"window": None}, {}, {"window": 7}),
        (WINDOW + "  if_null: {window: 7}\n", {}, {}, {"window": 4096}),
        (REFUSING, {"window": None}, {}, {"window": 0}),
        (REFUSING, {"window": 2}, {}, {"window": 2}),
        (REFUSING, {"window": 0}, {"window": 0}, {"window": 0}),
        (REFUSING, {"window": 0}, {"window": 3}, {"window": 3}),
        (TOWERS, {"a": {"window": 3}, "b": {"window": 3}}, {}, {"window": 3}),
        (TOWERS, {"a": {"window": 4096}}, {}, {"window": 4096}),
        (OLD_TOWER, {"a": {"window": 3}, "b": None}, {}, {"window": 3}),
        (OLD_TOWER, {"a": {"window": 3}, "b": {"window": 3, "c": 1}}, {}, {"window": 3}),
        (TOWERS, {"a": {"window": 3}}, {"window": 3}, {"window": 3}),
        (WINDOW, {}, {}, {"window": 4096}),
        (LLAMA + SECTION, {"rope_parameters": None, "rope_theta": None}, {}, usual),
        (LLAMA + SECTION, {"rope_parameters": {"rope_theta": 3.0}}, {}, {"rope_theta": 3.0}),
        (LLAMA + SECTION, {"rope_theta": 3}, {}, {"rope_theta": 3.0}),
        (LLAMA + SECTION, {"rope_theta": 3, "rope_parameters": {"rope_theta": 3.0}}, {},
         {"rope_theta": 3.0}),
        (LLAMA + SECTION, {"rope_theta": 3}, {"rope_theta": 4.0}, {"rope_theta": 4.0}),
        (LLAMA + SECTION, {"layer_types": ["full", "full", "full"]}, {}, {"depth": 3}),
        (LLAMA + SECTION, names, {}, {"num_labels": 3}),
        (LLAMA + SECTION, {**names, "num_labels": 3, "_num_labels": 3}, {}, {"num_labels": 3}),
        (LLAMA + SECTION, {**names, "label2id": {"c": 2, "a": 0, "b": 1}}, {}, {"num_labels": 3}),
        (LLAMA + SECTION, {**names, "label2id": {f"LABEL_{i}": i for i in range(3)}}, {},
         {"num_labels": 3}),
        (LLAMA + SECTION, {"num_labels": 5}, {}, {"num_labels": 5}),
        (LLAMA + SECTION, {**names, "num_labels": 5}, {"num_labels": 4}, {"num_labels": 4}),
        (LLAMA + SECTION, {"pretraining_tp": 2, "vision_config": {"a": {"b": 1}}}, {}, usual),
        (LLAMA + SECTION, {"architectures": ["LlamaModel"], "dtype": "x", "top_k": 4}, {}, usual),
        (LLAMA + SECTION, {"model_type": "llama", "hidden_act": "swish"}, {}, usual),
        (LLAMA + SECTION.replace("model_type: llama", "model_type: [llama, vicuna]"),
         {"model_type": "vicuna", "rope_theta": 3}, {}, {"rope_theta": 3.0}),
        (CLIP, {"text_config": {"hidden_size": 8, "model_type": "clip_text_model", "dtype": "x"},
                "vision_config": {"hidden_size": 9}}, {}, {"hidden_size": 8}),
    ]  # fmt: skip
    wrong: list[str] = []
    for text, given, params, values in rows:
        found = spec_of(text, given, tmp_path, **params).values
        if found != {**found, **values}:
            wrong.append(f"{given} {params}: {found}")
    assert not wrong, "\n".join(wrong)


def test_what_is_refused(tmp_path: Path) -> None:
    rope = {"rope_theta": 10000.0, "rope_type": "default"}
    here = "E215 config.json:1:"
    rows: list[tuple[str, Any, list[str]]] = [
        (LLAMA, {"rope_parameters": rope}, [f"{here}2 'rope_parameters' is not read"]),
        (LLAMA, {"text_config": {"hidden_size": 8}, "vision_config": {}},
         [f"{here}2 'text_config' is not read", f"{here}37 'vision_config' is not read"]),
        (LLAMA, {"model_type": "bert"}, [f"{here}2 model_type is 'bert', not what net is of"]),
        (LLAMA, {"is_decoder": True}, [f"{here}2 'is_decoder' is not read"]),
        (LLAMA, {"pruned_heads": {"0": [1]}}, [f"{here}2 'pruned_heads' is not read"]),
        (LLAMA, {"quantization_config": {"bits": 4}},
         [f"{here}2 'quantization_config' is not read"]),
        (LLAMA, {"sliding_window": None}, [f"{here}2 'sliding_window' is not read"]),
        (LLAMA, {"id2label": {"0": "a"}}, [f"{here}2 'id2label' is not read"]),
        (TOWERS, {"a": {"window": 3}},
         ["E215 net.yaml:6:40 'window' is 3 in one place and 4096 in another"]),
        (OLD_TOWER, {"a": {"window": 3}, "b": {}},
         ["E215 net.yaml:6:40 'window' is 3 in one place and 4096 in another"]),
        (LLAMA, {"moe": {"top_k": 2}}, [f"{here}2 'moe' is not read"]),
        (LLAMA, {"hidden_size": "8"},
         ["E209 config.json:1:2 parameter 'hidden_size': takes an integer, not '8'"]),
        (LLAMA + SECTION, {"model_type": "mistral", "other": 1},
         [f"{here}2 model_type is 'mistral', and net builds 'llama'"]),
        (LLAMA + SECTION, {"architectures": ["LlamaModel", "BertModel"]},
         [f"{here}2 there is no model_type, and architectures are ['LlamaModel', 'BertModel'],"
          " and net builds 'llama'"]),
        (LLAMA + SECTION.replace("model_type: llama", "model_type: [llama, vicuna]"),
         {"model_type": "mistral"},
         [f"{here}2 model_type is 'mistral', and net builds 'llama' or 'vicuna'"]),
        (LLAMA + SECTION, {"model_type": 5}, [f"{here}2 model_type is 5, and net builds 'llama'"]),
        (LLAMA + SECTION, {"hidden_act": "gelu"},
         [f"{here}2 'hidden_act' is 'gelu', and net builds 'silu' or 'swish' only"]),
        (LLAMA + SECTION, {"is_decoder": 1},
         [f"{here}2 'is_decoder' is 1, and net builds true only"]),
        ((LLAMA + SECTION).replace("10000.0, is_decoder: true", "10000.0, is_decoder: false"), {},
         [f"{here}1 'is_decoder' is left out, which means false, and net builds true only"]),
        (LLAMA + SECTION, {"rope_parameters": {**rope, "rope_type": "yarn", "factor": 4.0}},
         [f"{here}45 'rope_parameters.rope_type' is 'yarn', and net builds 'default' only",
          f"{here}66 'rope_parameters.factor' is not read"]),
        (LLAMA + SECTION, {"rope_parameters": 3}, [f"{here}2 'rope_parameters' is not read"]),
        (LLAMA + SECTION, {"rope_theta": 3, "rope_parameters": {"rope_theta": 4}},
         [f"{here}2 'rope_theta' is 4 in one place and 3 in another"]),
        (LLAMA + SECTION, {"depth": 2, "layer_types": ["full"]},
         [f"{here}14 'depth' is 2 in one place and 1 in another"]),
        (LLAMA + SECTION, {"layer_types": 2}, [f"{here}2 'layer_types' has no length: it is 2"]),
        (LLAMA + SECTION, {"hidden_sise": 8}, [f"{here}2 'hidden_sise' is not read"]),
        (LLAMA + SECTION, {"rope_parameters.rope_theta": 1, "rope_parameters": {"rope_theta": 2}},
         ["E102 config.json:1:55 two keys are both called 'rope_parameters.rope_theta'"]),
        (REFUSING, {"window": 1}, [f"{here}2 'window' is 1, which net does not build"]),
        (CLIP, {"text_config": {"hidden_size": 8, "model_type": "t5"}},
         [f"{here}36 'text_config.model_type' is 't5', and net builds 'clip_text_model' only"]),
        (CLIP, {"text_config": {"hidden_size": 8, "top_k": 3}},
         [f"{here}36 'text_config.top_k' is not read"]),
    ]  # fmt: skip
    wrong: list[str] = []
    for text, given, expected in rows:
        found = told(text, given, tmp_path)
        if found != expected:
            wrong.append(f"{given}: {found}")
    assert not wrong, "\n".join(wrong)


def test_quantized_weights_are_not_passed_over(tmp_path: Path) -> None:
    """No hint says that the key may be ignored: the tensors are packed."""
    with pytest.raises(SpecError) as caught:
        spec_of(LLAMA, {"quantization_config": {"quant_method": "gptq", "bits": 4}}, tmp_path)
    hint = caught.value.problems[0].hint
    assert hint == "its weights are quantized: save it dequantized, without this key"


def test_wrong_names_of_labels(tmp_path: Path) -> None:
    one = {"id2label": {"0": "a"}}
    numbers = "'id2label' has to name the labels 0, 1, 2, … and no others"
    alone = "'label2id' is there without 'id2label'"
    other = "'label2id' is not 'id2label' the other way round"
    twice = "'num_labels' is 1 in one place and"
    old = "'_num_labels' counts labels that neither 'id2label' nor 'num_labels' has"
    rows: list[tuple[dict[str, Any], str]] = [
        ({"id2label": {}}, f"2 {numbers}"),
        ({"id2label": ["a", "b"]}, f"2 {numbers}"),
        ({"id2label": {"0": "a", "2": "b"}}, f"25 {numbers}"),
        ({"id2label": {"1": "a", "2": "b"}}, f"25 {numbers}"),
        ({"id2label": {"0": "a", "01": "b"}}, f"25 {numbers}"),
        ({"id2label": {"0": "a", "x": "b"}}, f"25 {numbers}"),
        ({"id2label": {"0": "a", "1": "a"}}, "25 two labels are called 'a'"),
        ({"id2label": {"0": "a", "1": " "}}, "25 ' ' is no name of a label"),
        ({"id2label": {"0": 3}}, "15 3 is no name of a label"),
        ({"id2label": {"0": None}}, "15 null is no name of a label"),
        ({"id2label": {"0": "\u202ea"}}, "15 '\\u202ea' is no name of a label"),
        ({"num_labels": 3, **one}, f"2 {twice} 3 in another"),
        ({"num_labels": True, **one}, f"2 {twice} true in another"),
        ({"_num_labels": 3, **one}, f"2 {twice} 3 in another"),
        ({"_num_labels": 3}, f"2 {old}"),
        ({"label2id": {"a": 0, "b": 1}}, f"2 {alone}"),
        ({"label2id": {"LABEL_0": 0}, "num_labels": 10**9}, f"2 {alone}"),
        ({"label2id": {"b": 0}, **one}, f"2 {other}"),
        ({"label2id": {"a": 1}, **one}, f"2 {other}"),
        ({"label2id": 3, **one}, f"2 {other}"),
        ({"label2id": {"LABEL_0": 0, "LABEL_1": 1}, **one}, f"2 {other}"),
    ]
    wrong: list[str] = []
    for given, expected in rows:
        found = told(LLAMA + SECTION, given, tmp_path)
        if found != [f"E215 config.json:1:{expected}"]:
            wrong.append(f"{given}: {found}")
    assert not wrong, "\n".join(wrong)


def test_names_of_labels_belong_to_the_number_that_they_come_with(tmp_path: Path) -> None:
    given = {"id2label": {"1": "yes", "0": "no", "2": "maybe"}}
    spec = spec_of(LLAMA + SECTION, given, tmp_path)
    task = spec.architecture.task
    assert task is not None and task.labels == ["no", "yes", "maybe"]
    assert spec.labels == ("no", "yes", "maybe")
    assert spec.with_params(hidden_size=8).labels == spec.labels
    assert spec.with_params(num_labels=4).labels == ()
    made_up = spec_of(LLAMA + SECTION, {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, tmp_path)
    assert made_up.labels == ("LABEL_0", "LABEL_1")
    task = made_up.architecture.task
    assert task is not None and task.labels is None  # data may have other names


def test_what_is_not_read_is_listed_whole(tmp_path: Path) -> None:
    keys = ["architectures", "dtype", "transformers_version", "use_cache", "num_beams", "top_k"]
    keys += ["eos_token_id", "return_dict", "output_attentions", "pretraining_tp", "vision_config"]
    keys += ["output_past", "xla_device", "unsloth_version", "cache_implementation"]  # of old files
    spec = spec_of(LLAMA + SECTION, dict.fromkeys(keys, 1), tmp_path)
    assert spec.ignored == tuple(keys) == spec.with_params(depth=2).ignored


def test_the_hints_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("config.json")

    def hint(text_or_name: str, given: Any) -> str:
        path.write_text(json.dumps(given), encoding="utf-8")
        with pytest.raises(SpecError) as caught:
            (loads if "\n" in text_or_name else load)(text_or_name, config=path)
        return caught.value.hint

    assert hint("bert", {"gate": 1}) == (
        "if it does not matter to bert, add it to config.ignore of a spec that extends bert"
    )
    Path("mine.yaml").write_text("archspec: 1\nextends: bert\nconfig: {ignore: [gate]}\n")
    spec = load("mine.yaml", config=path)
    assert spec.ignored == ("gate",) and spec.architecture.config
    assert {"gate", "pooler_type"} <= set(spec.architecture.config.ignore)  # the parent's, too
    assert hint("mine.yaml", {"gates": 1, "hidden_siz": 2}).endswith(
        "add it to config.ignore of the spec"
    )
    assert hint("bert", {"hidden_siz": 2}).startswith("did you mean 'hidden_size'? if it")
    rope = "config: {read: {rope_theta: rope_parameters.rope_theta}}"
    given = {"rope_parameters": {"rope_theta": 1.0}}
    assert hint(LLAMA, given) == f"to take it, write {rope} in the spec"
    assert loads(f"{LLAMA}{rope}\n", config=path).values["rope_theta"] == 1.0
    assert hint(LLAMA, {"id2label": {"0": "a"}}) == (
        "to take it, write config: {read: {num_labels: len(id2label)}} in the spec"
    )
    taken = LLAMA + "config: {read: {num_labels: len(id2label)}}\n"
    assert loads(taken, config=path).values["num_labels"] == 1
    bert = {"model_type": "bert"}
    assert hint(LLAMA, bert).startswith(
        "packaged specs of it: bert, bert-mlm, bert-model, bert-question-answering"
    )
    assert loads(LLAMA + "config: {model_type: bert}\n", config=path)
    bert["architectures"] = ["BertForMaskedLM"]  # type: ignore[assignment]
    assert hint("resnet18", bert) == "packaged specs of it: bert-mlm"
    assert hint("bert", {"model_type": "xlnet"}) == "no packaged spec builds that"


def test_files_of_others() -> None:
    spec = load("bert", config=CONFIGS / "id2label-seven.json")
    assert spec.values["num_labels"] == 7 and spec.labels == tuple(f"LABEL_{i}" for i in range(7))
    refused = {
        "of-distilbert": ":11:3 model_type is 'distilbert', and bert builds 'bert'",
        "of-roberta": ":17:3 model_type is 'roberta', and bert builds 'bert'",
        "old-num-labels": ":14:3 'num_labels' is 5 in one place and 2 in another",
    }
    for name, expected in refused.items():
        with pytest.raises(SpecError) as caught:
            load("bert", config=CONFIGS / f"{name}.json")
        found = [line_of(problem) for problem in caught.value.problems]
        assert found == [f"E215 {name}.json{expected}"]


def test_packaged_specs(tmp_path: Path) -> None:
    def spec(name: str, **given: Any) -> Spec:
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"model_type": "bert", **given}), encoding="utf-8")
        return load(name, config=path)

    # What a file leaves out is BertConfig's, whatever the spec's own size.
    assert spec("minilm-l6").values == load("bert-model").values
    assert spec("minilm-l6", hidden_size=384).values["hidden_size"] == 384
    assert spec("bert-mlm", problem_type="regression", id2label={"0": "a"}).ignored
    for name, given in [
        ("bert-mlm", {"tie_word_embeddings": False}),
        ("bert", {"problem_type": "multi_label_classification"}),
        ("bert-model", {"is_decoder": True}),
        ("minilm-l6", {"position_embedding_type": "relative_key"}),
        ("bert", {"add_cross_attention": True}),
        ("bert", {"embedding_size": 8}),
    ]:
        with pytest.raises(SpecError) as caught:
            spec(name, **given)
        assert [p.code for p in caught.value.problems] == ["E215"], name


def test_a_child_adds_to_the_section_and_takes_from_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(LLAMA + SECTION, encoding="utf-8")
    child = tmp_path / "child.yaml"
    child.write_text(
        "archspec: 1\nextends: base.yaml\nremove: [config.require.rope_parameters.rope_type]\n"
        "config: {model_type: mine, read: {depth: layers}, require: {hidden_act: gelu}, "
        "ignore: [gate, hidden_act, rope_parameters]}\n",
        encoding="utf-8",
    )
    config = load(child).architecture.config
    assert config is not None and config.model_dump() == {
        "model_type": ["mine"],
        "architectures": [],
        "read": {
            "num_labels": ["len(id2label)"],
            "depth": ["layers"],
            "rope_theta": ["rope_parameters.rope_theta", "rope_theta"],
        },
        "require": {"hidden_act": "gelu", "is_decoder": True},
        "defaults": {"rope_theta": 10000.0, "is_decoder": True},
        "if_null": {},
        "refuse": {},
        "ignore": ["pretraining_tp", "vision_config", "gate", "hidden_act", "rope_parameters"],
    }
    path = tmp_path / "config.json"
    path.write_text('{"rope_parameters": {"rope_theta": 5.0, "x": 1}, "layers": 3, "gate": 2}')
    spec = load(child, config=path)
    assert (spec.values["rope_theta"], spec.values["depth"]) == (5.0, 3)
    assert spec.ignored == ("rope_parameters.x", "gate")
    path.write_text('{"hidden_act": "silu"}')  # what is required is not ignored
    with pytest.raises(SpecError, match="'hidden_act' is 'silu', and child builds 'gelu' only"):
        load(child, config=path)


def test_the_section_itself_is_checked(tmp_path: Path) -> None:
    rows = [
        ("{read: {hiden_size: x}}", "E208 net.yaml:15:17 no parameter 'hiden_size'"),
        ("{read: {depth: 'max(x)'}}", "E202 net.yaml:15:24 'max(x)' is no key of a file"),
        ("{read: {depth: [x, 'a..b']}}", "E202 net.yaml:15:28 'a..b' is no key of a file"),
        ("{read: {depth: []}}", "E202 net.yaml:15:24 'depth': must not be empty"),
        ("{defaults: {gate: 1}}", "E213 net.yaml:15:21 'gate' is neither read nor required"),
        (
            "{read: {depth: len(xs)}, defaults: {depth: 2}}",
            "E213 net.yaml:15:45 'depth' is neither read nor required",
        ),
        (
            "{read: {depth: len(xs)}, defaults: {xs: {'0': a}}}",
            "E209 net.yaml:15:49 'xs' is counted: its default is a number",
        ),
        (
            "{defaults: {depth: {a: 1}}}",
            "E209 net.yaml:15:28 the default of 'depth' cannot be a mapping",
        ),
        ("{if_null: {gate: 1}}", "E213 net.yaml:15:20 'gate' is not read"),
        ("{refuse: {gate: 1}}", "E213 net.yaml:15:19 'gate' is not read"),
        ("{ignored: [x]}", "E201 net.yaml:15:10 unknown key 'ignored'"),
        ("{ignore: x}", "E202 net.yaml:15:18 'ignore': expected a list"),
        ("{model_type: 3}", "E202 net.yaml:15:22 'model_type': expected a list"),
    ]
    path = tmp_path / "config.json"
    path.write_text('{"x": 1}', encoding="utf-8")
    wrong: list[str] = []
    for section, expected in rows:
        text = f"{LLAMA}config: {section}\n"
        for config in (
            (None, path) if expected.startswith(("E201", "E202 net.yaml:15:18")) else (None,)
        ):
            with pytest.raises(SpecError) as caught:
                loads(text, config=config, name="net.yaml")
            if [*map(line_of, caught.value.problems)] != [expected]:
                wrong.append(f"{section}: {[*map(line_of, caught.value.problems)]}")
    assert not wrong, "\n".join(wrong)
    with pytest.raises(SpecError, match="null means the default, and there is none"):
        loads(LLAMA.replace("depth: 1", "depth: {type: int, nullable: true}"), depth=1)


def test_what_no_json_file_may_hold(tmp_path: Path) -> None:
    deep = "[" * 100_000
    rows: list[tuple[bytes, str]] = [
        (b"", "E106: the file is empty"),
        (b"\xef\xbb\xbf[1]", "E106 config.json:1:1: not a JSON object"),
        (b'{\n "a": "\xe9"}', "E106 config.json:2:8: not UTF-8 text"),
        ('{"a": 1}'.encode("utf-16"), "E106: the text is UTF-16, not UTF-8"),
        (b"[1]", "E106 config.json:1:1: not a JSON object"),
        (b'{"a": 1,\n "b": {"c": 1,\n "c": 2}}', "E102 config.json:3:2 the key 'c' occurs twice"),
        (b'{"a": 1, "\\u0061": 2}', "E102 config.json:1:10 the key 'a' occurs twice"),
        (b'{"a": NaN}', "E106 config.json:1:7: not JSON: NaN"),
        (b'{"a": [1, -Infinity]}', "E106 config.json:1:11: not JSON: -Infinity"),
        (b'{"a": 1e999}', "E106 config.json:1:7: a number that is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "E106 config.json:1:7: a number that is too large"),
        (b'{"a": "\\ud800"}', "E106 config.json:1:7: half a surrogate pair is no text"),
        (deep.encode(), "E106 config.json:1:65: nested more than 64 levels deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65,
         "E106 config.json:1:321: nested more than 64 levels deep"),
        (b'{"a": }', "E106 config.json:1:7: not JSON: expecting value"),
    ]  # fmt: skip
    path = tmp_path / "config.json"
    wrong: list[str] = []
    for text, expected in rows:
        path.write_bytes(text)
        with pytest.raises(SpecError) as caught:
            json_file.read(path)
        found = [line_of(problem).replace(f" {path}", "") for problem in caught.value.problems]
        if found != [expected]:
            wrong.append(f"{text[:40]!r}: {found}")
    assert not wrong, "\n".join(wrong)
    path.write_text('\ufeff{"a b": {"\\"": [{"c": 1}, {"c": "\\ud83d\\ude00"}]}}', encoding="utf-8")
    file = json_file.read(path)
    assert file.data == {"a b": {'"': [{"c": 1}, {"c": "😀"}]}}
    assert [file.place(p).column for p in (("a b",), ("a b", '"'), ("a b", '"', 1, "c"))] == [
        2,
        10,
        28,
    ]
