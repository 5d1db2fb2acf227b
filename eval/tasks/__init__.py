"""Benchmarks: questions, how they are put to a language model, what answers are right. One file each."""
