"""A worker that runs TRL's `trl.experimental.ppo.PPOTrainer` (1.12.0) on a GPT-2 with random weights.

Its settings are those of the workload. Policy, value model and reward model are networks of their own, as this trainer
wants them; the reward model gives one number per response.
"""

from __future__ import annotations

import os
import tempfile
import time

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
import transformers
from datasets import Dataset
from serving import Server
from tokenizers import Tokenizer, models
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

ITERATIONS = 10**6
"""More than anyone asks for."""


class Turns(TrainerCallback):
    """Lets one iteration of `train()` happen per request, which is where the time is taken."""

    def __init__(self, server: Server, facts: dict) -> None:
        self._server, self._facts = server, facts
        self.rollout_seconds, self.tokens = 0.0, 0
        self._logs: dict[str, float] = {}
        self._started = 0.0

    def on_train_begin(self, args, state, control, **_) -> None:
        self._server.answer(**self._facts)
        self._begin()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        self._logs = logs

    def on_step_end(self, args, state, control, **_) -> None:
        seconds = time.perf_counter() - self._started
        loss = self._logs["loss/policy_avg"] + self._logs["loss/value_avg"]
        self._server.answer(seconds=seconds, rollout_seconds=self.rollout_seconds, tokens=self.tokens, loss=loss)
        self._begin()

    def _begin(self) -> None:
        self._server.wait()
        self.rollout_seconds, self.tokens = 0.0, 0
        self._started = time.perf_counter()

    def timed(self, generate):
        """The same function, its seconds and new tokens counted."""

        def run(model, queries, *arguments):
            started = time.perf_counter()
            found = generate(model, queries, *arguments)
            self.rollout_seconds += time.perf_counter() - started
            self.tokens += found[0][:, queries.shape[1] :].numel()
            return found

        return run


def run(server: Server) -> None:
    request = server.wait()
    shape, settings, prompts = request["shape"], request["settings"], request["prompts"]
    config = {
        "vocab_size": shape["vocabulary"],
        "n_positions": request["positions"],
        "n_embd": shape["hidden"],
        "n_inner": shape["feedforward"],
        "n_layer": shape["layers"],
        "n_head": shape["heads"],
        "activation_function": settings["activation"],
        "num_labels": 1,
    }
    torch.manual_seed(0)
    policy, reference = (GPT2LMHeadModel(GPT2Config(**config)) for _ in range(2))
    reference.load_state_dict(policy.state_dict())
    value, reward = (GPT2ForSequenceClassification(GPT2Config(**config)) for _ in range(2))
    # Tokens are numbers. Padding is beyond the vocabulary, so that no token of a response is taken for it.
    words = {str(i): i for i in range(shape["vocabulary"])} | {"<pad>": shape["vocabulary"]}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="0")), pad_token="<pad>", eos_token="1"
    )
    turns = Turns(server, {"parameters": policy.num_parameters()})
    ppo_trainer.batch_generation = turns.timed(ppo_trainer.batch_generation)
    dataset = Dataset.from_dict({"input_ids": prompts})
    with tempfile.TemporaryDirectory() as folder:
        arguments = PPOConfig(
            output_dir=folder,
            per_device_train_batch_size=shape["batch"],
            gradient_accumulation_steps=1,
            num_mini_batches=shape["batch"] // settings["mini_batch"],
            local_rollout_forward_batch_size=shape["batch"],
            num_ppo_epochs=shape["epochs"],
            total_episodes=ITERATIONS * shape["batch"],
            response_length=shape["response_tokens"],
            temperature=1.0,
            learning_rate=1e-7,
            stop_token=None,
            num_sample_generations=0,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            eval_strategy="no",
        )
        trainer = PPOTrainer(
            arguments,
            tokenizer,
            policy,
            reference,
            reward,
            dataset,
            value,
            eval_dataset=dataset,
            callbacks=[turns],
        )
        trainer.remove_callback(transformers.ProgressCallback)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()


if __name__ == "__main__":
    run(Server())
