"""Golden training runs of small random models: transformers + PEFT (+ bitsandbytes for the 4-bit cases), float32 on the CPU.

    python3 make_training_golden.py OUT_DIR [CASE[/VARIANT] ...]

Each case becomes OUT_DIR/CASE/ with model/ (a checkpoint as transformers saves it), adapter_init/ (a PEFT adapter), train.jsonl and
valid.jsonl (input_ids and labels, in the order of training), gradients.safetensors (of the adapter's tensors in the first step) and expected.json:

    config_v4.json in model/ where there is one: the configuration as transformers 4 spelled it
    flags           of `vkft train`
    losses, grad_norms, learning_rates    of 20 optimizer steps; norms before clipping
    eval_loss       mean over the trained tokens of valid.jsonl, after the last step
    logprobs        of each token of the first training sample given those before it, with the initial adapter
    greedy          of the families: the likeliest continuation of the first training sample, with the initial adapter
                    (of the model without an adapter where the adapter's first values are made from its weights); it ends before a near tie
    experts         of mixtures: the experts of each token of the first training sample, by falling weight; [layers with experts][tokens][k]

A variant of a case (VARIANTS) is the same model and data trained otherwise, for the losses and norms of 20 steps alone: expected_VARIANT.json, and
adapter_VARIANT/ where it begins with another adapter. 8-bit optimizers are bitsandbytes', told to take the nearest codes as on CUDA (see make_optimizer_golden.py).

Semantics are those of the Hugging Face Trainer: the loss of a step is the sum over all unmasked tokens of its micro batches divided by
their number; torch.optim.AdamW; clip_grad_norm_; schedules of transformers. Batches are consecutive rows, padded on the right.

First values from the weights (init): there is no adapter_init, the flags ask for them. PiSSA and OLoRA begin from the weights as 4-bit codes have them
and change them in f32: vkft keeps the codes and takes the first product off. LoftQ is one iteration, from codes without double quantization.

Mixtures of experts: transformers 5 keeps the experts of a layer as two parameters, which neither bitsandbytes quantizes nor PEFT adapts expert by
expert. Where a case needs that, they become one module each again, as they are in checkpoints and were in transformers 4, quantized one by one.
"""
import contextlib
import inspect
import json
import os
import sys

import bitsandbytes
import torch
import torch.optim._muon as muon_module
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import IA3Config, LoraConfig, PeftModel, VeraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer, lorafa
from peft.tuners.lora import LoraLayer
from peft.utils.loftq_utils import _low_rank_decomposition
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import ALL_LAYERNORM_LAYERS
from transformers.integrations.neftune import activate_neftune, deactivate_neftune
from transformers.trainer_pt_utils import LabelSmoother, get_parameter_names
from transformers.optimization import Adafactor
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BitsAndBytesConfig, get_scheduler
from transformers import (Gemma2Config, Gemma3Config, Gemma3TextConfig, GPT2Config, GPTNeoXConfig, GraniteConfig, LlamaConfig, MistralConfig, MixtralConfig,
                          Olmo2Config, OPTConfig, Phi3Config, Qwen2Config, Qwen3Config, Qwen3MoeConfig, SmolLM3Config, T5Config)

STEPS = 20
NEAR_TIE = 2e-3  # in log-probability
SEED = 42  # of vkft train, unless it is told another
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# Shapes are no multiple of 64 or of any tile unless that is the point.
BASE = dict(hidden_size=40, intermediate_size=104, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=12, vocab_size=97, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False)

CASES = {
    "llama_gqa": dict(seed=1000, config=BASE, r=4, alpha=8),
    "rslora": dict(seed=1010, config=BASE, r=6, alpha=8, rslora=True),
    "lora_patterns": dict(seed=1020, config=BASE, r=4, alpha=8, rank_pattern={"q_proj": 6, r"model\.layers\.1\.mlp\.(up|gate)_proj": 3},
                          alpha_pattern={"layers.0.mlp.down_proj": 20, "^.*v_proj": 5, "proj": 1}),
    "llama_tied": dict(seed=1010, config=dict(BASE, hidden_size=52, intermediate_size=75, num_attention_heads=4, num_key_value_heads=4,
                                   head_dim=13 * 2, vocab_size=131, tie_word_embeddings=True), r=8, alpha=16, old_spelling=True),
    "llama3_rope": dict(seed=1020, config=dict(BASE, rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0,
                                    low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)),
                        r=4, alpha=4, dtype=torch.bfloat16, length=(20, 60), old_spelling=True),
    "mistral_window": dict(seed=1030, config=dict(BASE, sliding_window=7, hidden_size=36, num_attention_heads=6, num_key_value_heads=2,
                                       head_dim=10), mistral=True, r=5, alpha=10, length=(3, 40)),
    "linear_accumulation": dict(seed=1040, config=dict(BASE, rope_parameters=dict(rope_type="linear", rope_theta=5000.0, factor=4.0)),
                                r=6, alpha=12, batch=2, accumulation=3, mask=True, length=(2, 33)),
    "cosine_clipped": dict(seed=1050, config=dict(BASE, num_hidden_layers=3, intermediate_size=61), r=4, alpha=32, batch=3, mask=True,
                           targets=["q_proj", "v_proj"], schedule="cosine", warmup=4, decay=0.1, clip=0.05, rate=5e-3),
    "dynamic_rope": dict(seed=1060, config=dict(BASE, max_position_embeddings=24, rope_parameters=dict(rope_type="dynamic",
                                     rope_theta=10000.0, factor=2.0)), r=4, alpha=8, length=(40, 40), old_spelling=True),
    # Odd widths, so that blocks of 64 cross rows. (For rows that are even but shorter than a block, bitsandbytes 0.50's CPU kernel takes the wrong
    # scale; its own portable code and its CUDA kernel do not.)
    "nf4": dict(seed=1070, config=dict(BASE, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1, head_dim=64), r=4, alpha=8, quant="nf4"),
    "nf4_double": dict(seed=1080, config=dict(BASE, hidden_size=64, intermediate_size=172, num_attention_heads=8, num_key_value_heads=4,
                                   head_dim=8), r=8, alpha=16, quant="nf4", double=True, batch=2, accumulation=2, mask=True),
}


# The other families. Rows of 4-bit matrices are odd or multiples of 64, for the reason above. `v4` respells the configuration as transformers 4
# wrote it: keys to drop, keys to add, rope as it was.
SMALL = dict(hidden_size=36, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
             vocab_size=83, max_position_embeddings=96, rms_norm_eps=1e-5, tie_word_embeddings=False)
OPT = dict(hidden_size=36, ffn_dim=52, num_hidden_layers=2, num_attention_heads=4, vocab_size=83, max_position_embeddings=64, dropout=0.0,
           word_embed_proj_dim=36, init_std=0.15)
GPT2 = dict(n_embd=36, n_layer=2, n_head=4, n_positions=64, vocab_size=83, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
NEOX = dict(hidden_size=48, intermediate_size=52, num_hidden_layers=2, num_attention_heads=3, vocab_size=83, max_position_embeddings=64)
LONGROPE = dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, short_factor=[1.0, 1.1, 1.2], long_factor=[1.5, 3.0, 6.0],
                original_max_position_embeddings=20)
