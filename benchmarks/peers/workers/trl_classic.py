"""A worker that runs TRL's former `PPOTrainer` (0.7.11: `generate`, then `step`) on a T5 with random weights.

Its settings are those of the workload. One score per response is given to it as a tensor, at no cost.
"""

from __future__ import annotations

import time
import warnings

import torch
from serving import Server
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
from trl import AutoModelForSeq2SeqLMWithValueHead, PPOConfig, PPOTrainer


def make_trainer(shape: dict, settings: dict) -> PPOTrainer:
    config = T5Config(
        vocab_size=shape["vocabulary"],
        d_model=shape["hidden"],
        d_kv=shape["hidden"] // shape["heads"],
        d_ff=shape["feedforward"],
        num_layers=shape["layers"],
        num_heads=shape["heads"],
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    network = T5ForConditionalGeneration(config)
    with torch.no_grad():
        network.lm_head.weight.mul_(shape["hidden"] ** -0.5)
    words = {"<pad>": 0, "</s>": 1} | {str(i): i for i in range(2, shape["vocabulary"])}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="2")), pad_token="<pad>", eos_token="</s>"
    )
    ppo = PPOConfig(
        batch_size=shape["batch"],
        mini_batch_size=settings["mini_batch"],
        gradient_accumulation_steps=1,
        ppo_epochs=shape["epochs"],
        learning_rate=1e-7,
    )
    return PPOTrainer(ppo, AutoModelForSeq2SeqLMWithValueHead.from_pretrained(network), tokenizer=tokenizer)


def run(server: Server) -> None:
    request = server.wait()
    shape, settings = request["shape"], request["settings"]
    trainer = make_trainer(shape, settings)
    queries = [torch.tensor(row) for row in request["prompts"]]
    generator = torch.Generator().manual_seed(0)
    sampling = {
        "do_sample": True,
        "top_k": 0,
        "top_p": 1.0,
        "max_new_tokens": shape["response_tokens"],
        "suppress_tokens": [0, 1],
    }
    server.answer(parameters=trainer.model.pretrained_model.num_parameters())
    while server.wait():
        started = time.perf_counter()
        responses = trainer.generate(queries, batch_size=settings["generation_batch"], **sampling)
        rollout = time.perf_counter() - started
        scores = list(torch.randn(shape["batch"], generator=generator))
        stats = trainer.step(queries, responses, scores)
        seconds = time.perf_counter() - started
        # Each response begins with the token that starts the decoder.
        tokens = sum(len(response) - 1 for response in responses)
        loss = float(stats["ppo/loss/total"])
        server.answer(seconds=seconds, rollout_seconds=rollout, tokens=tokens, loss=loss)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(Server())
