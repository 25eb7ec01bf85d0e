"""CLIP and SigLIP of transformers."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import torch
import transformers

from tests.zoo.reference import Reference, Small, image, padding_mask, tokens

END = 29


def _tower(random: Random) -> dict[str, Any]:
    heads = random.randint(1, 3)
    return {
        "hidden_size": heads * random.randint(2, 5),
        "num_attention_heads": heads,
        "num_hidden_layers": random.randint(1, 3),
        "intermediate_size": random.randint(3, 20),
    }


def _small(model: str, acts: list[str], random: Random) -> Small:
    cls: Any = getattr(transformers, model)
    act, vision = random.choice(acts), _tower(random)
    vision |= {"image_size": 24, "patch_size": random.choice([6, 8, 12]), "hidden_act": act}
    text = {**_tower(random), "vocab_size": 30, "max_position_embeddings": 12, "hidden_act": act}
    if model == "CLIPModel":
        text["eos_token_id"] = random.choice([2, END])
        config = cls.config_class(text_config=text, vision_config=vision, projection_dim=7)
    else:
        text["projection_size"] = vision["hidden_size"]
        config = cls.config_class(text_config=text, vision_config=vision)
    ids, mask = tokens(random, END - 3, 11) + 3, padding_mask(random, 11)
    ids[torch.arange(len(ids)), mask.sum(1) - 1] = END
    inputs = {
        "input_ids": ids * mask,
        "pixel_values": image(random, 24),
        "attention_mask": mask,
    }
    return Small(cls(config), config=config.to_dict(), kwargs=inputs)


def _logits(output: Any) -> Any:
    return output.logits_per_image, output.logits_per_text


def _reference(model: str, acts: list[str]) -> Reference:
    cls: Any = getattr(transformers, model)
    return Reference(
        lambda: cls(cls.config_class()),
        partial(_small, model, acts),
        layout="transformers",
        outputs=_logits,
        dynamic=("texts", "images", "seq"),
    )


REFERENCES = {
    "clip": _reference("CLIPModel", ["quick_gelu", "gelu"]),
    "siglip": _reference("SiglipModel", ["gelu_pytorch_tanh", "gelu"]),
}