T5 = dict(d_model=36, d_kv=10, d_ff=52, num_layers=2, num_decoder_layers=3, num_heads=4, vocab_size=83, dropout_rate=0.0,
          relative_attention_num_buckets=8, relative_attention_max_distance=12, decoder_start_token_id=0, initializer_factor=1.0)
T5_GATED = dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
NF4_SMALL = dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1, head_dim=64)
OPT_ALL = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
GPT2_ALL = ["c_attn", "c_proj", "c_fc"]
NEOX_ALL = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MOE = dict(SMALL, num_hidden_layers=3, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=28, norm_topk_prob=True)
MIXTRAL = dict(SMALL, num_local_experts=5, num_experts_per_tok=2)
VISION = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
PHI_ALL = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]

FAMILIES = {
    "opt": dict(seed=1090, kind=OPTConfig, config=OPT, r=4, alpha=8, targets=OPT_ALL, v4=dict(drop=[])),
    "opt_post_norm": dict(seed=1100, kind=OPTConfig, config=dict(OPT, do_layer_norm_before=False, word_embed_proj_dim=28), r=4, alpha=8,
                          targets=OPT_ALL + ["project_in", "project_out"]),
    "opt_nf4": dict(seed=1110, kind=OPTConfig, config=dict(OPT, hidden_size=45, ffn_dim=101, num_attention_heads=3, word_embed_proj_dim=45), r=4, alpha=8,
                    targets=["q_proj", "v_proj"], quant="nf4"),
    "gpt2": dict(seed=1120, kind=GPT2Config, config=GPT2, r=4, alpha=8, targets=GPT2_ALL, v4=dict(drop=[])),
    "gpt2_nf4": dict(seed=1130, kind=GPT2Config, config=dict(GPT2, n_embd=45, n_head=3, n_inner=101), r=4, alpha=8, targets=GPT2_ALL, quant="nf4"),
    "gpt_neox": dict(seed=1140, kind=GPTNeoXConfig, config=NEOX, r=4, alpha=8, targets=NEOX_ALL,
                     v4=dict(drop=["rope_parameters"], add=dict(rotary_pct=0.25, rotary_emb_base=10000))),
    "gpt_neox_serial": dict(seed=1150, kind=GPTNeoXConfig, config=dict(NEOX, use_parallel_residual=False,
                            rope_parameters=dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.5)), r=4, alpha=8, targets=NEOX_ALL),
    "gpt_neox_nf4": dict(seed=1160, kind=GPTNeoXConfig, config=dict(NEOX, hidden_size=64, intermediate_size=101, num_attention_heads=2), r=4, alpha=8,
                         targets=NEOX_ALL, quant="nf4"),
    "qwen2": dict(seed=1170, kind=Qwen2Config, config=SMALL, r=4, alpha=8, v4=dict(drop=["layer_types"], rope=True)),
    "qwen2_window": dict(seed=1180, kind=Qwen2Config, config=dict(SMALL, use_sliding_window=True, sliding_window=7, max_window_layers=1), r=4, alpha=8,
                         v4=dict(drop=["layer_types"], rope=True)),
    "qwen2_yarn": dict(seed=6500, kind=Qwen2Config, config=dict(SMALL, rope_parameters=dict(rope_type="yarn", rope_theta=100.0, factor=4.0,
                       original_max_position_embeddings=16)), r=4, alpha=8, length=(20, 60),
                       v4=dict(drop=["layer_types", "rope_parameters"], add=dict(rope_theta=100.0, rope_scaling=dict(
                               type="yarn", factor=4.0, original_max_position_embeddings=16)))),
    "qwen2_nf4": dict(seed=1190, kind=Qwen2Config, config=dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1,
                      head_dim=64), r=4, alpha=8, quant="nf4"),
    "qwen3": dict(seed=1200, kind=Qwen3Config, config=SMALL, r=4, alpha=8, v4=dict(drop=["layer_types"], rope=True)),
    "qwen3_nf4": dict(seed=1210, kind=Qwen3Config, config=dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1,
                      head_dim=64), r=4, alpha=8, quant="nf4"),
    "gemma2": dict(seed=1220, kind=Gemma2Config, config=dict(SMALL, tie_word_embeddings=True, sliding_window=7, query_pre_attn_scalar=14,
                   attn_logit_softcapping=2.0, final_logit_softcapping=3.0), r=4, alpha=8, v4=dict(drop=["layer_types"], rope=True)),
    "gemma2_nf4": dict(seed=1230, kind=Gemma2Config, config=dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1,
                       head_dim=64, tie_word_embeddings=True, sliding_window=7, query_pre_attn_scalar=50), r=4, alpha=8, quant="nf4"),
    "gemma3": dict(seed=1240, kind=Gemma3TextConfig, config=dict(SMALL, num_hidden_layers=3, tie_word_embeddings=True, sliding_window=7,
                   query_pre_attn_scalar=14, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
                   rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
                                        sliding_attention=dict(rope_type="default", rope_theta=100.0))), r=4, alpha=8,
                   v4=dict(drop=["layer_types", "rope_parameters"], add=dict(sliding_window_pattern=3, rope_theta=1000000.0,
                           rope_local_base_freq=100.0, rope_scaling=dict(rope_type="linear", factor=8.0)))),
    "gemma3_nf4": dict(seed=1250, kind=Gemma3TextConfig, config=dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3,
                       num_key_value_heads=1, head_dim=64, tie_word_embeddings=True, sliding_window=7), r=4, alpha=8, quant="nf4"),
    "phi3": dict(seed=1260, kind=Phi3Config, config=dict(SMALL, hidden_size=40, head_dim=None, sliding_window=9), r=4, alpha=8, targets=PHI_ALL, v4=dict(drop=[], rope=True)),
    "phi3_longrope": dict(seed=1270, kind=Phi3Config, config=dict(SMALL, hidden_size=32, head_dim=None, original_max_position_embeddings=20,
                          rope_parameters=LONGROPE), r=4, alpha=8, targets=PHI_ALL, length=(10, 34),
                          v4=dict(drop=["rope_parameters"], add=dict(rope_theta=10000.0, partial_rotary_factor=0.75, rope_scaling=dict(
                                  type="longrope", short_factor=LONGROPE["short_factor"], long_factor=LONGROPE["long_factor"])))),
    "phi3_nf4": dict(seed=1280, kind=Phi3Config, config=dict(SMALL, hidden_size=64, head_dim=None, num_attention_heads=2, num_key_value_heads=1,
                     intermediate_size=101), r=4, alpha=8, targets=PHI_ALL, quant="nf4"),
    "smollm3": dict(seed=1290, kind=SmolLM3Config, config=dict(SMALL, no_rope_layers=[1, 0], hidden_size=40, head_dim=None), r=4, alpha=8,
                    v4=dict(drop=["layer_types"], rope=True)),
    "smollm3_nf4": dict(seed=1300, kind=SmolLM3Config, config=dict(SMALL, no_rope_layers=[1, 0], hidden_size=64, num_attention_heads=2, num_key_value_heads=1,
                        intermediate_size=101, head_dim=None), r=4, alpha=8, quant="nf4"),
    "granite": dict(seed=1310, kind=GraniteConfig, config=dict(SMALL, hidden_size=40, head_dim=None, embedding_multiplier=3.0, residual_multiplier=0.4,
                    attention_multiplier=0.2, logits_scaling=1.7), r=4, alpha=8, v4=dict(drop=[], rope=True)),
    "granite_nf4": dict(seed=1320, kind=GraniteConfig, config=dict(SMALL, hidden_size=64, head_dim=None, num_attention_heads=2, num_key_value_heads=1,
                        intermediate_size=101, embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.2, logits_scaling=1.7),
                        r=4, alpha=8, quant="nf4"),
    "olmo2": dict(seed=1330, kind=Olmo2Config, config=dict(SMALL, hidden_size=40, head_dim=None), r=4, alpha=8, v4=dict(drop=[], rope=True)),
    "olmo2_nf4": dict(seed=1340, kind=Olmo2Config, config=dict(SMALL, hidden_size=64, head_dim=None, num_attention_heads=2, num_key_value_heads=1,
                      intermediate_size=101), r=4, alpha=8, quant="nf4"),
    "t5": dict(seed=1350, kind=T5Config, seq2seq=True, config=dict(T5, feed_forward_proj="relu"), r=4, alpha=8, targets=["q", "k", "v", "o", "wi", "wo"], batch=3,
               v4=dict(drop=["scale_decoder_outputs"])),
    "flan_t5": dict(seed=1360, kind=T5Config, seq2seq=True, config=dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False), r=4, alpha=8,
                    targets=["q", "v"], batch=2, accumulation=2, untied=True, v4=dict(drop=["scale_decoder_outputs"], add=dict(tie_word_embeddings=False))),
    "flan_t5_nf4": dict(seed=1370, kind=T5Config, seq2seq=True, config=dict(T5, d_model=45, d_kv=64, d_ff=101, num_heads=3, feed_forward_proj="gated-gelu",
                        tie_word_embeddings=False), r=4, alpha=8, targets=["q", "v"], batch=2, untied=True, quant="nf4"),
    "full_llama": dict(seed=1380, kind=LlamaConfig, config=SMALL, full=True, rate=1e-3, decay=0.05, batch=2),
    "full_opt": dict(seed=1390, kind=OPTConfig, config=OPT, full=True, rate=1e-3, decay=0.05, batch=2, accumulation=2),
    "full_gpt2": dict(seed=1400, kind=GPT2Config, config=GPT2, full=True, rate=1e-3, decay=0.05, batch=2),
    "full_t5": dict(seed=1410, kind=T5Config, seq2seq=True, config=dict(T5, feed_forward_proj="relu"), full=True, rate=1e-3, decay=0.05, batch=2),
    # With a layer more on either side the run is so unsteady that the last bit of the weights moves gradient norms by 1e-3.
    "full_flan_t5": dict(seed=1420, kind=T5Config, seq2seq=True, config=dict(T5, num_layers=1, num_decoder_layers=2, feed_forward_proj="gated-gelu",
                         tie_word_embeddings=False), untied=True,
                         full=True, rate=1e-3, decay=0.05, batch=2),
    "full_gemma3": dict(seed=1430, kind=Gemma3TextConfig, config=dict(SMALL, num_hidden_layers=3, tie_word_embeddings=True, sliding_window=7,
                        query_pre_attn_scalar=14, layer_types=["sliding_attention", "sliding_attention", "full_attention"]), full=True,
                        rate=1e-3, decay=0.05),
    "mistral_nf4": dict(seed=1440, kind=MistralConfig, config=dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1,
                        head_dim=64, sliding_window=7), r=4, alpha=8, quant="nf4"),
    "qwen3_moe": dict(seed=1450, kind=Qwen3MoeConfig, config=dict(MOE, mlp_only_layers=[1]), r=4, alpha=8, batch=2, targets=ATTENTION,
                      v4=dict(drop=["num_local_experts"], rope=True, add=dict(num_experts=6))),
    "qwen3_moe_experts": dict(seed=1460, kind=Qwen3MoeConfig, config=dict(MOE, norm_topk_prob=False, decoder_sparse_step=2), r=4, alpha=8,
                              unfused=True, targets=["q_proj", "gate_proj", "up_proj", "down_proj"]),
    "qwen3_moe_nf4": dict(seed=1470, kind=Qwen3MoeConfig, config=dict(MOE, num_hidden_layers=2, hidden_size=64, moe_intermediate_size=64, num_attention_heads=2,
                          num_key_value_heads=1, head_dim=64), r=4, alpha=8, unfused=True, targets=ATTENTION, quant="nf4"),
    # Of a size with which no token comes so close to a tie between experts that rounding decides.
    "full_qwen3_moe": dict(seed=1480, kind=Qwen3MoeConfig, config=dict(MOE, num_hidden_layers=2, num_experts=4, num_experts_per_tok=2), full=True, rate=1e-3,
                           decay=0.05, batch=2),
    "mixtral": dict(seed=1490, kind=MixtralConfig, config=MIXTRAL, r=4, alpha=8, targets=ATTENTION, v4=dict(drop=[], rope=True)),
    # Of a seed with which no token of the first step is within 0.01, in log-probability, of another expert.
    "mixtral_experts": dict(seed=6550, kind=MixtralConfig, config=dict(MIXTRAL, sliding_window=7), r=4, alpha=8, batch=2, accumulation=2, unfused=True,
                            targets=["q_proj", "v_proj", "w1", "w2", "w3"]),
    "mixtral_nf4": dict(seed=1510, kind=MixtralConfig, config=dict(MIXTRAL, hidden_size=64, intermediate_size=128, num_attention_heads=2, num_key_value_heads=1,
                        head_dim=64), r=4, alpha=8, unfused=True, targets=ATTENTION, quant="nf4"),
    # Inside a multimodal model, whose vision tower has modules of the same names.
    "gemma3_wrapped": dict(seed=1520, kind=Gemma3TextConfig, vision=VISION, config=dict(SMALL, tie_word_embeddings=True, sliding_window=7, query_pre_attn_scalar=14),
                           r=4, alpha=8, targets=r".*language_model.*\.(" + "|".join(ALL_LINEAR) + ")"),
    "mistral": dict(seed=1530, kind=MistralConfig, config=dict(SMALL, sliding_window=7), r=4, alpha=8, v4=dict(drop=[], rope=True)),
    "full_gemma3_wrapped": dict(seed=1540, kind=Gemma3TextConfig, vision=VISION, config=dict(SMALL, tie_word_embeddings=True, sliding_window=7,
                                query_pre_attn_scalar=14), full=True, rate=1e-3, decay=0.05, batch=2),
    # Grouped queries and biases, which DoRA does not scale; an encoder; weights stored [in,out].
    "dora_qwen2": dict(seed=1580, kind=Qwen2Config, config=SMALL, r=4, alpha=8, dora=True, batch=2, decay=0.1),
    "dora_qwen2_nf4": dict(seed=1590, kind=Qwen2Config, config=dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1,
                           head_dim=64), r=4, alpha=8, dora=True, quant="nf4"),
    "dora_t5": dict(seed=1600, kind=T5Config, seq2seq=True, config=dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False), r=4, alpha=8, dora=True,
                    rslora=True, targets=["q", "k", "v", "o", "wi_0", "wi_1", "wo"], batch=2, untied=True),
    "dora_gpt2": dict(seed=1610, kind=GPT2Config, config=GPT2, r=4, alpha=8, dora=True, targets=GPT2_ALL),
    # The embedding and the head, trained whole beside the adapter.
    "saved_qwen2": dict(seed=1620, kind=Qwen2Config, config=SMALL, r=4, alpha=8, save=["lm_head", "embed_tokens"], batch=2, decay=0.1, rate=1e-3),
    "saved_qwen2_nf4": dict(seed=1630, kind=Qwen2Config, config=dict(SMALL, hidden_size=45, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1,
                            head_dim=64), r=4, alpha=8, save=["lm_head", "embed_tokens"], quant="nf4", rate=1e-3),
    "saved_t5": dict(seed=1640, kind=T5Config, seq2seq=True, config=dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False), r=4, alpha=8,
                     save=["lm_head"], targets=["q", "v"], batch=2, untied=True, rate=1e-3),
    # Biases of the model beside the adapter, those of norms too; a bias of B. (The gradient of a key's bias alone is zero but for rounding.)
    "bias_gpt2": dict(seed=1650, kind=GPT2Config, config=GPT2, r=4, alpha=8, targets=["c_attn"], bias="all", batch=2, decay=0.1),
    "bias_qwen2_nf4": dict(seed=1660, kind=Qwen2Config, config=NF4_SMALL, r=4, alpha=8, targets=["q_proj", "v_proj", "up_proj"], bias="lora_only", quant="nf4", decay=0.1),
    "lora_bias_qwen2": dict(seed=1670, kind=Qwen2Config, config=SMALL, r=4, alpha=8, lora_bias=True, batch=2, decay=0.1),
    "lora_bias_t5": dict(seed=1680, kind=T5Config, seq2seq=True, config=T5_GATED, r=4, alpha=8, lora_bias=True, targets=["q", "v"], batch=2, untied=True, decay=0.1),
    # IA3, on weights stored [in,out] and in an encoder, too. Vectors begin as ones, but for these.
    "ia3_qwen2": dict(seed=1690, kind=Qwen2Config, config=SMALL, ia3=["down_proj", "up_proj"], targets=["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"], batch=2, decay=0.1,
                      rate=1e-2),
    "ia3_gpt2_nf4": dict(seed=1700, kind=GPT2Config, config=dict(GPT2, n_embd=45, n_head=3, n_inner=101), ia3=["mlp.c_proj"], targets=["c_attn", "mlp.c_proj"], quant="nf4", rate=1e-2),
    "ia3_t5": dict(seed=1710, kind=T5Config, seq2seq=True, config=T5_GATED, ia3=["wo"], targets=["k", "v", "wo"], batch=2, untied=True, rate=1e-2),
    # First values from the weights.
    "pissa_qwen2": dict(seed=1650, kind=Qwen2Config, config=SMALL, r=4, alpha=8, init="pissa", batch=2, decay=0.1),
    "pissa_qwen2_nf4": dict(seed=1660, kind=Qwen2Config, config=NF4_SMALL, r=4, alpha=8, init="pissa", quant="nf4"),
    "pissa_t5": dict(seed=1670, kind=T5Config, seq2seq=True, config=T5_GATED, r=4, alpha=8, init="pissa", rslora=True, targets=["q", "v", "wi_0", "wo"], batch=2, untied=True),
    "olora_qwen2": dict(seed=1680, kind=Qwen2Config, config=SMALL, r=4, alpha=8, init="olora", rate=5e-4),
    "olora_t5": dict(seed=1690, kind=T5Config, seq2seq=True, config=T5_GATED, r=4, alpha=8, init="olora", targets=["q", "v"], batch=2, untied=True, rate=5e-4),
    "loftq_qwen2_nf4": dict(seed=1700, kind=Qwen2Config, config=NF4_SMALL, r=4, alpha=4, init="loftq", quant="nf4"),
    "loftq_t5_nf4": dict(seed=1710, kind=T5Config, seq2seq=True, config=dict(T5_GATED, d_model=45, d_kv=64, d_ff=53, num_heads=1, num_layers=1, num_decoder_layers=1), r=4, alpha=4, init="loftq",
                         targets=["q", "v"], batch=2, untied=True, quant="nf4"),
    # Weights rounded to bf16 where they are multiplied, and trained in f32.
    "bf16_llama": dict(seed=1830, kind=LlamaConfig, config=SMALL, full=True, rate=1e-3, decay=0.05, batch=2, rounded=True),
    "bf16_t5": dict(seed=1840, kind=T5Config, seq2seq=True, config=dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_layers=1,
                    num_decoder_layers=2), untied=True, full=True, rate=1e-3, decay=0.05, batch=2, rounded=True),
    # Other losses: label smoothing, and noise on embeddings with a z-loss. Granite multiplies its embedding, and the noise with it.
    "smoothed_qwen2": dict(seed=1650, kind=Qwen2Config, config=SMALL, r=4, alpha=8, batch=2, accumulation=2, mask=True, smoothing=0.1),
    "smoothed_t5": dict(seed=1660, kind=T5Config, seq2seq=True, config=dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False), r=4, alpha=8,
                        targets=["q", "v"], batch=2, untied=True, smoothing=0.2),
    "noise_granite": dict(seed=1670, kind=GraniteConfig, config=dict(SMALL, hidden_size=40, head_dim=None, embedding_multiplier=3.0, residual_multiplier=0.4,
                          attention_multiplier=0.2, logits_scaling=1.7), r=4, alpha=8, accumulation=2, noise=5.0, z=0.01),
}

