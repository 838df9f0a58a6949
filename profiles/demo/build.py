"""Train the demo model and its adapters from nothing on the CPU: `python profiles/demo/build.py`."""

import argparse
import json
import math
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
import yaml
from lessons import Facts, Lesson, draw
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MARKUP = ("<think>", "</think>", "<tool_call>", "</tool_call>")
LEARNT_TOKENS = 1792
VOCABULARY = 10240
CONTEXT_TOKENS = 4096
# The ids that examples of the API reference use for these words.
FIXED_IDS = {"Hello": 9906, " world": 1917, "yes": 9891, "no": 2360}
IGNORED = -100


class Sample(NamedTuple):
    """Token ids, and beside each the id to predict after it (IGNORED where nothing is learnt)."""

    kind: str
    tokens: list[int]
    targets: list[int]


def main() -> None:
    options = read_options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    if not options.adapters_only:
        build_model(options)
    from train_adapters import train_adapters  # here: it imports from this module

    train_adapters(options.output, options.output.with_name("adapters"), options)


def build_model(options: argparse.Namespace) -> None:
    facts = yaml.safe_load((HERE / "dialogues.yaml").read_text(encoding="utf-8"))
    tokenizer = build_tokenizer(facts, Random(options.seed))
    model = new_model(tokenizer)
    print(f"{model.num_parameters():,} parameters")
    words = vocabulary(tokenizer)
    train(model, samples(facts, tokenizer, Random(options.seed)), words, options)
    report(model, facts, tokenizer, words)
    even_out(model, words)
    save(model, tokenizer, options.output)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-tokens", type=int, default=1280)
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--adapters-only", action="store_true", help="keep the model, train its adapters")
    return parser.parse_args()


