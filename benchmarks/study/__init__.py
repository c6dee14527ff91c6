"""The parts of the annotation study; run it as ``benchmarks.annotation_study``."""