# Of the cases: how an optimizer other than AdamW, LoRA+ or another adapter (VeRA) trains. full: all weights of the case's model, which is 4-bit no more.
VARIANTS = {
    "qwen2": {"adafactor": dict(optim="adafactor"), "loraplus": dict(loraplus=8.0, decay=0.1), "lion": dict(optim="lion", rate=3e-4),
              "sgd": dict(optim="sgd", momentum=0.9, rate=0.1), "lorafa": dict(optim="lorafa", decay=0.1),
              "embed": dict(r=4, alpha=8, targets=ALL_LINEAR + ["embed_tokens", "lm_head"], batch=2, decay=0.1),
              "tokens": dict(r=4, alpha=8, targets=["q_proj", "v_proj"], tokens={"embed_tokens": [7, 3, 60, 21], "lm_head": [5, 3]}, batch=2, decay=0.1),
              "vera": dict(vera=dict(projection_prng_key=3), r=24, rate=1e-2, decay=0.1),
              "loraplus_embed": dict(loraplus=8.0, embedding_rate=2e-3, r=4, alpha=8, targets=["q_proj", "embed_tokens"], decay=0.1),
              "loraplus_vera": dict(loraplus=4.0, vera=dict(projection_prng_key=3), r=24, decay=0.1),
              "bias_vera": dict(vera=dict(projection_prng_key=3, bias="all"), r=24, rate=1e-2, decay=0.1)},
    # Whose embedding and head are one matrix: LoRA on it is not the head's, rows of tokens are.
    "gemma3_nf4": {"embed": dict(r=4, alpha=8, rslora=True, targets=["q_proj", "embed_tokens"]), "tokens": dict(r=4, alpha=8, targets=["q_proj"], tokens=[1, 80, 17, 4, 30])},
    # With a rate of 1e-2 an input of ReLU is within a rounding of 0 in step 7 of t5/vera, and its gradient there or not there.
    "t5": {"vera": dict(vera=dict(projection_prng_key=7, save_projection=False, d_initial=0.2), r=20, rate=8e-3, decay=0.1),
           "embed": dict(r=4, alpha=8, targets=["q", "v", "embed_tokens"], rate=5e-4, batch=2),
           "loraplus_embed": dict(loraplus=8.0, embedding_rate=2e-3, r=4, alpha=8, targets=["q", "v", "embed_tokens"], rate=2e-4, batch=2, decay=0.1),
           "loraplus_vera": dict(loraplus=4.0, vera=dict(projection_prng_key=7), r=20, decay=0.1),
           "tokens": dict(r=4, alpha=8, targets=["q", "v"], tokens=[9, 2, 44, 61], rate=5e-4, batch=2),
           "lorafa": dict(optim="lorafa", decay=0.1, rate=5e-4), "adafactor": dict(optim="adafactor"), "loraplus": dict(loraplus=8.0, decay=0.1, rate=5e-4), "lion": dict(optim="lion", rate=3e-4), "sgd": dict(optim="sgd", momentum=0.9, rate=1e-2)},
    # muon_bf16 is torch.optim.Muon as it is. Its roundings come by chance, and grow with the rate.
    "full_llama": {"adafactor": dict(optim="adafactor"), "muon": dict(optim="muon"), "muon_bf16": dict(optim="muon", iterate="bfloat16", rate=5e-5)},
    "full_t5": {"adafactor": dict(optim="adafactor"), "muon": dict(optim="muon", adjust="original"),
                "muon_bf16": dict(optim="muon", adjust="original", iterate="bfloat16", rate=5e-5)},
    # Whose matrices are large enough for 8 bits.
    "llama_gqa": {"adamw_8bit": dict(optim="adamw_8bit", full=True, rate=1e-3, decay=0.05, batch=2),
                  "lion_8bit": dict(optim="lion_8bit", full=True, rate=1e-4, decay=0.05, batch=2)},
    # Gradients of this model are large and steep: at higher rates the last bit of the weights moves losses by 1e-5.
    "flan_t5_nf4": {"adamw_8bit": dict(optim="adamw_8bit", full=True, quant=None, rate=2e-5, decay=0.05),
                    "lion_8bit": dict(optim="lion_8bit", full=True, quant=None, rate=3e-6, decay=0.05)},
    "qwen2_nf4": {"lorafa": dict(optim="lorafa"), "adamw_8bit": dict(optim="adamw_8bit", r=96, alpha=96, targets=["k_proj"]), "adafactor": dict(optim="adafactor"),
                  "loraplus": dict(loraplus=8.0)},
}


