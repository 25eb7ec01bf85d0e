"""The contract between a spec and files such as Hugging Face's ``config.json``.

A key of the file is read into a parameter, has a value that the spec requires, or says nothing
about the function of the model. Any other key is an error: what it asks for would be left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from archspec.errors import Note, Problem, did_you_mean, shown
from archspec.lang import yaml
from archspec.lang.checker import Checker
from archspec.lang.config_specs import fitting_specs, listed, packaged_of
from archspec.lang.json_file import JsonFile, KeyPath
from archspec.lang.packaged import is_packaged
from archspec.lang.params import Override
from archspec.lang.schema import Architecture, Config

_SOURCE = re.compile(r"(?P<len>len\()?(?P<key>[^\s().]+(?:\.[^\s().]+)*)(?(len)\))")
_LABELS = "id2label"
_OF_LABELS = ("label2id", "num_labels", "_num_labels")
_USUAL_LABELS = 2  # where a file says nothing of labels

# What any file may have, whatever its model: where it comes from, how outputs are returned and
# kept, and how text is generated.
_KNOWN = frozenset(
    """
    _attn_implementation _commit_hash _name_or_path architectures attn_implementation
    chunk_size_feed_forward dtype finetuning_task gradient_checkpointing model_type name_or_path
    output_attentions output_hidden_states output_past output_scores return_dict
    return_dict_in_generate task_specific_params tf_legacy_loss tokenizer_class torch_dtype
    torchscript transformers.js_config transformers_version unsloth_fixed unsloth_version
    use_bfloat16 use_cache use_return_dict xla_device

    bad_words_ids begin_suppress_tokens bos_token_id cache_implementation decoder_start_token_id
    diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size eos_token_id
    exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty
    max_length max_new_tokens min_length min_new_tokens no_repeat_ngram_size num_beam_groups
    num_beams num_return_sequences prefix remove_invalid_values repetition_penalty sep_token_id
    suppress_tokens temperature top_k top_p typical_p
    """.split()
)
# What says nothing as long as it has this value, which it has by default.
_NEUTRAL: dict[str, Any] = {
    "add_cross_attention": False,
    "auto_map": None,
    "cross_attention_hidden_size": None,
    "id2label": None,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "label2id": None,
    "pad_token_id": None,
    "problem_type": None,
    "pruned_heads": {},
    "quantization_config": None,
    "tie_encoder_decoder": False,
}


@dataclass(frozen=True, slots=True)
class Source:
    """A key of the file, or its length."""

    key: str
    is_length: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that are looked at; the names of labels stand in several."""
        above, dot, last = self.key.rpartition(".")
        of_labels = _OF_LABELS if self.is_length and last == _LABELS else ()
        return self.key, *(f"{above}{dot}{key}" for key in of_labels)

    @property
    def is_labels(self) -> bool:
        return len(self.keys) > 1


def sources_of(config: Config, param: str) -> list[Source]:
    """Where a parameter is read from; without those that ``check_config`` refuses."""
    texts = config.read.get(param, [param])
    found = [_SOURCE.fullmatch(text) for text in texts]
    return [Source(one["key"], one["len"] is not None) for one in found if one]


# ------------------------------------------------------------------------------------- the section


def check_config(checker: Checker) -> None:
    """Whether ``config`` speaks of parameters that there are, and can be followed."""
    architecture = checker.architecture
    config = architecture.config or Config()
    for param, texts in config.read.items():
        at: yaml.Path = ("config", "read", param)
        if param not in architecture.params and not checker.is_broken(("params", param)):
            hint = did_you_mean(param, architecture.params)
            checker.add("E208", f"no parameter '{param}'", at, key=True, hint=hint)
        for i, text in enumerate(texts):
            if _SOURCE.fullmatch(text) is None:
                place = (*at, i) if checker.document.has((*at, i)) else at
                hint = "write a key such as rope_parameters.rope_theta, or len(id2label)"
                checker.add("E202", f"'{text}' is no key of a file", place, hint=hint)
    read = {source.key for param in architecture.params for source in sources_of(config, param)}
    counted = {s.key for p in architecture.params for s in sources_of(config, p) if s.is_length}
    for name, keys in (("refuse", config.refuse), ("if_null", config.if_null)):
        for key in keys:
            if key not in read:
                at = ("config", name, key)
                hint = did_you_mean(key, read)
                checker.add("E213", f"'{key}' is not read", at, key=True, hint=hint)
    for key, value in config.defaults.items():
        at = ("config", "defaults", key)
        if key in read or key in config.require:
            if key in read:
                _check_default(checker, key, value, key in counted)
            continue
        sources = sources_of(config, key) if key in config.read else []
        hint = did_you_mean(key, [*read, *config.require])
        if sources:
            hint = f"defaults names keys of the file: '{key}' is read from '{sources[0].key}'"
        message = f"'{key}' is neither read nor required"
        checker.add("E213", message, at, key=True, hint=hint)


