"""Help texts of options that several commands share."""

ADAPTER = (
    "Adapter to apply: the name of one of the spec's adapters, 'none', a PEFT adapter folder such "
    "as ./adapter, or a mapping such as '{kind: lora, match: \"**.query\"}'. Short for -p "
    "adapter=NAME."
)
ALLOW_MISSING = "Model tensors that may be missing from the checkpoint. May be repeated."
ALLOW_PARTIAL = "Accept a checkpoint that leaves more than half of the model at its initial values."
CHECKPOINT_BLOCKS = (
    "Modules to use activation checkpointing for: their activations are recomputed in the "
    "backward pass. May be repeated."
)
DEVICE = "Device: auto (a GPU if there is one), cpu, cuda, cuda:N"
ENCODING = "Encoding of text files, such as cp1252."
FREEZE = (
    "Freeze plan to apply: the name of one of the spec's plans, or a pattern of the modules to "
    "freeze, such as '**'. '!classifier' keeps a module trainable. Patterns may be repeated."
)
FREEZE_DEFAULT = "nothing frozen"
HEADER = (
    "Whether the first line of a CSV or TSV file is a header. By default it is, and a first line "
    "that looks like data is an error."
)
IGNORE = "Checkpoint tensors to ignore. May be repeated."
KEY = "Key of the state dict in the checkpoint, such as params_ema or teacher."
LAYOUT = (
    "Layout (naming scheme) of the checkpoint's tensors: archspec, or one that 'archspec show "
    "SPEC' lists."
)
LAYOUT_DEFAULT = "best match"
KEY_DEFAULT = "state_dict, model_state_dict or model, if present"
MAX_BAD_ROWS = "Fail if more than this fraction of the rows cannot be read."
MAX_LENGTH = "Maximum number of tokens per text. Longer texts are truncated."
RESIZE = (
    "Model tensors that may differ in shape. HOW is fresh (keep the initial values) or rows (copy "
    "the leading part that both have). May be repeated."
)
TOKENIZER = "Tokenizer file: a tokenizer.json or vocab.txt."
TOKENIZER_DEFAULT = "the one next to the weights or the spec"