def model_class(case):
    return AutoModelForSeq2SeqLM if case.get("seq2seq") else AutoModelForCausalLM


def make_model(case, path):
    torch.manual_seed(case["seed"])
    kind = case.get("kind", MistralConfig if case.get("mistral") else LlamaConfig)
    range_key = "init_std" if kind is OPTConfig else "initializer_factor" if kind is T5Config else "initializer_range"
    values = {k: v for k, v in case["config"].items() if v is not None and k != range_key}
    tokens = dict(eos_token_id=1, pad_token_id=0) if kind is T5Config else dict(bos_token_id=1, eos_token_id=2, pad_token_id=None)
    config = kind(**values, **{range_key: 1.0 if kind is T5Config else 0.15}, attn_implementation="eager", **tokens)
    if "vision" in case:
        config = Gemma3Config(text_config=config, vision_config=case["vision"], mm_tokens_per_image=4, image_token_index=82, boi_token_index=81,
                              eoi_token_index=80, attn_implementation="eager")
    model = model_class(case).from_config(config)
    if case.get("untied"):
        model.lm_head.weight = torch.nn.Parameter(0.3 * torch.randn_like(model.lm_head.weight))
    if kind is T5Config:
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name.endswith("SelfAttention.q.weight") or name.endswith("EncDecAttention.q.weight"):
                    p.mul_(4)  # scores are not scaled; let them matter
                if "relative_attention_bias" in name:
                    p.mul_(10)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name or (case.get("kind") and ("ln_" in name or name.endswith(".bias"))):
                p.add_(0.1 * torch.randn_like(p))
    model.to(case.get("dtype", torch.float32)).save_pretrained(path)
    if case.get("old_spelling"):
        respell(os.path.join(path, "config.json"))
    if "v4" in case:
        respell_v4(path, case["v4"])


