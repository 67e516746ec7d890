"""Benchmarks that pytest runs: the experiment's matrix, and throughput when it is asked for."""
