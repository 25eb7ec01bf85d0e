"""T5, Whisper and wav2vec 2.0 of transformers."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from tests.zoo.reference import Reference, Small, padding_mask, tokens


def _t5(random: Random) -> Small:
    config: Any = T5Config
    config = config(
        vocab_size=30,
        d_model=random.randint(4, 20),
        d_kv=random.randint(2, 6),
        d_ff=random.randint(4, 20),
        num_layers=random.randint(1, 3),
        num_decoder_layers=random.randint(1, 3),
        num_heads=random.randint(1, 3),
        relative_attention_num_buckets=random.choice([4, 8, 32]),
        relative_attention_max_distance=random.choice([10, 128]),
        feed_forward_proj=random.choice(["relu", "gated-gelu"]),
        tie_word_embeddings=random.choice([True, False]),  # whether the outputs are scaled
    )
    inputs = {
        "input_ids": tokens(random, 30, 11),
        "decoder_input_ids": tokens(random, 30, 6),
        "attention_mask": padding_mask(random, 11),
        "decoder_attention_mask": padding_mask(random, 6),
    }
    return Small(T5ForConditionalGeneration(config), config=config.to_dict(), kwargs=inputs)


def _bart(random: Random) -> Small:
    heads = [random.randint(1, 3) for _ in range(2)]
    config = BartConfig(
        vocab_size=30,
        d_model=heads[0] * heads[1] * random.randint(2, 4),
        encoder_layers=random.randint(1, 3),
        encoder_attention_heads=heads[0],
        encoder_ffn_dim=random.randint(4, 20),
        decoder_layers=random.randint(1, 3),
        decoder_attention_heads=heads[1],
        decoder_ffn_dim=random.randint(4, 20),
        activation_function=random.choice(["gelu", "relu"]),
        max_position_embeddings=random.randint(11, 15),
        scale_embedding=random.choice([True, False]),
    )
    inputs = {
        "input_ids": tokens(random, 30, 11),
        "decoder_input_ids": tokens(random, 30, 6),
        "attention_mask": padding_mask(random, 11),
        "decoder_attention_mask": padding_mask(random, 6),
    }
    return Small(BartForConditionalGeneration(config), config=config.to_dict(), kwargs=inputs)


def _trained_whisper(config: WhisperConfig) -> WhisperForConditionalGeneration:
    """With gradients for the positions of the encoder, too, which are fixed in theirs."""
    model = WhisperForConditionalGeneration(config)
    model.get_parameter("model.encoder.embed_positions.weight").requires_grad_(True)
    return model


def _whisper(random: Random) -> Small:
    heads, layers = random.randint(1, 3), partial(random.randint, 1, 3)
    config = WhisperConfig(
        vocab_size=30,
        num_mel_bins=random.randint(4, 8),
        d_model=heads * 2 * random.randint(2, 4),
        encoder_layers=layers(),
        encoder_attention_heads=heads,
        encoder_ffn_dim=random.randint(4, 20),
        decoder_layers=layers(),
        decoder_attention_heads=heads,
        decoder_ffn_dim=random.randint(4, 20),
        max_source_positions=random.randint(6, 12),
        max_target_positions=random.randint(7, 12),
        pad_token_id=0,
    )
    generator = torch.Generator().manual_seed(random.getrandbits(32))
    shape = (3, config.num_mel_bins, 2 * config.max_source_positions)
    inputs = {
        "input_features": torch.randn(shape, generator=generator),
        "decoder_input_ids": tokens(random, 30, 6),
    }
    return Small(_trained_whisper(config), config=config.to_dict(), kwargs=inputs)


def _wav2vec2(random: Random) -> Small:
    heads, groups = random.randint(1, 3), random.choice([1, 2])
    stable = random.choice([True, False])
    config = Wav2Vec2Config(
        vocab_size=20,
        hidden_size=heads * groups * random.randint(2, 4),
        num_hidden_layers=random.randint(1, 3),
        num_attention_heads=heads,
        intermediate_size=random.randint(4, 20),
        conv_dim=[random.randint(2, 6) for _ in range(3)],
        conv_stride=[5, 2, 2],
        conv_kernel=[10, 3, 2],
        conv_bias=stable,
        feat_extract_norm="layer" if stable else "group",
        do_stable_layer_norm=stable,
        num_conv_pos_embeddings=random.randint(3, 8),
        num_conv_pos_embedding_groups=groups,
    )
    generator = torch.Generator().manual_seed(random.getrandbits(32))
    mask = (torch.arange(400) < torch.tensor([400, 330, 150])[:, None]).long()
    inputs = {"input_values": torch.randn(3, 400, generator=generator), "attention_mask": mask}
    return Small(Wav2Vec2ForCTC(config), config=config.to_dict(), kwargs=inputs)


def _logits_and_memory(output: Any) -> Any:
    return output.logits, output.encoder_last_hidden_state


REFERENCES = {
    "bart": Reference(
        lambda: BartForConditionalGeneration(BartConfig()),
        _bart,
        outputs=_logits_and_memory,
        dynamic=("batch", "source", "target"),
    ),
    "t5": Reference(
        lambda: T5ForConditionalGeneration(T5Config()),
        _t5,
        layout="transformers",
        outputs=_logits_and_memory,
        dynamic=("batch", "source", "target"),
    ),
    "whisper": Reference(
        lambda: WhisperForConditionalGeneration(WhisperConfig()),
        _whisper,
        layout="transformers",
        outputs=_logits_and_memory,
        dynamic=("batch", "target"),
    ),
    "wav2vec2": Reference(
        lambda: Wav2Vec2ForCTC(Wav2Vec2Config()),
        _wav2vec2,
        layout="transformers",
        outputs=lambda output: output.logits,
        dynamic=("batch", "samples"),
    ),
}