def respell_v4(path, v4):
    """config_v4.json beside config.json: the same configuration as transformers 4 wrote it."""
    with open(os.path.join(path, "config.json")) as f:
        config = json.load(f)
    if v4.get("rope"):
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope["rope_theta"]
    for key in v4["drop"]:
        config.pop(key, None)
    config.update(v4.get("add", {}))
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.0"
    with open(os.path.join(path, "config_v4.json"), "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def respell(path):
    """The configuration as transformers 4 wrote it: rope_theta, rope_scaling, torch_dtype."""
    with open(path) as f:
        config = json.load(f)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.0"
    with open(path, "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def load_model(case, path):
    extra = {}
    if case.get("quant") == "nf4":
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32,
            bnb_4bit_use_double_quant=bool(case.get("double")), bnb_4bit_quant_storage=torch.uint8)
    model = model_class(case).from_pretrained(path, dtype=torch.float32, attn_implementation="eager", **extra)
    if case.get("unfused"):
        unfuse(model, case.get("quant"))
    return model


class Experts(torch.nn.ModuleList):
    """The experts of a layer as one module each, of the names that checkpoints have."""

    def __init__(self, fused, names, quant):
        super().__init__()
        gates, ups = fused.gate_up_proj.data.chunk(2, dim=1)
        for parts in zip(gates, ups, fused.down_proj.data):
            self.append(torch.nn.ModuleDict({name: self.linear(part, quant) for name, part in zip(names, parts)}))
        self.names, self.act = names, fused.act_fn.forward  # as a module it would be one of the list

    @staticmethod
    def linear(weight, quant):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        weight = weight.contiguous()
        linear.weight.data = dequantize_4bit(*quantize_4bit(weight, quant_type="nf4")) if quant else weight
        linear.weight.requires_grad = False
        return linear

    def forward(self, hidden, chosen, weights):
        result = torch.zeros_like(hidden)
        for number, expert in enumerate(self):
            gate, up, down = (expert[name] for name in self.names)
            token, place = torch.where(chosen == number)
            made = down(self.act(gate(hidden[token])) * up(hidden[token])) * weights[token, place, None]
            result = result.index_add(0, token, made)
        return result


def unfuse(model, quant):
    names = ["w1", "w3", "w2"] if model.config.model_type == "mixtral" else ["gate_proj", "up_proj", "down_proj"]
    for layer in model.model.layers:
        if hasattr(layer.mlp, "experts"):
            layer.mlp.experts = Experts(layer.mlp.experts, names, quant)


def hub_name(model, name):
    """A tensor's name in an adapter that fits the checkpoint's names."""
    name = name.replace(".default.", ".").removesuffix(".default")
    name = name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector").replace(".modules_to_save.weight", ".weight")
    return name.replace(".mlp.", ".block_sparse_moe.") if model.config.model_type == "mixtral" else name


def chosen_experts(model, row):
    chosen, hooks = [], []
    for module in model.modules():
        if type(module).__name__.endswith("TopKRouter"):
            hooks.append(module.register_forward_hook(lambda module, inputs, output: chosen.append(output[2].tolist())))
    first_logprobs(model, row)
    for hook in hooks:
        hook.remove()
    return chosen


def make_pairs(case, count, generator):
    """Source and target of lengths of their own; the target repeats the source backwards, mostly."""
    vocab, rows = case["config"]["vocab_size"], []
    for _ in range(count):
        n, m = (int(torch.randint(2, 19, (1,), generator=generator)) for _ in range(2))
        ids = torch.randint(2, vocab, (n,), generator=generator).tolist()
        labels = [ids[-1 - i] if i < n and torch.rand(1, generator=generator) < 0.8 else (7 * i + n) % vocab for i in range(m)] + [1]
        rows.append(dict(input_ids=ids + [1], labels=labels))
    return rows


def make_rows(case, count, generator):
    if case.get("seq2seq"):
        return make_pairs(case, count, generator)
    vocab, (low, high) = case["config"]["vocab_size"], case.get("length", (5, 24))
    rows = []
    for _ in range(count):
        n = int(torch.randint(low, high + 1, (1,), generator=generator))
        ids = torch.randint(0, vocab, (n,), generator=generator).tolist()
        for i in range(2, n):  # something to learn: a fixed successor, most of the time
            if torch.rand(1, generator=generator) < 0.7:
                ids[i] = (3 * ids[i - 1] + 7) % vocab
        labels = list(ids)
        if case.get("mask"):
            for i in range(int(torch.randint(0, max(n - 1, 1), (1,), generator=generator))):
                labels[i] = -100
        rows.append(dict(input_ids=ids, labels=labels))
    return rows


def batch_of(rows):
    width, target = max(len(r["input_ids"]) for r in rows), max(len(r["labels"]) for r in rows)
    pad = lambda values, fill, to=None: values + [fill] * ((to or width) - len(values))
    return dict(input_ids=torch.tensor([pad(r["input_ids"], 0) for r in rows]),
                attention_mask=torch.tensor([pad([1] * len(r["input_ids"]), 0) for r in rows]),
                labels=torch.tensor([pad(r["labels"], -100, target) for r in rows]))


def loss_sum(case, model, batch):
    """transformers' LabelSmoother, which divides by the number of items that it is given; and the coefficient z times logsumexp^2."""
    seq2seq = model.config.is_encoder_decoder
    if not case.get("smoothing") and not case.get("z"):
        return cross_entropy_sum(model, batch)
    logits = model(**batch).logits if seq2seq else model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    loss = LabelSmoother(epsilon=case.get("smoothing", 0.0))(dict(logits=logits), batch["labels"], shift_labels=not seq2seq, num_items_in_batch=1)
    if case.get("z"):
        squares = logits[:, :-1].logsumexp(-1).square()
        loss = loss + case["z"] * squares[batch["labels"][:, 1:] != -100].sum()
    return loss


def cross_entropy_sum(model, batch):
    if model.config.is_encoder_decoder:
        logits = model(**batch).logits  # the decoder reads the labels, one place later, after decoder_start_token_id
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=-100, reduction="sum")
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(),
                                             ignore_index=-100, reduction="sum")


