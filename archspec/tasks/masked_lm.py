"""``masked-lm``: the tokens of a text that are masked."""

from __future__ import annotations

from archspec.tasks.language_model import LanguageModel

MASKED = 0.15
"""The share of tokens that are predicted."""
AS_MASK, AS_RANDOM = 0.8, 0.1
"""The shares of them that the model sees as a mask, and as any token; it sees the others."""


class MaskedLm(LanguageModel):
    """Cross entropy of the tokens that are masked, as in BERT (Devlin et al. 2018,
    arXiv:1810.04805): ``labels`` are ``IGNORED`` for all others.
    """

    kind = "masked-lm"
