"""PPO of other libraries beside ours: `pytest benchmarks -k peers --peers DIR`."""
