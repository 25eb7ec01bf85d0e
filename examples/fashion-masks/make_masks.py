"""Makes images and masks of Fashion-MNIST: what is brighter than the background has a class.

    python examples/fashion-masks/make_masks.py build/fashion-masks

Args (of the command line): the folder to write, and how many images of each split at most.
"""

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image

CLASSES = ("background", "top", "trousers", "shoe", "bag")
# t-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot
CLASS_OF_LABEL = (1, 2, 1, 1, 1, 3, 1, 3, 4, 3)
THRESHOLD = 50  # of 255


def main(folder: Path, most: int) -> None:
    for split in ("train", "test"):
        source = Path(__file__).parent.parent / "fashion-mnist" / f"{split}.parquet"
        rows = parquet.read_table(source).to_pylist()[:most]
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(rows):
            image = Image.open(io.BytesIO(row["image"]["bytes"]))
            values = np.asarray(image)
            mask = np.where(values > THRESHOLD, CLASS_OF_LABEL[row["label"]], 0)
            image.save(folder / split / "images" / f"{number:04}.png")
            target = folder / split / "masks" / f"{number:04}.png"
            Image.fromarray(mask.astype(np.uint8)).save(target)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