def _check_default(checker: Checker, key: str, value: object, is_counted: bool) -> None:
    """A default is the value of a parameter; of what is counted, the number."""
    at = ("config", "defaults", key)
    if is_counted and (isinstance(value, bool) or not isinstance(value, int)):
        size = len(cast("list[Any]", value)) if isinstance(value, dict | list) else 2
        hint = f"write defaults: {{{key}: {size}}}"
        checker.add("E209", f"'{key}' is counted: its default is a number", at, hint=hint)
    elif isinstance(value, dict):
        hint = "there are no mappings as values of parameters"
        checker.add("E209", f"the default of '{key}' cannot be a mapping", at, hint=hint)


# ---------------------------------------------------------------------------------------- the file


def overrides_from_config(
    checker: Checker, file: JsonFile, given: Collection[str]
) -> tuple[dict[str, Override], tuple[str, ...]] | None:
    """What a file says of the parameters; what it says beside that is reported.

    Args:
        given: parameters whose values are given in another way, and win.

    Returns:
        Values of parameters, and the keys that say nothing about the function; None if nothing can
        be reported because the file is for another model, or ``config`` is wrong: that is reported.
    """
    reader = _Reader(checker, file)
    if checker.findings.is_broken_below(("config",)) or not reader.fits_model_type():
        return None
    overrides = reader.overrides(given)
    reader.check_required()
    reader.check_refused(given)
    return overrides, tuple(reader.unread())


