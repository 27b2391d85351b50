"""Nets by name."""

from backhand.models.perceptron import ACTIVATIONS, Activation, perceptron, perceptron_name

__all__ = ["ACTIVATIONS", "Activation", "perceptron", "perceptron_name"]
