"""all-MiniLM-L6-v2, sentences to unit vectors of 384 numbers.

Wang et al. 2020, MiniLM, arXiv:2002.10957; Reimers and Gurevych 2019, Sentence-BERT, arXiv:1908.10084
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    vocab_size: int = 30522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12  # must divide hidden_size
    intermediate_size: int = 1536
    hidden_act: str = "gelu"  # gelu_new is the tanh approximation
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0


class BertEmbeddings(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.word_embeddings = nn.Embedding(
            config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, config.hidden_size
        )
        self.token_type_embeddings = nn.Embedding(
            config.type_vocab_size, config.hidden_size
        )
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(p=config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, *, token_type_ids: Tensor | None = None):
        """input_ids: [batch, seq]; token_type_ids: [batch, seq] or None."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        types = (
            torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        )
        x = (
            self.word_embeddings(input_ids)
            + self.token_type_embeddings(types)
            + self.position_embeddings(positions)
        )
        return self.dropout(self.LayerNorm(x))


class BertSelfAttention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.num_attention_heads = config.num_attention_heads
        self.attention_probs_dropout_prob = config.attention_probs_dropout_prob
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(p=config.attention_probs_dropout_prob)

    def forward(self, x: Tensor, *, mask: Tensor | None = None):
        """x: [batch, seq, hidden_size]; mask: [batch, 1, 1, seq] or None."""
        q = torch.transpose(
            torch.unflatten(self.query(x), -1, [self.num_attention_heads, -1]), 1, 2
        )
        k = torch.transpose(
            torch.unflatten(self.key(x), -1, [self.num_attention_heads, -1]), 1, 2
        )
        v = torch.transpose(
            torch.unflatten(self.value(x), -1, [self.num_attention_heads, -1]), 1, 2
        )
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.attention_probs_dropout_prob if self.training else 0.0,
        )
        return torch.flatten(torch.transpose(y, 1, 2), 2)


class BertSelfOutput(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(p=config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor):
        """x: [batch, seq, hidden_size]; residual: [batch, seq, hidden_size]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertAttention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.self = BertSelfAttention(config)
        self.output = BertSelfOutput(config)

    def forward(self, x: Tensor, *, mask: Tensor | None = None):
        """x: [batch, seq, hidden_size]; mask: [batch, 1, 1, seq] or None."""
        return self.output(self.self(x, mask=mask), x)


class BertIntermediate(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = nn.GELU(
            approximate="tanh" if config.hidden_act == "gelu_new" else "none"
        )

    def forward(self, x: Tensor):
        """x: [batch, seq, hidden_size]."""
        return self.activation(self.dense(x))


class BertOutput(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(p=config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor):
        """x: [batch, seq, intermediate_size]; residual: [batch, seq, hidden_size]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertLayer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def forward(self, x: Tensor, *, mask: Tensor | None = None):
        """x: [batch, seq, hidden_size]; mask: [batch, 1, 1, seq] or None."""
        x = self.attention(x, mask=mask)
        return self.output(self.intermediate(x), x)


class BertEncoder(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.layer = nn.ModuleList(
            [BertLayer(config) for _ in range(config.num_hidden_layers)]
        )

    def forward(self, x: Tensor, *, mask: Tensor | None = None):
        """x: [batch, seq, hidden_size]; mask: [batch, 1, 1, seq] or None."""
        for block in self.layer:
            x = block(x, mask=mask)
        return x


class BertPooler(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, x: Tensor):
        """x: [batch, seq, hidden_size]."""
        return self.activation(self.dense(x[:, 0]))


class BertModel(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config)

    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ):
        """
        input_ids: [batch, seq]
        attention_mask: [batch, seq] or None
        token_type_ids: [batch, seq] or None
        """
        mask = None if attention_mask is None else attention_mask[:, None, None, :] != 0
        hidden = self.encoder(
            self.embeddings(input_ids, token_type_ids=token_type_ids), mask=mask
        )
        return hidden, self.pooler(hidden)


@torch.no_grad()
def initialize(
    module: nn.Module,
    name: str,
    config: Config,
    generator: torch.Generator | None = None,
):
    """Give the parameters that a module itself holds their first values."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(
            module.weight, std=config.initializer_range, generator=generator
        )
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    if name == "bert.embeddings.word_embeddings":
        nn.init.zeros_(module.weight[config.pad_token_id])
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


class SentenceEncoder(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.bert = BertModel(config)
        for name, module in self.named_modules():
            initialize(module, name, config)

    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ):
        """
        input_ids: [batch, seq]
        attention_mask: [batch, seq] or None
        token_type_ids: [batch, seq] or None
        """
        hidden, _ = self.bert(
            input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        weights = torch.unsqueeze(mask, -1).to(hidden.dtype)
        mean = torch.sum(hidden * weights, 1) / torch.clamp(
            torch.sum(weights, 1), min=1e-09
        )
        return F.normalize(mean, dim=-1)
