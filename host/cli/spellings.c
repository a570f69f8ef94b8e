/* Names and values that TrainingArguments, BitsAndBytesConfig, LoraConfig and their like have for what is a flag here.
 * A name that is spelled as the flag is needs no row. What would be computed otherwise than there is refused, never
 * guessed. */
#include "host/cli/spellings.h"

/* Another name of a flag; one value of a name; a value that asks for what is done anyway; one that is refused. */
#define ALSO(theirs, ours)                                                                                             \
    {                                                                                                                  \
        .name = (theirs), .flag = (ours)                                                                               \
    }
#define MEANS(theirs, from, ours, to)                                                                                  \
    {                                                                                                                  \
        .name = (theirs), .value = (from), .flag = (ours), .means = (to)                                               \
    }
#define NOTHING(theirs, from, ours, why)                                                                               \
    {                                                                                                                  \
        .name = (theirs), .value = (from), .flag = (ours), .verdict = SPELLING_NOTHING, .note = (why)                  \
    }
#define REFUSED(theirs, from, ours, why)                                                                               \
    {                                                                                                                  \
        .name = (theirs), .value = (from), .flag = (ours), .verdict = SPELLING_REFUSED, .note = (why)                  \
    }
#define HEADING(text)                                                                                                  \
    {                                                                                                                  \
        .name = (text)                                                                                                 \
    }

