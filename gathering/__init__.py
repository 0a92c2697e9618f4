"""GatheRing: build, watch, compare and regression-test language-model agents inside notebooks."""

__version__ = "0.1.0"
