"""Side-by-side measurements: ours against transformers and torchvision, in one run.

python -m benchmarks                  everything, a quarter of an hour
python -m benchmarks forward load     some of it
python -m benchmarks --runs 15 --json
"""