class _Reader:
    """Holds one file against one spec."""

    def __init__(self, checker: Checker, file: JsonFile) -> None:
        self.checker, self.file = checker, file
        self.spec = checker.document.name
        self.config = checker.architecture.config or Config()
        self.params = list(checker.architecture.params)
        self.paths = self._flat()
        read = [
            key for param in self.params for s in sources_of(self.config, param) for key in s.keys
        ]
        self.used = {*read, *self.config.require}

    def _flat(self) -> dict[str, KeyPath]:
        """The keys of all objects, as dotted text."""
        paths: dict[str, KeyPath] = {}
        waiting: list[tuple[KeyPath, dict[str, Any]]] = [((), self.file.data)]
        while waiting:
            above, values = waiting.pop()
            for key, value in values.items():
                path = (*above, key)
                text = ".".join(map(str, path))
                if (first := paths.setdefault(text, path)) != path:
                    note = Note("it stands here, too", self.file.place(first))
                    self._report("E102", f"two keys are both called '{text}'", path, "", note)
                if isinstance(value, dict):
                    waiting.append((path, cast("dict[str, Any]", value)))
        return paths

    def _value(self, key: str) -> Any:
        """What the file has at a key; None if it is left out."""
        value: Any = self.file.data
        for step in self.paths.get(key, ()):
            value = value[step]
        return value if key in self.paths else None

    def _report(self, code: str, message: str, path: KeyPath, hint: str, *notes: Note) -> None:
        self.checker.findings.add(Problem(code, message, self.file.place(path), hint, notes))

    # ---------------------------------------------------------------------------- the kind of model

    def fits_model_type(self) -> bool:
        """Whether the file is one of the spec's model, or does not say what model it is of."""
        stated, built = self.file.data.get("model_type"), self.config.model_type
        if stated is None and built:
            return self._fits_classes(built)
        if stated is None or stated in built:
            self.used.add("model_type")
            return True
        fitting = fitting_specs(self.file.data)[0] or list(packaged_of(stated))
        if not built and not fitting:
            return True
        message = f"model_type is {shown(stated)}"
        message += (
            f", and {self.spec} builds {_either(built)}"
            if built
            else f", not what {self.spec} is of"
        )
        hint = f"packaged specs of it: {', '.join(fitting)}" if fitting else ""
        if not built and self._is_own:
            hint += f"; if {self.spec} is one, too, say so there: config: {{model_type: {stated}}}"
        self._report("E215", message, ("model_type",), hint or "no packaged spec builds that")
        return False

    def _fits_classes(self, built: list[str]) -> bool:
        """Whether a file that lacks a model type names classes of the spec's, if any."""
        self.used.add("model_type")
        classes = self.file.data.get("architectures")
        named = cast("list[Any]", classes) if isinstance(classes, list) else []
        begins = tuple(map(_plain, built))
        if all(_plain(str(name)).startswith(begins) for name in named):
            return True
        message = f"there is no model_type, and architectures are {shown(named)}"
        hint = "if the file is of one, write its model_type"
        message = f"{message}, and {self.spec} builds {_either(built)}"
        self._report("E215", message, ("architectures",), hint)
        return False

    # --------------------------------------------------------------------------------- what is read

    def overrides(self, given: Collection[str]) -> dict[str, Override]:
        found = {name: self._override(name) for name in self.params if name not in given}
        return {name: override for name, override in found.items() if override is not None}

    def _override(self, param: str) -> Override | None:
        """The value of a parameter; ``null`` is as good as nothing, or what the parameter has."""
        sources = sources_of(self.config, param)
        values = {source.key: list(self._values(source)) for source in sources}
        found = [override for said in values.values() for override in said]
        if found and values.keys() <= self.config.defaults.keys():
            left_out = [key for key, said in values.items() if not said and self._is_meant(key)]
            found += map(self._default, left_out)
        for other in found[1:]:
            if not _equal(found[0].value, other.value):
                self._contradict(param, found[0], other)
                return None
        labels = next((override.labels for override in found if override.labels), ())
        for override in found:
            return Override(override.value, self.file.name, override.place, labels=labels)
        for source in sources:
            if source.key in self.paths and self._may_be_null(param):
                return None  # it is null there: the parameter's own default
            if source.key in self.config.defaults:
                return self._default(source.key)
        return None

    def _is_meant(self, key: str) -> bool:
        """Whether a key that is left out has its default: not where an ignored object is, too."""
        above = key.rpartition(".")[0]
        return above not in self.config.ignore or self._value(above) is not None

    def _default(self, key: str) -> Override:
        """What it means that a key is left out."""
        place = self.checker.document.place(("config", "defaults", key))
        return Override(self.config.defaults[key], str(place), place)

    def _may_be_null(self, param: str) -> bool:
        declared = self.checker.architecture.params[param]
        return declared.nullable or (declared.default is None and not declared.required)

    def _contradict(self, param: str, first: Override, other: Override) -> None:
        message = (
            f"'{param}' is {shown(first.value)} in one place and {shown(other.value)} in another"
        )
        note = Note(f"here it is {shown(first.value)}", first.place)
        hint = f"correct the file, or give the right one: -p {param}=…"
        self.checker.findings.add(Problem("E215", message, other.place, hint, (note,)))

    def _values(self, source: Source) -> Iterator[Override]:
        value = self._value(source.key)
        if source.is_labels:
            yield from self._labels(source)
        elif value is not None:
            path = self.paths[source.key]
            if source.is_length:
                if not isinstance(value, list | dict):
                    message = f"'{source.key}' has no length: it is {shown(value)}"
                    self._report("E215", message, path, "a list or an object is needed")
                    return
                value = len(cast("list[Any]", value))
            yield Override(value, self.file.name, self.file.place(path))
        elif source.key in self.paths and source.key in self.config.if_null:
            place = self.file.place(self.paths[source.key])
            yield Override(self.config.if_null[source.key], self.file.name, place)

    def _labels(self, source: Source) -> Iterator[Override]:
        """The number of labels from all keys that tell it, and their names from ``id2label``."""
        names_key, ids_key, number_key, old_key = source.keys
        names, number, old = map(self._value, (names_key, number_key, old_key))
        labels: tuple[str, ...] = ()
        if names is not None:
            labels = self._label_names(self.paths[names_key], names)
            if not labels:
                return
            place = self.file.place(self.paths[names_key])
            yield Override(len(labels), self.file.name, place, labels=labels)
        self._check_ids(ids_key, labels, number)
        if number is not None:
            yield Override(number, self.file.name, self.file.place(self.paths[number_key]))
        if old is not None and names is None and number is None:
            message = f"'{old_key}' counts labels that neither '{names_key}' nor '{number_key}' has"
            self._report(
                "E215", message, self.paths[old_key], f"write '{number_key}': {_json(old)}"
            )
        elif old is not None:
            yield Override(old, self.file.name, self.file.place(self.paths[old_key]))

    def _label_names(self, path: KeyPath, given: Any) -> tuple[str, ...]:
        """The names in the order of their numbers; none if they are wrong, which is reported."""
        names = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        numbers = [str(i) for i in range(len(names))]
        if not names or names.keys() != set(numbers):
            wrong = next((key for key in names if key not in set(numbers)), None)
            at = path if wrong is None else (*path, wrong)
            message = f"'{path[-1]}' has to name the labels 0, 1, 2, … and no others"
            self._report("E215", message, at, "number the names from 0, without a gap")
            return ()
        labels: dict[str, str] = {}
        for number in numbers:
            name, at = names[number], (*path, number)
            if not isinstance(name, str) or not name.strip() or not name.isprintable():
                hint = "a name is text without control characters"
                self._report("E215", f"{shown(name)} is no name of a label", at, hint)
                return ()
            if name in labels:
                note = Note("it stands here, too", self.file.place((*path, labels[name])))
                hint = "give each label a name of its own"
                self._report("E215", f"two labels are called {shown(name)}", at, hint, note)
                return ()
            labels[name] = number
        return tuple(labels)

    def _check_ids(self, key: str, labels: tuple[str, ...], number: Any) -> None:
        """Whether ``label2id`` says the same as ``id2label``, or has made-up names only."""
        ids = self._value(key)
        count = len(labels) or (number if isinstance(number, int) else _USUAL_LABELS)
        if ids is None:
            return
        if isinstance(ids, dict) and len(cast("dict[str, Any]", ids)) == count:
            numbers = range(count)
            if any(ids == dict(zip(n, numbers, strict=False)) for n in (labels, _made_up(count))):
                return
        other = (
            f"is not '{_LABELS}' the other way round" if labels else f"is there without '{_LABELS}'"
        )
        hint = f"correct it or take it out: '{_LABELS}' names the labels"
        self._report("E215", f"'{key}' {other}", self.paths[key], hint)

    # ----------------------------------------------------------------------------- what is required

    def check_required(self) -> None:
        """Every required key has the value that the spec builds, also where it is left out."""
        for key, wanted in self.config.require.items():
            value = self._value(key)
            is_said = value is not None
            value = value if is_said else self.config.defaults.get(key)
            allowed = listed(wanted)
            if value is None or any(_equal(value, one) for one in allowed):
                continue
            only = " or ".join(map(_json, allowed))
            said = "" if is_said else "left out, which means "
            message = f"'{key}' is {said}{_json(value)}, and {self.spec} builds {only} only"
            at = self.checker.document.place(("config", "require", key), key=True)
            path = self.paths[key] if is_said else ()
            self._report("E215", message, path, "", Note("required here", at))

    def check_refused(self, given: Collection[str]) -> None:
        """No key that is read has a value that means something else to the spec."""
        open_params = [name for name in self.params if name not in given]
        read = {source.key for name in open_params for source in sources_of(self.config, name)}
        for key, refused in self.config.refuse.items():
            value = self._value(key)
            if key not in read or not any(_equal(value, one) for one in listed(refused)):
                continue
            at = self.checker.document.place(("config", "refuse", key), key=True)
            message = f"'{key}' is {_json(value)}, which {self.spec} does not build"
            hint = "null says that there is none" if key in self.config.if_null else ""
            self._report("E215", message, self.paths[key], hint, Note("refused here", at))

    # ---------------------------------------------------------------------------- what is not read

    def unread(self) -> Iterator[str]:
        """The keys that say nothing about the function; those that may are reported."""
        above = {key[:i] for key in self.used for i in range(len(key)) if key[i] == "."}
        waiting: list[KeyPath] = [(key,) for key in reversed(self.file.data)]
        while waiting:
            path = waiting.pop()
            key = ".".join(map(str, path))
            value = self._value(key)
            if key in self.used or self.checker.is_broken(("params", key)):
                continue
            if key in above and (value is None or isinstance(value, dict)):
                inner = cast("dict[str, Any]", value or {})
                waiting += [(*path, below) for below in reversed(inner)]
            elif self._says_nothing(path, key, value):
                yield key
            else:
                self._report("E215", f"'{key}' is not read", path, self._hint(key))

    def _says_nothing(self, path: KeyPath, key: str, value: Any) -> bool:
        ignored = any(key == one or key.startswith(f"{one}.") for one in self.config.ignore)
        *above, last = map(str, path)
        # What an object means is known if it is one model's config inside another's.
        is_config = not above or "model_type" in self._value(".".join(above))
        is_known = last in _KNOWN and (last != "model_type" or not above)
        is_neutral = last in _NEUTRAL and (value is None or _equal(value, _NEUTRAL[last]))
        return ignored or (is_config and (is_known or is_neutral))

    def _hint(self, key: str) -> str:
        if key.rpartition(".")[2] == "quantization_config":
            return "its weights are quantized: save it dequantized, without this key"
        where = "the spec" if self._is_own else f"a spec that extends {self.spec}"
        value = self._value(key)
        inner = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        taken = {name: f"{key}.{name}" for name in self.params if name in inner}
        if key.rpartition(".")[2] == _LABELS and "num_labels" in self.params:
            taken = {"num_labels": f"len({key})"}
        if taken:
            read = ", ".join(f"{name}: {source}" for name, source in taken.items())
            return f"to take it, write config: {{read: {{{read}}}}} in {where}"
        ignore = f"if it does not matter to {self.spec}, add it to config.ignore of {where}"
        return f"{did_you_mean(key, self.params)} {ignore}".strip()

    @property
    def _is_own(self) -> bool:
        """Whether the spec can be changed: no packaged one."""
        files = self.checker.document.files
        return not files or not is_packaged(files[0])


