"""Make one tiny model: `python -m tests.tiny_models.build KIND DIRECTORY`.

Their weights are random: they show that requests of a kind go through the whole service, and what comes back.
Each has a small byte-level vocabulary of its own, made from the letters alone.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers.models.whisper.tokenization_whisper import LANGUAGES

CONTEXT = 512
CHAT_TEMPLATE = """{% for message in messages %}<|{{ message.role }}|>
{%- if message.content is string %}{{ message.content }}
{%- else %}{% for part in message.content %}
{%- if part.type == "text" %}{{ part.text }}{% else %}MARK{% endif %}
{%- endfor %}{% endif %}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
PLAIN = ("<pad>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
BERT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
}


def tokenizer(*specials: str, mark: str = "", wrap: bool = False, **more: Any) -> Any:
    """Return a byte-level tokenizer with these special tokens after the usual ones."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*PLAIN, *(["<s>", "</s>"] if wrap else []), *specials]
    vocabulary = {name: number for number, name in enumerate([*names, *letters])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.add_special_tokens([AddedToken(name, special=True) for name in names])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    if wrap:
        ends = [(name, vocabulary[name]) for name in ("<s>", "</s>")]
        made.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B:1 </s>:1", ends)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="<|end|>",
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE.replace("MARK", mark),
        **more,
    )


def save(directory: Path, model: Any, *parts: Any) -> None:
    """Write the model and what belongs to it."""
    model.to(torch.bfloat16).save_pretrained(directory)
    for part in parts:
        part.save_pretrained(directory)


def embedding(directory: Path) -> None:
    """A BERT that embeds by its first token."""
    words = tokenizer(wrap=True)
    save(directory, hf.BertModel(hf.BertConfig(vocab_size=len(words), **BERT)), words)
    pooling = {
        "word_embedding_dimension": 64,
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False,
    }
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": f"{n}_{kind}" if n else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for n, kind in enumerate(kinds)
    ]
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (directory / "modules.json").write_text(json.dumps(modules))


def reranker(directory: Path) -> None:
    """A BERT that scores a pair of texts."""
    _classifier(directory, 1)


def classifier(directory: Path) -> None:
    """A BERT that sorts texts into three classes."""
    _classifier(directory, 3)


def _classifier(directory: Path, labels: int) -> None:
    words = tokenizer(wrap=True)
    config = hf.BertConfig(vocab_size=len(words), num_labels=labels, **BERT)
    save(directory, hf.BertForSequenceClassification(config), words)


def text(directory: Path) -> None:
    """A Llama that generates."""
    words = tokenizer()
    save(directory, hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=len(words), **TEXT)), words)


def picture(directory: Path) -> None:
    """An Idefics3 for any number of pictures, each of which becomes one token of 28 x 28 pixels."""
    marks = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<row_1_col_1>")
    words = tokenizer(*marks, mark="<image>")
    vision = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = hf.Idefics3Config(
        vision_config=vision,
        text_config={"model_type": "llama", "vocab_size": len(words), **TEXT},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    pixels = hf.Idefics3ImageProcessor(
        size={"longest_edge": 28}, max_image_size={"longest_edge": 28}, do_image_splitting=False
    )
    processor = hf.Idefics3Processor(pixels, words, image_seq_len=1, chat_template=words.chat_template)
    save(directory, hf.Idefics3ForConditionalGeneration(config), processor)


def sound(directory: Path) -> None:
    """A Qwen2-Audio that hears up to thirty seconds."""
    marks = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
    words = tokenizer(*marks, mark="<|audio_bos|><|AUDIO|><|audio_eos|>")
    config = hf.Qwen2AudioConfig(
        audio_config={
            "num_mel_bins": 80,
            "d_model": 64,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "max_source_positions": 1500,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(words),
            **TEXT,
            "max_position_embeddings": 2048,
        },
        audio_token_id=words.convert_tokens_to_ids("<|AUDIO|>"),
    )
    processor = hf.Qwen2AudioProcessor(
        hf.WhisperFeatureExtractor(feature_size=80), words, chat_template=words.chat_template
    )
    save(directory, hf.Qwen2AudioForConditionalGeneration(config), processor)
    # As published checkpoints name them; transformers 5 repeats a part of the name.
    file = directory / "model.safetensors"
    weights = {name.replace(".model.model.", ".model."): data for name, data in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})


def transcription(directory: Path) -> None:
    """A Whisper with the names of all languages: the engine chooses among them."""
    languages = tuple(f"<|{code}|>" for code in LANGUAGES)
    marks = (
        "<|startoftranscript|>",
        *languages,
        "<|translate|>",
        "<|transcribe|>",
        "<|startofprev|>",
    )
    times = tuple(f"<|{n * 0.02:.2f}|>" for n in range(1501))
    words = tokenizer("<|endoftext|>", *marks, "<|nospeech|>", "<|notimestamps|>", *times)
    ids = {name: words.convert_tokens_to_ids(name) for name in (*marks, "<|endoftext|>", "<|notimestamps|>")}
    config = hf.WhisperConfig(
        vocab_size=len(words),
        num_mel_bins=80,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=448,
        pad_token_id=0,
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=ids["<|endoftext|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"],
    )
    model = hf.WhisperForConditionalGeneration(config)
    model.generation_config.lang_to_id = {name: ids[name] for name in languages}
    save(directory, model, hf.WhisperProcessor(hf.WhisperFeatureExtractor(feature_size=80), words))


KINDS: dict[str, Callable[[Path], None]] = {
    made.__name__: made for made in (embedding, reranker, classifier, text, picture, sound, transcription)
}


def main(arguments: list[str]) -> None:
    """Make the model that the arguments name."""
    kind, directory = arguments
    torch.manual_seed(0)
    Path(directory).mkdir(parents=True, exist_ok=True)
    KINDS[kind](Path(directory))


if __name__ == "__main__":
    main(sys.argv[1:])