const flag_spelling cli_spellings[] = {
    HEADING("transformers: TrainingArguments"),
    ALSO("per_device_train_batch_size", "batch-size"),
    ALSO("per_device_eval_batch_size", "eval-batch-size"),
    {.name = "per_device_eval_batch_size", .flag = "batch-size", .note = "(of vkft eval)"},
    ALSO("evaluation_strategy", "eval-strategy"),
    REFUSED("save_strategy", "best", "save-strategy",
            "--load-best-model-at-end keeps the best beside the checkpoints; use steps or epoch"),
    {.name = "warmup_ratio", .flag = "warmup-steps", .range = FROM_TO_BELOW(0, 1)},
    MEANS("optim", "adamw_torch", "optim", "adamw"),
    MEANS("optim", "adamw_torch_fused", "optim", "adamw"),
    MEANS("optim", "paged_adamw", "optim", "paged_adamw_32bit"),
    MEANS("optim", "adamw_bnb_8bit", "optim", "adamw_8bit"),
    MEANS("optim", "lion_32bit", "optim", "lion"),
    REFUSED(
        "optim", "adamw_torch_8bit", "optim",
        "that is torchao's, which keeps its moments otherwise; use adamw_8bit, which computes as bitsandbytes does"),
    REFUSED("optim", "adamw_hf", "optim",
            "transformers has removed it; its epsilon was another than that of AdamW in PyTorch; use adamw"),
    MEANS("bf16", "true", "compute-dtype", "bf16"),
    NOTHING("bf16", "false", "compute-dtype", "--compute-dtype decides"),
    MEANS("fp16", "true", "compute-dtype", "fp16"),
    NOTHING("fp16", "false", "compute-dtype", "--compute-dtype decides"),
    ALSO("overwrite_output_dir", "overwrite"),
    MEANS("resume_from_checkpoint", "true", "resume-from-checkpoint", "auto"),
    NOTHING("resume_from_checkpoint", "false", "resume-from-checkpoint", "a run begins anew unless it is asked for"),
    NOTHING("remove_unused_columns", "true", "data", "of a row only the known keys are read"),
    REFUSED("remove_unused_columns", "false", "data", "of a row only the known keys are read; leave it out"),

    HEADING("TRL: ScriptArguments; the examples of transformers"),
    ALSO("dataset_name", "data"),
    ALSO("train_file", "data"),
    ALSO("dataset_config_name", "dataset-config"),
    ALSO("dataset_train_split", "dataset-split"),
    ALSO("dataset_test_split", "dataset-validation-split"),

    HEADING("TRL: SFTConfig"),
    ALSO("max_length", "max-seq-length"),
    {.name = "dataset_text_field", .flag = "data-keys", .prefix = "text="},

    HEADING("TRL: DPOConfig, ORPOConfig, CPOConfig, KTOConfig; LLaMA-Factory; mlx-lm-lora"),
    ALSO("train_mode", "objective"),
    REFUSED("stage", "pt", "objective", "continued training on plain text is --objective sft with a .txt file"),
    REFUSED("stage", "rm", "objective", "reward models are not trained; use dpo, orpo, simpo or kto"),
    REFUSED("stage", "ppo", "objective", "is not supported; use dpo, orpo, simpo or kto"),
    ALSO("stage", "objective"),
    MEANS("use_muon", "true", "optim", "muon"),
    NOTHING("use_muon", "false", "optim", "--optim decides"),
    ALSO("pref_beta", "beta"),
    MEANS("pref_loss", "orpo", "objective", "orpo"),
    MEANS("pref_loss", "simpo", "objective", "simpo"),
    ALSO("pref_loss", "loss-type"),
    ALSO("dpo_label_smoothing", "label-smoothing"),
    ALSO("gamma", "simpo-gamma"),
    ALSO("kto_chosen_weight", "desirable-weight"),
    ALSO("kto_rejected_weight", "undesirable-weight"),
    NOTHING("precompute_ref_log_probs", NULL, "objective", "they are computed once, before training, and cached"),
    NOTHING("disable_dropout", "true", "objective", "preferences are trained without dropout"),
    REFUSED("max_prompt_length", NULL, "max-seq-length",
            "--max-seq-length is for prompt and answer together, as in TRL; rows whose prompt fills it are left out"),

    HEADING("transformers: BitsAndBytesConfig and from_pretrained"),
    {.name = "load_in_4bit",
     .value = "true",
     .flag = "quant",
     .means = "nf4",
     .note =
         "with double quantization unless bnb_4bit_use_double_quant is false, where BitsAndBytesConfig alone means fp4 "
         "without"},
    {.name = "load_in_4bit",
     .value = "false",
     .flag = "quant",
     .means = "none",
     .note = "(the weights stay as the checkpoint has them)"},
    REFUSED("load_in_8bit", "true", "quant", "weights in 8 bits are not supported; use load_in_4bit, or --quant bf16"),
    NOTHING("load_in_8bit", "false", "quant", "--quant decides"),
    MEANS("bnb_4bit_quant_type", "nf4", "quant", "nf4"),
    REFUSED("bnb_4bit_quant_type", "fp4", "quant",
            "checkpoints in fp4 are read, but none are made; use nf4, which is more exact in as many bits"),
    ALSO("bnb_4bit_use_double_quant", "double-quant"),
    MEANS("bnb_4bit_compute_dtype", "float32", "compute-dtype", "fp32"),
    MEANS("bnb_4bit_compute_dtype", "torch.float32", "compute-dtype", "fp32"),
    MEANS("bnb_4bit_compute_dtype", "bfloat16", "compute-dtype", "bf16"),
    MEANS("bnb_4bit_compute_dtype", "torch.bfloat16", "compute-dtype", "bf16"),
    MEANS("bnb_4bit_compute_dtype", "float16", "compute-dtype", "fp16"),
    MEANS("bnb_4bit_compute_dtype", "torch.float16", "compute-dtype", "fp16"),
    NOTHING("device_map", "auto", "device", "the whole model is on one device, the best one or that of --device"),
    REFUSED("device_map", NULL, "device", "the whole model is on one device; choose it with --device"),

    HEADING("PEFT: LoraConfig"),
    ALSO("r", "lora-r"),
    ALSO("target_modules", "lora-target-modules"),
    NOTHING("modules_to_save", "none", "modules-to-save", "nothing but the adapter is trained"),
    REFUSED("init_lora_weights", "corda", "init-lora-weights",
            "it needs activations of the training data; use pissa or another"),
    REFUSED("init_lora_weights", "lora_ga", "init-lora-weights",
            "it needs gradients of the training data; use pissa or another"),
    REFUSED("init_lora_weights", "eva", "init-lora-weights",
            "it needs activations of the training data; use pissa or another"),
    REFUSED("init_lora_weights", "mica", "init-lora-weights", "B would be frozen; use true, gaussian or orthogonal"),
    REFUSED("init_lora_weights", "false", "init-lora-weights",
            "A and B would both be random and the model another one; use true"),
    NOTHING("trainable_token_indices", "none", "trainable-token-indices", "no rows of tokens are trained"),
    NOTHING("ensure_weight_tying", "false", "lora-target-modules", "adapters of embedding and head are two"),
    REFUSED(
        "ensure_weight_tying", NULL, "lora-target-modules",
        "adapters of embedding and head are two, as in PEFT without it; with trainable_token_indices tied rows stay "
        "tied; leave it out"),
    NOTHING("layer_replication", "none", "lora-r", "the model keeps its layers"),
    REFUSED("layer_replication", NULL, "lora-r", "the model keeps its layers; leave it out"),
    NOTHING("target_parameters", "none", "lora-r", "adapters are on linear layers"),
    REFUSED("target_parameters", NULL, "lora-r",
            "adapters are on linear layers, and those of experts are named one by one; name them in target_modules"),
    NOTHING("use_qalora", "false", "lora-r", "the adapter is LoRA's"),
    REFUSED("use_qalora", NULL, "lora-r", "QALoRA is not supported; use LoRA on 4-bit weights, or use_dora"),
    NOTHING("use_bdlora", "none", "lora-r", "the adapter is LoRA's"),
    REFUSED("use_bdlora", NULL, "lora-r", "block-diagonal LoRA is not supported; use LoRA, or use_dora"),
    NOTHING("alora_invocation_tokens", "none", "lora-r", "the adapter acts on every token"),
    REFUSED("alora_invocation_tokens", NULL, "lora-r", "an adapter acts on every token; leave it out"),
    NOTHING("arrow_config", "none", "lora-r", "there is one adapter"),
    REFUSED("arrow_config", NULL, "lora-r", "routing between adapters is not supported; train one adapter"),
    NOTHING("kasa_config", "none", "lora-r", "the adapter is LoRA's"),
    REFUSED("kasa_config", NULL, "lora-r", "KaSA is not supported; use LoRA, or use_dora"),
    NOTHING("monteclora_config", "none", "lora-r", "the adapter is LoRA's"),
    REFUSED("monteclora_config", NULL, "lora-r", "MonteCLoRA is not supported; use LoRA, or use_dora"),
    NOTHING("velora_config", "none", "lora-r", "the adapter is LoRA's"),
    REFUSED("velora_config", NULL, "lora-r", "VeLoRA is not supported; use LoRA, or use_dora"),
    NOTHING("loftq_config", "none", "init-lora-weights", "init_lora_weights decides"),
    REFUSED("loftq_config", NULL, "init-lora-weights",
            "with init_lora_weights loftq it is loftq_bits 4 and loftq_iter 1, PEFT's defaults; more iterations would "
            "quantize other weights, on which alone the adapter is right; leave it out"),
    REFUSED("loftq_iter", NULL, "init-lora-weights",
            "loftq is one iteration, PEFT's default; more would quantize other weights, on which alone the adapter is "
            "right; leave it out"),
    NOTHING("eva_config", "none", "init-lora-weights", "init_lora_weights decides"),
    REFUSED("eva_config", NULL, "init-lora-weights",
            "this initialization is not supported; use true, gaussian or orthogonal for init_lora_weights"),
    NOTHING("corda_config", "none", "init-lora-weights", "init_lora_weights decides"),
    REFUSED("corda_config", NULL, "init-lora-weights",
            "this initialization is not supported; use true, gaussian or orthogonal for init_lora_weights"),
    NOTHING("lora_ga_config", "none", "init-lora-weights", "init_lora_weights decides"),
    REFUSED("lora_ga_config", NULL, "init-lora-weights",
            "this initialization is not supported; use true, gaussian or orthogonal for init_lora_weights"),
    MEANS("peft_type", "lora", "peft-type", "lora"),
    MEANS("peft_type", "ia3", "peft-type", "ia3"),
    MEANS("peft_type", "vera", "peft-type", "vera"),
    ALSO("vera_dropout", "lora-dropout"),
    MEANS("bias", "vera_only", "bias", "lora_only"),
    REFUSED("peft_type", NULL, "peft-type",
            "of PEFT's methods there are LoRA, DoRA (use_dora), IA3 and VeRA; use one of these"),
    NOTHING("inference_mode", "false", "lora-r", "the adapter is trained"),
    ALSO("loraplus_weight_decay", "weight-decay"),

    HEADING("transformers: GenerationConfig"),
    ALSO("stop_strings", "stop"),

    HEADING("mlx-lm"),
    ALSO("iters", "max-steps"),
    {.name = "adapter_path", .flag = "output-dir", .note = "(of vkft train)"},
    {.name = "adapter_path", .flag = "adapter", .note = "(of other commands)"},
    ALSO("max_tokens", "max-new-tokens"),
    ALSO("temp", "temperature"),

    HEADING("llama.cpp"),
    ALSO("n_predict", "max-new-tokens"),
    ALSO("ctx_size", "context"),
    ALSO("repeat_penalty", "repetition-penalty"),
    ALSO("system_prompt", "system"),
    ALSO("sys", "system"),

    HEADING("T5X, Liger Kernel"),
    ALSO("z_loss", "z-loss-multiplier"),
    ALSO("lse_square_scale", "z-loss-multiplier"),

    HEADING("llama-bench"),
    ALSO("n_prompt", "context"),
    ALSO("n_gen", "new-tokens"),
    MEANS("devices", "all", "device", "all"),
    MEANS("output", "md", "format", "markdown"),
    ALSO("output", "format"),
    MEANS("format", "md", "format", "markdown"),
    {0},
};

_Static_assert(FLAG_COUNT(cli_spellings) <= SPELLINGS_MAX, "raise SPELLINGS_MAX");
