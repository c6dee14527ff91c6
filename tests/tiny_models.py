"""Language models small enough to make in a test."""

import torch

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h", "one", "two", "three", "four"]
CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] + ' ' + "
    "message['content'] + ' <end> ' }}{% endfor %}"
)


def word_tokenizer(*, bos=True, chat=None, pad=True, side="right"):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<end>", "user", "assistant"]
    vocabulary = {word: k for k, word in enumerate(special + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>" if bos else None,
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>" if pad else None,
        padding_side=side,
        chat_template=chat,
        model_max_length=32,
    )


def tiny_config(name):
    from transformers import GemmaConfig, LlamaConfig, Qwen2Config

    sizes = {
        "vocab_size": 19,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
    }
    if name == "gemma":
        return GemmaConfig(**sizes, head_dim=4)
    return (Qwen2Config if name == "qwen" else LlamaConfig)(**sizes)


def save_tiny(folder, name="llama", *, seed=0, dtype=None, **tokenizer):
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(name))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    if dtype is not None:
        model = model.to(dtype)
    model.save_pretrained(folder)
    word_tokenizer(**tokenizer).save_pretrained(folder)
    return str(folder)