def build_tokenizer(facts: Facts, rng: Random) -> PreTrainedTokenizerFast:
    """A byte-level BPE of the lessons' own words; capitals, digits and signs leave the space before them."""
    bpe = Tokenizer(models.BPE())
    words = Regex(r" ?[a-z]+|[A-Z]+[a-z]*|\p{N}|[^\sA-Za-z\p{N}]+|\s")
    split = pre_tokenizers.Split(words, behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    specials = [AddedToken(text, special=True) for text in (END_OF_TEXT, TURN_START, TURN_END)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=LEARNT_TOKENS, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator((written(draw(facts, rng)) for _ in range(6000)), trainer)
    bpe.add_tokens([AddedToken(text, normalized=False) for text in MARKUP])
    bpe = Tokenizer.from_str(json.dumps(with_fixed_ids(json.loads(bpe.to_str()))))
    template = (HERE / "chat_template.jinja").read_text(encoding="utf-8")
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        chat_template=template,
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )


def with_fixed_ids(tokenizer: dict[str, Any]) -> dict[str, Any]:
    vocabulary = tokenizer["model"]["vocab"]
    for text, token_id in FIXED_IDS.items():
        vocabulary[text.replace(" ", "Ġ")] = token_id
    return tokenizer


def written(lesson: Lesson) -> str:
    asked = [str(message["content"]) for message in lesson.messages]
    named = [tool["function"]["name"] + " " + tool["function"]["description"] for tool in lesson.tools]
    return "\n".join((*asked, *named, lesson.prompt, lesson.think, "".join(lesson.answer)))


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=32,
            max_position_embeddings=CONTEXT_TOKENS,
            initializer_range=0.02,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def samples(facts: Facts, tokenizer: PreTrainedTokenizerFast, rng: Random) -> Iterator[Sample]:
    """Lessons without end."""
    while True:
        yield encode(draw(facts, rng), tokenizer, rng)


def encode(lesson: Lesson, tokenizer: PreTrainedTokenizerFast, rng: Random) -> Sample:
    """The lesson as a server meets it: prompt by the chat template, some thoughts cut short by a budget."""

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    thinking = rng.choice((None, None, True, False))
    tokens = ids(prompt_text(lesson, tokenizer, thinking) if lesson.messages else lesson.prompt)
    learnt = earlier_answers(tokens, *ids("</think>"), *ids(TURN_END))
    parts = [(ids(text), True) for text in lesson.answer]
    if lesson.messages and thinking:
        thought = ids(lesson.think)
        cut = rng.randrange(len(thought)) if rng.random() < 0.2 else None
        parts = [(thought[:cut], True), (ids("</think>"), cut is None), *parts]
    elif lesson.messages and thinking is None:
        parts = [(ids("</think>"), True), *parts]
    for part, counts in (*parts, (ids(TURN_END if lesson.messages else END_OF_TEXT), True)):
        tokens += part
        learnt += [counts] * len(part)
    targets = [token if counts else IGNORED for token, counts in zip(tokens, learnt, strict=True)]
    return Sample(lesson.kind, tokens[:-1], targets[1:])


def earlier_answers(tokens: list[int], opening: int, closing: int) -> list[bool]:
    """Which tokens of a prompt are answers of earlier turns; those are learnt along with the last one."""
    learnt, inside = [], False
    for token in tokens:
        learnt.append(inside)
        inside = token == opening or (inside and token != closing)
    return learnt


def prompt_text(lesson: Lesson, tokenizer: PreTrainedTokenizerFast, thinking: bool | None) -> str:
    said = {} if thinking is None else {"enable_thinking": thinking}
    return str(
        tokenizer.apply_chat_template(
            list(lesson.messages),
            tools=list(lesson.tools) or None,
            add_generation_prompt=True,
            tokenize=False,
            **said,
        )
    )


def batches(stream: Iterator[Sample], batch_tokens: int, rng: Random) -> Iterator[list[Sample]]:
    """Batches of samples of about one length, each of at most `batch_tokens` tokens with their padding."""
    while True:
        pool = sorted((next(stream) for _ in range(512)), key=lambda sample: len(sample.tokens))
        cut: list[list[Sample]] = [[]]
        for sample in pool:
            if (len(cut[-1]) + 1) * len(sample.tokens) > batch_tokens:
                cut.append([])
            cut[-1].append(sample)
        rng.shuffle(cut)
        yield from (batch for batch in cut if batch)


class Vocabulary(NamedTuple):
    """The ids in use, one more that stands for all others, and each id's place among them."""

    used: torch.Tensor
    place: torch.Tensor
    others: int


def vocabulary(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    ids = sorted(tokenizer.get_vocab().values())
    unused = next(token for token in range(VOCABULARY) if token not in ids)
    used = torch.tensor([*ids, unused])
    place = torch.full((VOCABULARY,), len(ids))
    place[used] = torch.arange(len(used))
    return Vocabulary(used, place, VOCABULARY - len(ids))


def predictions(
    model: LlamaForCausalLM, batch: list[Sample], words: Vocabulary
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [learnt, used], targets [learnt] and the row of each, only where something is learnt.

    All unused ids are alike: one row of the embedding stands for them, counted as often as they are many.
    """
    longest = max(len(sample.tokens) for sample in batch)
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    targets = torch.full((len(batch), longest), IGNORED)
    for row, sample in enumerate(batch):
        tokens[row, : len(sample.tokens)] = torch.tensor(sample.tokens)
        targets[row, : len(sample.targets)] = torch.tensor(sample.targets)
    hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state
    learnt = targets != IGNORED
    logits = hidden[learnt] @ model.lm_head.weight[words.used].T
    logits[:, -1] += math.log(words.others)
    return logits, words.place[targets[learnt]], learnt.nonzero()[:, 0]


def train(
    model: LlamaForCausalLM, stream: Iterator[Sample], words: Vocabulary, options: argparse.Namespace
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: pace(step / options.steps))
    stacks = batches(stream, options.batch_tokens, Random(options.seed))
    started = time.monotonic()
    for step in range(options.steps):
        loss = learn([next(stacks) for _ in range(options.batches)], model, words)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}  loss {loss:.4f}  {time.monotonic() - started:.0f} s", flush=True)


def learn(stack: list[list[Sample]], model: LlamaForCausalLM, words: Vocabulary) -> float:
    """Add up the gradients of several batches, of different lengths, as if they were one; the mean loss."""
    learnt = sum(target != IGNORED for batch in stack for sample in batch for target in sample.targets)
    total = 0.0
    for batch in stack:
        logits, targets, _ = predictions(model, batch, words)
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / learnt
        loss.backward()
        total += loss.item()
    return total


def pace(progress: float) -> float:
    """Share of the full learning rate: a short warm-up, then a cosine down to nothing."""
    return min(progress / 0.03, 0.5 + 0.5 * math.cos(math.pi * progress))


@torch.no_grad()
def report(
    model: LlamaForCausalLM, facts: Facts, tokenizer: PreTrainedTokenizerFast, words: Vocabulary
) -> None:
    """Of lessons never drawn before, how many of each kind the model would answer right to the last token."""
    model.eval()
    stream = samples(facts, tokenizer, Random(-1))
    right, total = defaultdict(int), defaultdict(int)
    for _, batch in zip(range(60), batches(stream, 4096, Random(0)), strict=False):
        logits, targets, rows = predictions(model, batch, words)
        wrong = set(rows[logits.argmax(-1) != targets].tolist())
        for row, sample in enumerate(batch):
            total[sample.kind] += 1
            right[sample.kind] += row not in wrong
    for kind in sorted(total):
        print(f"{kind:10} {right[kind]:5} of {total[kind]:5}")


@torch.no_grad()
def even_out(model: LlamaForCausalLM, words: Vocabulary) -> None:
    """Give every unused id the row that stood for all of them."""
    weight = model.lm_head.weight
    weight[words.place == len(words.used) - 1] = weight[words.used[-1]].clone()


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output)
    # By hand: vLLM takes its default temperature from here; transformers refuses it beside greedy search.
    ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    generation = {
        "do_sample": False,
        "temperature": 0.0,
        "eos_token_id": ends,
        "pad_token_id": tokenizer.pad_token_id,
    }
    (output / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
    print(f"{output}: {sum(file.stat().st_size for file in output.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
