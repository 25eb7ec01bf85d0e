"""The encoders of transformers other than BERT itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import transformers
from transformers import PreTrainedConfig

from tests.zoo.reference import Reference, Small, padding_mask, tokens

Sizes = dict[str, Any]
LENGTH = 11


def _sizes(random: Random) -> Sizes:
    heads, labels = random.randint(1, 4), random.randint(2, 5)
    return {
        "hidden_size": heads * 2 * random.randint(1, 3),
        "num_attention_heads": heads,
        "num_hidden_layers": random.randint(2, 4),
        "intermediate_size": random.randint(3, 20),
        "vocab_size": random.randint(10, 40),
        "max_position_embeddings": random.randint(LENGTH + 2, 20),
        "layer_norm_eps": random.choice([1e-12, 1e-5, 1e-3]),
        "id2label": {i: f"label {i}" for i in range(labels)},
    }


def _bert(random: Random) -> Sizes:
    acts = random.choice(["gelu", "gelu_new"])
    return {**_sizes(random), "type_vocab_size": random.randint(1, 3), "hidden_act": acts}


def _two_labels(random: Random) -> Sizes:
    """For a head of beginnings and ends."""
    return {name: value for name, value in _bert(random).items() if name != "id2label"}


def _distilbert(random: Random) -> Sizes:
    sizes = _sizes(random)
    names = {
        "dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers",
        "hidden_dim": "intermediate_size",
    }  # fmt: skip
    known = ("vocab_size", "max_position_embeddings", "id2label")
    activation = random.choice(["gelu", "relu"])
    named = {ours: sizes[theirs] for ours, theirs in names.items()}
    return {**named, **{name: sizes[name] for name in known}, "activation": activation}


def _electra(random: Random) -> Sizes:
    sizes = _bert(random)
    return {**sizes, "embedding_size": random.choice([sizes["hidden_size"], 6])}


def _albert(random: Random) -> Sizes:
    groups = random.randint(1, 2)
    return {
        **_bert(random),
        "embedding_size": random.randint(3, 8),
        "num_hidden_groups": groups,
        "num_hidden_layers": groups * random.randint(1, 2),
        "inner_group_num": random.randint(1, 2),
    }


def _mpnet(random: Random) -> Sizes:
    return {**_sizes(random), "relative_attention_num_buckets": random.choice([32, 40])}


DEBERTA_V3: Sizes = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


def _deberta(random: Random) -> Sizes:
    return {**_sizes(random), **DEBERTA_V3, "position_buckets": 2 * random.randint(2, 9)}


def _modernbert(random: Random) -> Sizes:
    sizes = _sizes(random)
    biased = ("norm_bias", "attention_bias", "mlp_bias", "classifier_bias")
    return {
        **{name: value for name, value in sizes.items() if name != "layer_norm_eps"},
        **{name: random.random() < 0.5 for name in biased},
        "hidden_size": sizes["num_attention_heads"] * 2 * random.randint(1, 3),
        "pad_token_id": 0,
        "local_attention": 2 * random.randint(1, 4),
        "global_attn_every_n_layers": random.randint(2, 3),
        "norm_eps": random.choice([1e-5, 1e-3]),
        "classifier_pooling": random.choice(["cls", "mean"]),
    }


def _small(
    model: str, sizes: Callable[[Random], Sizes], random: Random, *, has_types: bool
) -> Small:
    cls: Any = getattr(transformers, model)
    config: PreTrainedConfig = cls.config_class(**sizes(random))
    ids, mask = tokens(random, config.vocab_size - 2, LENGTH) + 2, padding_mask(random, LENGTH)
    inputs = {"input_ids": ids.where(mask.bool(), config.pad_token_id), "attention_mask": mask}
    if has_types:
        inputs["token_type_ids"] = tokens(random, config.type_vocab_size, LENGTH)
    return Small(cls(config), config=config.to_dict(), kwargs=inputs)


def _logits(output: Any) -> Any:
    return output.logits


def _hidden(output: Any) -> Any:
    return output.last_hidden_state


def _both(output: Any) -> Any:
    return output.last_hidden_state, output.pooler_output


def _answers(output: Any) -> Any:
    return output.start_logits, output.end_logits


def _reference(
    model: str,
    outputs: Callable[[Any], Any],
    small: Callable[[Random], Sizes],
    *,
    has_types: bool = False,
    **sizes: Any,
) -> Reference:
    cls: Any = getattr(transformers, model)
    return Reference(
        lambda: cls(cls.config_class(**sizes)),
        partial(_small, model, small, has_types=has_types),
        layout="transformers",
        outputs=outputs,
        dynamic=("batch", "seq"),
    )


_of_bert = partial(_reference, small=_bert, has_types=True)
_of_distilbert = partial(_reference, small=_distilbert)
_of_roberta = partial(
    _reference, small=_bert, has_types=True, max_position_embeddings=514, type_vocab_size=1
)
_of_electra = partial(_reference, small=_electra, has_types=True)
_of_albert = partial(
    _reference, small=_albert, has_types=True, hidden_size=768, num_attention_heads=12,
    intermediate_size=3072,
)  # fmt: skip
_of_mpnet = partial(_reference, small=_mpnet, max_position_embeddings=514)
_of_deberta = partial(
    _reference, small=_deberta, hidden_size=768, num_attention_heads=12, num_hidden_layers=12,
    intermediate_size=3072, position_buckets=256, **DEBERTA_V3,
)  # fmt: skip
_of_modernbert = partial(_reference, small=_modernbert)

REFERENCES = {
    "bert-token-classifier": _of_bert("BertForTokenClassification", _logits),
    "bert-question-answering": _of_bert("BertForQuestionAnswering", _answers, small=_two_labels),
    "distilbert": _of_distilbert("DistilBertForSequenceClassification", _logits),
    "distilbert-mlm": _of_distilbert("DistilBertForMaskedLM", _logits),
    "distilbert-model": _of_distilbert("DistilBertModel", _hidden),
    "roberta": _of_roberta("RobertaForSequenceClassification", _logits),
    "roberta-mlm": _of_roberta("RobertaForMaskedLM", _logits),
    "roberta-model": _of_roberta("RobertaModel", _both),
    "electra": _of_electra("ElectraForSequenceClassification", _logits),
    "electra-discriminator": _of_electra("ElectraForPreTraining", _logits),
    "electra-mlm": _of_electra("ElectraForMaskedLM", _logits),
    "electra-model": _of_electra("ElectraModel", _hidden),
    "albert": _of_albert("AlbertForSequenceClassification", _logits),
    "albert-mlm": _of_albert("AlbertForMaskedLM", _logits),
    "albert-model": _of_albert("AlbertModel", _both),
    "mpnet": _of_mpnet("MPNetForSequenceClassification", _logits),
    "mpnet-mlm": _of_mpnet("MPNetForMaskedLM", _logits),
    "mpnet-model": _of_mpnet("MPNetModel", _both),
    "deberta-v3": _of_deberta("DebertaV2ForSequenceClassification", _logits),
    "deberta-v3-model": _of_deberta("DebertaV2Model", _hidden),
    "modernbert": _of_modernbert("ModernBertForSequenceClassification", _logits),
    "modernbert-mlm": _of_modernbert("ModernBertForMaskedLM", _logits),
    "modernbert-model": _of_modernbert("ModernBertModel", _hidden),
}
