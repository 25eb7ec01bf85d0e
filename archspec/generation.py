"""``generate``: the tokens that a language model adds to a prompt, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archspec.building.built_specs import spec_of
from archspec.errors import Problem, UsageError, listing
from archspec.freezing.modes import evaluating
from archspec.lang.checks.calls import returns_names
from archspec.lang.expr.evaluate import evaluate
from archspec.lang.tree import BlockNode

MAX_NEW_TOKENS = 1_000_000


def generate(
    model: nn.Module,
    input_ids: Tensor,
    max_new_tokens: int,
    *,
    decoder_input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    eos_token_id: int | Sequence[int] | None = None,
    pad_token_id: int | None = None,
) -> Tensor:
    """Continue prompts with a language model that ``build`` has made.

    The model takes ``input_ids`` and returns ``logits``, alone or among other outputs. An output
    with the name of an optional input is a cache: each step is given what the one before returned,
    and only the new token. ``attention_mask``, ``position_ids`` and ``logits_to_keep`` are given to
    a model that has such inputs. It runs in inference mode, and is left in the mode that it was in.

    A model with the methods ``encode`` and ``decode`` has an encoder. ``encode`` takes the input
    once; ``decode`` takes tokens and what ``encode`` returned, and its caches, as said above of the
    model. An ``attention_mask`` is the encoder's, and is given to both.

    Args:
        model: on any device; ``input_ids`` are moved to it.
        input_ids: int64 [batch, prompt]; with an encoder, what it takes: tokens, or the features of
            sound.
        max_new_tokens: how many tokens are added at most.
        decoder_input_ids: int64 [batch, prompt], with an encoder: the tokens to begin with, such as
            the one that starts a text.
        attention_mask: [batch, prompt], 0 for padding, which stands on the left; with an encoder,
            of its tokens, and padding may stand on either side.
        temperature: 0 takes the most probable token; otherwise tokens are drawn, with logits
            divided by it.
        top_k: draw among so many of the most probable tokens.
        top_p: draw among the most probable tokens that have this probability together.
        seed: of the draws; left out, they come from PyTorch's global generator.
        eos_token_id: the token, or tokens, that end a row.
        pad_token_id: what follows in a row that has ended; left out, the first of ``eos_token_id``.

    Returns:
        The prompts (with an encoder, ``decoder_input_ids``) and the new tokens, int64
        [batch, prompt + new]; it ends where all rows have.

    Raises:
        UsageError: E801 for a model that was not built from a spec, that has no such inputs and
            outputs, and for arguments that make no sense.

    Example:
        >>> import archspec
        >>> sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
        >>> sizes |= {"num_hidden_layers": 1, "vocab_size": 9}
        >>> model = archspec.build("llama", device="cpu", seed=0, **sizes)
        >>> archspec.generate(model, torch.tensor([[1, 2, 3]]), 4).shape
        torch.Size([1, 7])
    """
    _check_options(max_new_tokens, temperature, top_k, top_p)
    decoder, prompt = _Decoder(model), input_ids
    if decoder.has_encoder:
        prompt = _prompt_of_decoder(input_ids, decoder_input_ids, attention_mask)
    elif decoder_input_ids is not None:
        raise _usage(f"{decoder.name} has no encoder: give input_ids alone")
    else:
        _check_prompt("input_ids", input_ids, attention_mask)
    decoder.check_range(prompt)
    device = next((tensor.device for tensor in model.parameters()), prompt.device)
    ids = prompt.to(device)
    ends = [eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id or ())
    eos = torch.tensor(ends, device=device)
    pad = ends[0] if pad_token_id is None and ends else pad_token_id or 0
    running = torch.ones(len(ids), dtype=torch.bool, device=device)
    drawn = None if seed is None else torch.Generator(device).manual_seed(seed)
    mask = None
    if attention_mask is not None and not attention_mask.all():
        mask = attention_mask.to(device, torch.int64)
    with torch.inference_mode(), evaluating(model):
        if decoder.has_encoder:
            decoder.encode(input_ids.to(device), mask)
            mask = None
        for _ in range(max_new_tokens):
            logits = decoder.step(ids, mask)
            if temperature == 0:
                token = logits.argmax(-1)
            else:
                chances = _chances(logits / temperature, top_k, top_p)
                token = torch.multinomial(chances, 1, generator=drawn)[:, 0]
            if ends:
                token = torch.where(running, token, pad)
                running &= ~torch.isin(token, eos)
            ids = torch.cat([ids, token[:, None]], 1)
            mask = mask if mask is None else nn.functional.pad(mask, (0, 1), value=1)
            if ends and not running.any():
                break
    return ids.clone()


class _Decoder:
    """A model that is given rows of tokens, and returns the logits of the next ones.

    Attributes:
        call: the model, or its method ``decode``.
        encoded: what ``decode`` is given of the encoder: by position, and by name.
    """

    def __init__(self, model: nn.Module) -> None:
        spec = spec_of(model)
        if spec is None:
            raise _usage("generate takes a model that archspec.build has made")
        root = spec.tree.blocks[spec.architecture.model]
        self.has_encoder = {"encode", "decode"} <= root.methods.keys()
        entry = root.methods["decode"] if self.has_encoder else root
        self.values, self.name = spec.values, spec.name
        self.model: Any = model
        self.call: Any = self.model.decode if self.has_encoder else model
        self.inputs, self.encoding = entry.inputs, root.methods.get("encode")
        self.outputs = returns_names(entry) or tuple(entry.outputs)
        optional = [n for n, contract in entry.inputs.items() if contract.declared.optional]
        self.carried = [name for name in self.outputs if name in optional]
        self.cache: dict[str, Any] = {}
        self.encoded: tuple[tuple[Any, ...], dict[str, Any]] = (), {}
        self._check(entry)

    def _check(self, entry: BlockNode) -> None:
        required = [n for n, one in entry.inputs.items() if not one.declared.may_be_left_out]
        if self.encoding is not None and self.has_encoder:
            one = [n for n, c in self.encoding.inputs.items() if not c.declared.may_be_left_out]
            if (len(one), len(required)) != (1, 2):
                has = f"encode needs {listing(one) or 'nothing'}, decode {listing(required)}"
                message = f"generate calls encode(input) and decode(tokens, memory) of {self.name}"
                raise _usage(message, has)
        if not self.has_encoder and required != ["input_ids"]:
            has = listing(required) or "none"
            hint = f"it needs: {has}"
            if "decoder_input_ids" in required:
                hint += "; a model with an encoder has the methods encode and decode"
            raise _usage(f"{self.name} does not take input_ids alone", hint)
        below = entry.inputs[required[0]].below
        self.vocabulary = None if below is None else evaluate(below, self.values)
        if self.outputs and "logits" not in self.outputs and len(self.outputs) > 1:
            raise _usage(
                f"{self.name} does not return logits", f"it returns: {listing(self.outputs)}"
            )

    def encode(self, given: Tensor, mask: Tensor | None) -> None:
        """Let the encoder run, whose result each step is given."""
        assert self.encoding is not None
        below = next(iter(self.encoding.inputs.values())).below
        if below is not None:
            self._check_range("input_ids", given, evaluate(below, self.values))
        by_name = {} if mask is None else {"attention_mask": mask}
        for inputs in (self.encoding.inputs, self.inputs):
            if mask is not None and "attention_mask" not in inputs:
                raise _usage(f"{self.name} takes no attention_mask: give inputs of one length")
        self.encoded = (self.model.encode(given, **by_name),), by_name

    def check_range(self, ids: Tensor) -> None:
        """Raise if a token is none of the vocabulary, which ends a process on a GPU."""
        name = "decoder_input_ids" if self.has_encoder else "input_ids"
        self._check_range(name, ids, self.vocabulary)

    def _check_range(self, name: str, ids: Tensor, vocabulary: Any) -> None:
        least, most = map(int, ids.aminmax())
        if least < 0 or (isinstance(vocabulary, int) and most >= vocabulary):
            wrong = least if least < 0 else most
            limit = f"0 to {vocabulary - 1:,}" if isinstance(vocabulary, int) else "≥ 0"
            raise _usage(f"{name} has {wrong:,}, and the tokens of {self.name} are {limit}")

    def step(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """The logits of the next token, [batch, vocabulary]."""
        new = ids[:, -1:] if self.cache else ids
        encoded, by_name = self.encoded
        given: dict[str, Any] = {**self.cache, **by_name}
        if mask is not None:
            if "attention_mask" not in self.inputs:
                raise _usage(f"{self.name} takes no attention_mask: give prompts of one length")
            given["attention_mask"] = mask
            if "position_ids" in self.inputs:
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                given["position_ids"] = positions[:, -new.shape[1] :]
        if "logits_to_keep" in self.inputs:
            given["logits_to_keep"] = 1
        found = self._named(self.call(new, *encoded, **given))
        self.cache = {name: found[name] for name in self.carried}
        return found["logits"][:, -1]

    def _named(self, result: Any) -> Mapping[str, Any]:
        if isinstance(result, Mapping):
            return result
        if isinstance(result, Tensor):
            return {"logits": result}
        return dict(zip(self.outputs, result, strict=True))


def _chances(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """The probabilities of the tokens that are drawn among."""
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1]))[0][:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p is not None and top_p < 1:
        ascending, order = logits.sort(-1)
        rare = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
        rare[:, -1] = False  # one is left
        logits = logits.masked_fill(rare.scatter(1, order, rare), -torch.inf)
    return logits.softmax(-1)


def _check_prompt(name: str, ids: Any, mask: Any = None) -> None:
    for one, given in ((name, ids), ("attention_mask", ids if mask is None else mask)):
        if not isinstance(given, Tensor):
            raise _usage(f"{one} is a tensor [batch, prompt], not of type {type(given).__name__}")
    if ids.ndim != 2 or ids.dtype != torch.int64 or not ids.numel():
        raise _usage(f"{name} are int64 [batch, prompt], not {ids.dtype} {list(ids.shape)}")
    if mask is not None and mask.shape != ids.shape:
        raise _usage(f"attention_mask has the shape of {name}, not {list(mask.shape)}")
    if mask is not None and not mask[:, -1].all():
        hint = "put padding on the left: the next token follows the last one"
        raise _usage("a prompt ends in padding", hint)


def _prompt_of_decoder(given: Any, ids: Any, mask: Any) -> Tensor:
    """The tokens that a decoder begins with, for what the encoder is given."""
    if ids is None:
        hint = (
            "the token that starts a text, such as decoder_input_ids=torch.zeros(batch, 1).long()"
        )
        raise _usage("a model with an encoder needs decoder_input_ids", hint)
    _check_prompt("decoder_input_ids", ids)
    for name, one in (("input_ids", given), ("attention_mask", given if mask is None else mask)):
        if not isinstance(one, Tensor) or not one.ndim or len(one) != len(ids):
            raise _usage(f"{name} has {len(ids)} rows, as decoder_input_ids")
    if mask is not None and mask.shape != given.shape:
        raise _usage(f"attention_mask has the shape of input_ids, not {list(mask.shape)}")
    return ids


def _check_options(most: Any, temperature: float, top_k: int | None, top_p: float | None) -> None:
    if type(most) is not int or not 0 <= most <= MAX_NEW_TOKENS:
        raise _usage(f"max_new_tokens is a whole number of 0 to {MAX_NEW_TOKENS:,}, not {most}")
    if not 0 <= temperature < float("inf"):
        raise _usage(f"the temperature is a number of 0 or more, not {temperature}")
    if temperature == 0 and (top_k is not None or top_p is not None):
        raise _usage("top_k and top_p choose among tokens to draw", "give a temperature, such as 1")
    if top_k is not None and top_k < 1:
        raise _usage(f"top_k is 1 or more, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise _usage(f"top_p is above 0 and at most 1, not {top_p}")


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