def _either(types: list[str]) -> str:
    return " or ".join(f"'{name}'" for name in types)


def _plain(name: str) -> str:
    """``xlm-roberta`` as ``XLMRobertaModel`` begins."""
    return re.sub("[^a-z0-9]", "", name.casefold())


def _equal(value: Any, other: Any) -> bool:
    """Equal, and neither true for 1 nor 1 for true."""
    return value == other and isinstance(value, bool) is isinstance(other, bool)


def _json(value: Any) -> str:
    return "{}" if value == {} else shown(value)


# -------------------------------------------------------------------------------- names of classes


def with_labels(architecture: Architecture, overrides: Mapping[str, Override]) -> Architecture:
    """The spec with the names of its classes that a file gave together with their number.

    Made-up names stay out of it: data that the model is trained on need not have them.
    """
    task, labels = architecture.task, labels_of(overrides)
    if task is None or not task.kind.endswith("-classification"):
        return architecture
    if not labels or labels == _made_up(len(labels)):
        return architecture
    named = task.model_copy(update={"labels": list(labels)})
    return architecture.model_copy(update={"task": named})


def labels_of(overrides: Mapping[str, Override]) -> tuple[str, ...]:
    """The names of the classes that a file gave."""
    return next((override.labels for override in overrides.values() if override.labels), ())


def _made_up(count: int) -> tuple[str, ...]:
    return tuple(f"LABEL_{i}" for i in range(count))
