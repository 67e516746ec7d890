"""Policies through lm-eval (github.com/EleutherAI/lm-evaluation-harness): this suite's tasks, and any stock one."""
