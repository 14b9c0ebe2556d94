"""Export of trained models to folders that others use: weights, settings, a model card, and ONNX."""
