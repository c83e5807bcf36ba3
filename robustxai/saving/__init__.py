"""Files of fitted models that are safe to load: numbers and JSON, no code.

``save`` writes one file: a `safetensors <https://github.com/huggingface/safetensors>`_ file with the weights, whose
metadata hold a description of the model as JSON and a checksum of every part. ``load`` rebuilds the model from classes
that it knows, and executes nothing that the file says. pickle and joblib execute what a file says: use them for files
of your own only.
"""

from robustxai.saving._load import load
from robustxai.saving._save import save

__all__ = ["load", "save"]
