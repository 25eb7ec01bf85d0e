"""Help texts of options that several commands share."""

ALLOW_MISSING = "Model tensors that the checkpoint may lack. May be repeated."
ALLOW_PARTIAL = "Allow a checkpoint that leaves most of the model unchanged."
DEVICE = "Device: auto, cpu, cuda, cuda:N"
ENCODING = "Encoding of text files, such as cp1252."
FREEZE = "One of the spec's freeze plans, or a pattern of module names. Patterns may be repeated."
HEADER = (
    "Whether the first line of a CSV or TSV file has the names of the columns. By default it has, "
    "and a first line that looks like data is an error."
)
IGNORE = "Checkpoint tensors to ignore. May be repeated."
KEY = "Key of the checkpoint that holds the weights, such as params_ema or teacher."
KEY_DEFAULT = "state_dict, model_state_dict or model, if present"
MAX_BAD_ROWS = "Fail if more than this fraction of rows is unreadable."
MAX_LENGTH = "Maximum number of tokens per text."
TOKENIZER = "Tokenizer file: a tokenizer.json or vocab.txt."
TOKENIZER_DEFAULT = "next to the weights or the spec"
