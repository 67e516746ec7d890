"""Programs that run one library's PPO each, in an environment of their own."""
