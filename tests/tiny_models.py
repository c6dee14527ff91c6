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


def save_tiny_gguf(path, *, seed=0, chat=None):
    """Write a Llama of two layers with a tokenizer of bytes, as one GGUF file."""
    import gguf
    import numpy as np

    rng = np.random.default_rng(seed)
    width, hidden, heads = 16, 32, 4
    tokens = ["<s>", "</s>", *bytes_as_unicode()]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    if chat is not None:
        writer.add_chat_template(chat)

    def add(name, *shape):
        values = np.ones(shape) if len(shape) == 1 else 0.3 * rng.normal(size=shape)
        writer.add_tensor(name, values.astype(np.float32))

    add("token_embd.weight", len(tokens), width)
    add("output_norm.weight", width)
    add("output.weight", len(tokens), width)
    for k in range(2):
        add(f"blk.{k}.attn_norm.weight", width)
        add(f"blk.{k}.ffn_norm.weight", width)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{k}.{name}.weight", width, width)
        add(f"blk.{k}.ffn_gate.weight", hidden, width)
        add(f"blk.{k}.ffn_up.weight", hidden, width)
        add(f"blk.{k}.ffn_down.weight", width, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def bytes_as_unicode():
    """Give the 256 characters by which byte-level tokenizers write bytes."""
    from tokenizers.pre_tokenizers import ByteLevel

    return [*sorted(set(ByteLevel.alphabet()) - set("ab")), "a", "b", "ab"]
