"""What `pytest benchmarks -k throughput` measures: workloads, the networks they run, and the meter."""