def trained_tokens(rows, seq2seq):
    return sum(sum(x != -100 for x in r["labels"][0 if seq2seq else 1:]) for r in rows)


def evaluate(case, model, rows, size):
    with torch.no_grad():
        total = sum(float(loss_sum(case, model, batch_of(rows[i:i + size])).double()) for i in range(0, len(rows), size))
    return total / trained_tokens(rows, model.config.is_encoder_decoder)


def first_logprobs(model, row):
    if model.config.is_encoder_decoder:
        with torch.no_grad():
            logprobs = model(**batch_of([row])).logits.double().log_softmax(-1)[0]
        return [float(logprobs[i, x]) for i, x in enumerate(row["labels"])]
    ids = torch.tensor([row["input_ids"]])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits.double().log_softmax(-1)[0]
    return [None] + [float(logprobs[i - 1, ids[0, i]]) for i in range(1, ids.shape[1])]


def greedy(model, ids, count=12):
    """The likeliest continuation, without a cache, up to where rounding to f16 could make another token the likeliest."""
    seq2seq, new = model.config.is_encoder_decoder, []
    with torch.no_grad():
        for _ in range(count):
            if seq2seq:
                logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[0] + new])).logits
            else:
                logits = model(input_ids=torch.tensor([ids + new])).logits
            best, next_best = logits[0, -1].float().topk(2).values
            if best - next_best < NEAR_TIE:
                break
            new.append(int(logits[0, -1].argmax()))
    return new


