"""Fitted classifiers as ONNX graphs that return the explanation with the prediction.

``export_onnx`` writes one graph: probabilities, attribution and, for two classes, a certified radius. Any ONNX runtime
computes it, without Python, torch or this library.
"""

from robustxai.exporting._export_onnx import export_onnx

__all__ = ["export_onnx"]
