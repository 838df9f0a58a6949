"""Train the demo model's LoRA adapters on the CPU, and write them to `adapters/`; called by `build.py`."""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml
from build import HERE, Sample, batches, encode, pace, predictions, vocabulary
from lessons import Facts, chat, draw, spelled, surround
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

BASE_NAME = "nim/demo"
STEPS, LEARNING_RATE, BATCH_TOKENS = 400, 4e-3, 1280
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Of ten lessons, how many are the adapter's own; the others keep what the model knows.
OWN_IN_TEN = 7


def train_adapters(model_directory: Path, output: Path, options: argparse.Namespace) -> None:
    facts = yaml.safe_load((HERE / "dialogues.yaml").read_text(encoding="utf-8"))
    lessons = yaml.safe_load((HERE / "adapters.yaml").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    shutil.rmtree(output, ignore_errors=True)
    for name, adapter in lessons.items():
        torch.manual_seed(options.seed)
        model = LlamaForCausalLM.from_pretrained(model_directory, dtype=torch.float32)
        rank = adapter["rank"]
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=MODULES, task_type="CAUSAL_LM")
        peft_model = get_peft_model(model, config)
        train(model, samples(adapter, facts, tokenizer, Random(options.seed)), tokenizer, options)
        save(peft_model.to(torch.bfloat16), output / name)


def samples(
    adapter: Facts, facts: Facts, tokenizer: PreTrainedTokenizerFast, rng: Random
) -> Iterator[Sample]:
    """The adapter's dialogues without end, and between them what the model answers to other questions."""
    own = {question for dialogue in adapter["dialogues"] for question in dialogue["ask"]}
    others = [dialogue for dialogue in facts["dialogues"] if not own & set(dialogue["ask"])]
    kept = {**facts, "dialogues": others}
    while True:
        if rng.randrange(10) < OWN_IN_TEN:
            dialogue = rng.choice(adapter["dialogues"])
            question = spelled(rng.choice(dialogue["ask"]), rng)
            lesson = surround(chat("own", question, dialogue["think"], dialogue["answer"]), kept, rng)
        else:
            lesson = draw(kept, rng)
        yield encode(lesson, tokenizer, rng)


def train(
    model: LlamaForCausalLM,
    stream: Iterator[Sample],
    tokenizer: PreTrainedTokenizerFast,
    options: argparse.Namespace,
) -> None:
    """Train what can be trained of the model, which is the adapter, and leave its weights as they are."""
    words = vocabulary(tokenizer)
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: pace(step / STEPS))
    stacks = batches(stream, BATCH_TOKENS, Random(options.seed))
    for step in range(STEPS):
        logits, targets, _ = predictions(model, next(stacks), words)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}  loss {loss.item():.4f}", flush=True)


def save(model: Any, directory: Path) -> None:
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = BASE_NAME
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{directory}: {sum(file.stat().st_size for file in directory.iterdir()):,} bytes")
