"""How do the field's data files become records?

``load_dataset`` opens a file or a folder and tells what it holds; ``Dataset.batches`` reads it in
bounded memory. A file that is not what it says is refused, with the arithmetic. Nothing is
downloaded, and nothing is unpickled.
"""

from __future__ import annotations

from .check import check_truth
from .dataset import Batch, Dataset
from .load import load_dataset, load_truth
from .sniff import FORMATS, TRUTH_FORMATS
from .truth import Truth

__all__ = [
    "FORMATS",
    "TRUTH_FORMATS",
    "Batch",
    "Dataset",
    "Truth",
    "check_truth",
    "load_dataset",
    "load_truth",
]
