"""Side-by-side measurements: ours against transformers and torchvision, in one run.

python -m benchmarks                  everything, a few minutes
python -m benchmarks forward load     some of it
python -m benchmarks --runs 15 --json
"""