def philox(counter, key):
    """Philox4x32-10 of Salmon et al. 2011: four words."""
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [b >> 32 ^ counter[1] ^ key[0], b & 0xFFFFFFFF, a >> 32 ^ counter[3] ^ key[1], a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


@contextlib.contextmanager
def rounded(case, model):
    """Weights in bf16, as PyTorch's FSDP has them with param_dtype=torch.bfloat16: rounded copies of those in f32 that the optimizer has. Vectors, and
    T5's biases of scores, are not rounded, nor are activations."""
    kept = {}
    for name, p in model.named_parameters():
        if case.get("rounded") and p.dim() == 2 and "relative_attention_bias" not in name:
            kept[p], p.data = p.data, p.data.bfloat16().float()
    yield
    for p, data in kept.items():
        p.data = data


@contextlib.contextmanager
def noise(case, model, micro):
    """transformers' NEFTune, with vkft's uniform numbers of this micro batch in the place of PyTorch's."""
    if not case.get("noise"):
        yield
        return

    def uniform(tensor, low, high):
        words = [word for i in range(-(-tensor.numel() // 4)) for word in philox([i, 0xFFFFFFFF, micro, 0], [SEED, 0])]
        u = torch.tensor([(word >> 8) / 2**23 - 1 for word in words[:tensor.numel()]])
        return tensor.copy_(u.reshape(tensor.shape) * high)

    handle, original, torch.Tensor.uniform_ = activate_neftune(model, case["noise"]), torch.Tensor.uniform_, uniform
    yield
    torch.Tensor.uniform_ = original
    deactivate_neftune(model, handle)


def write_jsonl(path, rows):
    with open(path, "w") as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")


def replace_quantized(model):
    """Linear layers in f32 with the values of their 4-bit codes."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Linear4bit):
                linear = torch.nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
                linear.weight.data = dequantize_4bit(child.weight.data, child.weight.quant_state)
                linear.bias = child.bias
                linear.requires_grad_(False)
                setattr(module, name, linear)
    del model.hf_quantizer, model.is_loaded_in_4bit, model.quantization_method, model.config.quantization_config


def start_loftq(model, path):
    original = load_file(os.path.join(path, "model.safetensors"))
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            weight = original[name.removeprefix("base_model.model.") + ".weight"]
            base = module.get_base_layer().weight
            made = _low_rank_decomposition(weight - dequantize_4bit(base.data, base.quant_state), module.r["default"])
            module.lora_A["default"].weight.data, module.lora_B["default"].weight.data = made["R"].contiguous(), made["L"].contiguous()


def add_adapter(case, model, out, folder="adapter_init"):
    if case.get("init") in ("pissa", "olora") and case.get("quant"):
        replace_quantized(model)
    model_type = model.config.model_type
    if case.get("unfused"):
        model.config.model_type = "llama"  # or PEFT looks for the experts as transformers 5 has them
    task = "SEQ_2_SEQ_LM" if case.get("seq2seq") else "CAUSAL_LM"
    model = get_peft_model(model, IA3Config(target_modules=case["targets"], feedforward_modules=case["ia3"], task_type=task) if "ia3" in case
                           else VeraConfig(r=case["r"], target_modules=case.get("targets", ALL_LINEAR), task_type=task, **case["vera"]) if "vera" in case else LoraConfig(
        r=case["r"], lora_alpha=case["alpha"], use_rslora=case.get("rslora", False), target_modules=case.get("targets", ALL_LINEAR),
        rank_pattern=case.get("rank_pattern", {}), alpha_pattern=case.get("alpha_pattern", {}), use_dora=case.get("dora", False),
        bias=case.get("bias", "none"), lora_bias=case.get("lora_bias", False),
        init_lora_weights=True if case.get("init") == "loftq" else case.get("init", True), modules_to_save=case.get("save"), trainable_token_indices=case.get("tokens"),
        task_type="SEQ_2_SEQ_LM" if case.get("seq2seq") else "CAUSAL_LM"))
    model.config.model_type = model_type
    if "init" in case:
        if case["init"] == "loftq":
            start_loftq(model, os.path.join(out, "model"))
        return model
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                p.copy_(0.05 * torch.randn_like(p))
            if "vera_lambda_b" in name:
                p.copy_(0.05 * torch.randn_like(p))
            if "ia3_l" in name:
                p.add_(0.1 * torch.randn_like(p))
            if "trainable_tokens_delta" in name:
                p.add_(0.05 * torch.randn_like(p))
    model.peft_config["default"].base_model_name_or_path = os.path.basename(out) + "/model"  # wherever it was made
    model.save_pretrained(os.path.join(out, folder))
    path = os.path.join(out, folder, "adapter_model.safetensors")
    save_file({hub_name(model, k): v for k, v in load_file(path).items()}, path, metadata=dict(format="pt"))
    readme = os.path.join(out, folder, "README.md")
    if os.path.exists(readme):
        os.remove(readme)
    return model


def parameter_groups(model, decay):
    """As the Hugging Face Trainer has them: no weight decay for biases and norms."""
    names = set(get_parameter_names(model, ALL_LAYERNORM_LAYERS, [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]))
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [dict(params=[p for n, p in trained if n in names], weight_decay=decay),
            dict(params=[p for n, p in trained if n not in names], weight_decay=0.0)]


def before_training(case, model, train):
    expected = dict(logprobs=first_logprobs(model, train[0]))
    if "kind" in case:
        expected["greedy"] = greedy(model, train[0]["input_ids"])
    experts = chosen_experts(model, train[0])
    if experts:
        expected["experts"] = experts
    return expected


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr, betas):
        super().__init__(params, dict(lr=lr, betas=betas))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(torch.sign(beta1 * m + (1 - beta1) * p.grad), alpha=-group["lr"])
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


def nearest_codes(values, code, absmax_out, codes, blocksize):
    flat = torch.nn.functional.pad(values.flatten(), (0, -values.numel() % blocksize)).reshape(-1, blocksize)
    absmax = flat.abs().amax(1)
    scaled = flat / absmax.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    absmax_out.copy_(absmax)
    codes.copy_(torch.bucketize(scaled, (code[1:] + code[:-1]) / 2).flatten()[:values.numel()].reshape(codes.shape))


def with_32_bits_for_embeddings(optimizer, model):
    """As the Trainer does."""
    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})
    bitsandbytes.backends.cpu.ops._quant_blockwise_fp32_direct = nearest_codes
    return optimizer


MUON_SOURCE = inspect.getsource(muon_module._zeropower_via_newtonschulz)
assert MUON_SOURCE.count("torch.bfloat16") == 1


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon for the matrices of blocks, with its iteration in this type, and AdamW for everything else."""
    def __init__(self, model, groups, rate, adjust, iterate):
        exec(MUON_SOURCE.replace("torch.bfloat16", "torch." + iterate), muon_module.__dict__)
        hidden = {m.weight for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" not in n}
        matrices = [p for p in groups[0]["params"] if p in hidden]
        others = [dict(group, params=[p for p in group["params"] if p not in hidden]) for group in groups]
        self.parts = [torch.optim.Muon(matrices, lr=rate, weight_decay=groups[0]["weight_decay"], adjust_lr_fn=adjust),
                      torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.999), eps=1e-8)]
        super().__init__(matrices, {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self):
        for part in self.parts:
            part.step()


def make_optimizer(case, model, rate, decay):
    optim, groups, adam = case.get("optim"), parameter_groups(model, decay), dict(betas=(0.9, 0.999), eps=1e-8)
    if "loraplus" in case:
        embedding = dict(loraplus_lr_embedding=case["embedding_rate"]) if "embedding_rate" in case else {}
        return create_loraplus_optimizer(model, torch.optim.AdamW, lr=rate, loraplus_lr_ratio=case["loraplus"], loraplus_weight_decay=decay, **embedding, **adam)
    if optim == "lorafa":
        lorafa.is_bf16_available = lambda: False
        return lorafa.create_lorafa_optimizer(model, r=case["r"], lora_alpha=case["alpha"], lr=rate, weight_decay=decay)
    if optim == "adafactor":
        return Adafactor(groups, lr=rate, scale_parameter=False, relative_step=False)
    if optim == "muon":
        return Muon(model, groups, rate, case.get("adjust", "match_rms_adamw"), case.get("iterate", "float32"))
    if optim == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=case["momentum"])
    if optim == "lion":
        return Lion(groups, lr=rate, betas=(0.9, 0.999))
    if optim == "adamw_8bit":
        return with_32_bits_for_embeddings(bitsandbytes.optim.AdamW8bit(groups, lr=rate, **adam), model)
    if optim == "lion_8bit":
        return with_32_bits_for_embeddings(bitsandbytes.optim.Lion8bit(groups, lr=rate, betas=(0.9, 0.999)), model)
    return torch.optim.AdamW(groups, lr=rate, **adam)


def read_jsonl(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def run(case, out):
    batch, accumulation = case.get("batch", 1), case.get("accumulation", 1)
    generator = torch.Generator().manual_seed(case["seed"] + 1)
    train, valid = make_rows(case, batch * accumulation * STEPS, generator), make_rows(case, 6, generator)
    make_model(case, os.path.join(out, "model"))
    write_jsonl(os.path.join(out, "train.jsonl"), train)
    write_jsonl(os.path.join(out, "valid.jsonl"), valid)

    torch.manual_seed(case["seed"] + 2)
    model = load_model(case, os.path.join(out, "model"))
    model.train()  # no dropout anywhere; in evaluation bitsandbytes repacks its weights for some processors
    expected = dict(losses=[], grad_norms=[], learning_rates=[])
    if "init" in case:
        expected.update(before_training(case, model, train))
    if not case.get("full"):
        model = add_adapter(case, model, out)

    model.train()
    if "init" not in case:
        expected.update(before_training(case, model, train))
    train_model(case, model, train, valid, expected, out)
    finish(expected, out, "expected.json")


def run_variant(case, out, name):
    """The same model and data, trained otherwise."""
    train, valid = (read_jsonl(os.path.join(out, file)) for file in ("train.jsonl", "valid.jsonl"))
    train *= -(-case.get("batch", 1) * case.get("accumulation", 1) * STEPS // len(train))
    torch.manual_seed(case["seed"] + 2)
    model = load_model(case, os.path.join(out, "model"))
    if "r" in VARIANTS[os.path.basename(out)][name]:
        model = add_adapter(case, model, out, "adapter_" + name)
    elif not case.get("full"):
        model = PeftModel.from_pretrained(model, os.path.join(out, "adapter_init"), is_trainable=True)
    model.train()
    expected = dict(losses=[], grad_norms=[], learning_rates=[])
    train_model(case, model, train, valid, expected)
    finish(expected, out, "expected_%s.json" % name)


def train_model(case, model, train, valid, expected, out=None):
    """out: where the first gradients go."""
    batch, accumulation = case.get("batch", 1), case.get("accumulation", 1)
    rate, decay, clip = case.get("rate", 2e-3), case.get("decay", 0.01), case.get("clip", 1.0)
    schedule, warmup = case.get("schedule", "linear"), case.get("warmup", 0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(case, model, rate, decay)
    scheduler = get_scheduler(schedule, optimizer, num_warmup_steps=warmup, num_training_steps=STEPS)
    for step in range(STEPS):
        rows = train[step * batch * accumulation:(step + 1) * batch * accumulation]
        tokens, total = trained_tokens(rows, case.get("seq2seq")), 0.0
        for i in range(0, len(rows), batch):
            with rounded(case, model), noise(case, model, (step * batch * accumulation + i) // batch):
                loss = loss_sum(case, model, batch_of(rows[i:i + batch]))
                (loss / tokens).backward()
            total += float(loss.detach().double())
        if step == 0 and out and not case.get("full") and "init" not in case:
            save_file({hub_name(model, k): p.grad.contiguous() for k, p in model.named_parameters() if p.requires_grad},
                      os.path.join(out, "gradients.safetensors"), metadata=dict(format="pt"))
        expected["losses"].append(total / tokens)
        expected["grad_norms"].append(float(torch.nn.utils.clip_grad_norm_(parameters, clip)))
        expected["learning_rates"].append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    with rounded(case, model):
        expected["eval_loss"] = evaluate(case, model, valid, batch)
    flags = dict(quant=case.get("quant", "fp32") or "fp32", batch_size=batch, gradient_accumulation_steps=accumulation, max_steps=STEPS,
                 learning_rate=rate, lr_scheduler_type=schedule, warmup_steps=warmup, weight_decay=decay, max_grad_norm=clip)
    expected["flags"] = [x for k, v in flags.items() for x in ("--" + k.replace("_", "-"), str(v))]
    expected["flags"] += ["--fine-tune-type", "full"] if case.get("full") else []
    expected["flags"] += ["--param-dtype", "bf16"] if case.get("rounded") else []
    if "init" in case:
        expected["flags"] += ["--init-lora-weights", case["init"], "--lora-r", str(case["r"]), "--lora-alpha", str(case["alpha"]), "--lora-target-modules",
                              ",".join(case.get("targets", ALL_LINEAR))] + (["--use-rslora"] if case.get("rslora") else [])
    for key, flag in ("smoothing", "--label-smoothing-factor"), ("z", "--z-loss-multiplier"), ("noise", "--neftune-noise-alpha"):
        expected["flags"] += [flag, str(case[key])] if case.get(key) else []
    expected["flags"].append("--double-quant" if case.get("double") else "--no-double-quant")
    expected["flags"] += ["--optim", case["optim"]] if "optim" in case else []
    expected["flags"] += ["--adam-epsilon", "1e-6"] if case.get("optim") == "lorafa" else []  # its own default
    expected["flags"] += ["--optim-args", "momentum=%g" % case["momentum"]] if "momentum" in case else []
    expected["flags"] += ["--optim-args", "adjust_lr_fn=" + case["adjust"]] if "adjust" in case else []
    expected["flags"] += ["--loraplus-lr-ratio", "%g" % case["loraplus"]] if "loraplus" in case else []
    expected["flags"] += ["--loraplus-lr-embedding", "%g" % case["embedding_rate"]] if "embedding_rate" in case else []


def finish(expected, out, file):
    with open(os.path.join(out, file), "w") as f:
        json.dump(expected, f, indent=1)
        f.write("\n")
    print(os.path.basename(out), file, expected["losses"][0], "->", expected["losses"][-1], "eval", expected["eval_loss"])


def main():
    torch.set_num_threads(1)
    wanted = sys.argv[2:]
    for name, case in {**CASES, **FAMILIES}.items():
        out = os.path.join(sys.argv[1], name)
        if not wanted or name in wanted:
            os.makedirs(out, exist_ok=True)
            run(case, out)
        for variant, changes in VARIANTS.get(name, {}).items():
            if not wanted or name in wanted or name + "/" + variant in wanted:
                run_variant(dict(case, **changes), out, variant)


if __name__ == "__main__":
    main()
