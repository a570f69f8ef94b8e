/* See golden.h. The model is made in memory: llama with grouped heads, nf4 weights with quantized scales, LoRA with
 * dropout on all linear layers, checkpointing; two packed samples, whose lengths are no multiple of a tile. So the run
 * goes through the generator of dropout, the optimizer and the kernels of every part of a block, one after the other.
 *
 * Losses are those of llvmpipe in Mesa 22.3, in fp16 of Mesa 26.1 with VKFT_STRATEGY=coop,tile,direct;
 * `VKFT_GOLDEN=print build/tests/test_golden_curve` prints a device's. How far another device may be off: between
 * strategies, attention kernels and versions of Mesa they differ by up to 1e-8 in fp32, where the bound leaves room for
 * other exponentials and divisions, and by up to 1.2e-5 in bf16, where an operand may round to the other side: sixteen
 * times that. A wrong kernel is off by far more. Test: test_golden_curve */
#include "host/doctor/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/train/learner.h"
#include "runtime/base/os/os.h"
#include "runtime/base/random.h"

#define SEED 14
#define VOCABULARY 96
#define LENGTHS                                                                                                        \
    {                                                                                                                  \
        31, 17                                                                                                         \
    }
#define SAMPLES 2u
#define LONGEST 31u
#define TOKENS 48u  /* of all samples */
#define TRAINED 46u /* of them: all but the first of each sample */
#define LEARNING_RATE 5e-3

static const char config_text[] =
    "{\"model_type\": \"llama\", \"vocab_size\": 96, \"hidden_size\": 64, \"intermediate_size\": 112, "
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, "
    "\"max_position_embeddings\": 64, \"tie_word_embeddings\": false, \"rope_theta\": 10000.0, "
    "\"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\", \"torch_dtype\": \"float32\"}";

typedef struct golden {
    const char *name;
    vkft_dtype compute;
    double bound; /* of a loss, relative */
    double losses[VKFT_GOLDEN_STEPS];
} golden;

static const golden curves[] = {
#define GOLDEN(name, compute, bound, ...) {name, compute, bound, {__VA_ARGS__}},
#include "host/doctor/golden.def"
#undef GOLDEN
};

typedef struct run {
    vkft_session session;
    vkft_learner learner;
    float *initial;
    int32_t ids[SAMPLES][LONGEST];
    vkft_sample samples[SAMPLES];
    const vkft_sample *list[SAMPLES];
} run;

static void make_samples(run *r)
{
    static const uint32_t lengths[SAMPLES] = LENGTHS;
    for (uint32_t s = 0; s < SAMPLES; s++) {
        for (uint32_t i = 0; i < lengths[s]; i++)
            r->ids[s][i] = (int32_t)(vkft_random_bits(SEED, s, i) % VOCABULARY);
        r->samples[s] =
            (vkft_sample){.ids = r->ids[s], .labels = r->ids[s], .length = lengths[s], .trained = lengths[s] - 1};
        r->list[s] = &r->samples[s];
    }
}

static bool open_run(run *r, const char *device, vkft_dtype compute, vkft_err *err)
{
    static const vkft_observer quiet;
    const vkft_adapter_config lora = {.r = 8, .lora_alpha = 16, .lora_dropout = 0.1f};
    const vkft_optimizer_options adamw = {.type = VKFT_OPTIMIZER_adamw,
                                          .weight_decay = 0.01,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .epsilon = 1e-8,
                                          .max_grad_norm = 1};
    const vkft_limits limits = {.batch = {.tokens = TOKENS, .rows = TOKENS, .positions = LONGEST},
                                .checkpointing = true};
    vkft_session_source source = {.model = vkft_model_defaults()};
    source.model.path = "the doctor's model";
    source.model.random = config_text;
    source.model.device = device;
    source.model.quant_explicit = source.model.compute_explicit = true;
    source.model.compute_dtype = compute;
    vkft_memory_plan plan;
    if (!vkft_session_open(&r->session, &source, &quiet, err))
        return false;
    vkft_adapter_set *adapters = &r->session.trained.adapters;
    r->session.seed = SEED;
    if (!vkft_adapter_set_choose(adapters, &r->session.model, &vkft_method_lora,
                                 &(vkft_module_choice){.target = "all-linear"}, &lora, err))
        return false;
    r->initial = malloc(vkft_trainables_floats(&r->session.trained) * sizeof *r->initial);
    if (!r->initial)
        return vkft_fail_memory(err, "for the training run");
    if (!vkft_adapter_set_init(adapters, SEED, r->initial, err))
        return false;
    make_samples(r);
    return vkft_learner_open(&r->learner, &r->session, &adamw, r->initial, err) &&
           vkft_session_plan(&r->session, &limits, &plan, err) && vkft_session_start(&r->session, &plan, &quiet, err);
}

bool vkft_golden_run(const char *device, vkft_dtype compute, const vkft_doctor_listener *to, double *losses,
                     vkft_err *err)
{
    run *r = calloc(1, sizeof *r);
    if (!r)
        return vkft_fail_memory(err, "for the training run");
    double began = vkft_os_seconds(), norm;
    bool ok = open_run(r, device, compute, err);
    for (uint32_t step = 0; ok && step < VKFT_GOLDEN_STEPS; step++) {
        vkft_doctor_tell(to, "stage", NULL, "training, step %u", step + 1);
        ok = vkft_learner_train(&r->learner, r->list, SAMPLES, TRAINED, step, &losses[step], err) &&
             vkft_optimizer_update(&r->learner.optimizer, LEARNING_RATE, step + 1, &norm, err);
        losses[step] /= TRAINED;
    }
    char seconds[32];
    snprintf(seconds, sizeof seconds, "%.3f", vkft_os_seconds() - began);
    vkft_doctor_tell(to, "fact", seconds, "seconds of the training run in %s", vkft_dtype_name(compute));
    vkft_learner_close(&r->learner);
    vkft_session_close(&r->session);
    free(r->initial);
    free(r);
    return ok;
}

static bool compare(const golden *g, const double *losses, const vkft_doctor_listener *to, vkft_err *err)
{
    double worst = 0;
    for (uint32_t step = 0; step < VKFT_GOLDEN_STEPS; step++) {
        double difference = fabs(losses[step] - g->losses[step]) / g->losses[step];
        if (!(difference <= g->bound))
            return vkft_fail(err, VKFT_ERR_DEVICE,
                             "a training run in %s goes wrong at step %u: its loss is %.7g, expected %.7g (1 +- %.0e)",
                             g->name, step + 1, losses[step], g->losses[step], g->bound);
        worst = fmax(worst, difference);
    }
    vkft_doctor_tell(to, "ok", NULL,
                     "%u training steps in %s have the losses that they must have (%.0e off, at most %.0e)",
                     VKFT_GOLDEN_STEPS, g->name, worst, g->bound);
    return true;
}

bool vkft_doctor_train(const char *device, bool f16, const vkft_doctor_listener *to, vkft_err *err)
{
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        double losses[VKFT_GOLDEN_STEPS] = {0};
        if (curves[i].compute == VKFT_F16 && !f16)
            continue; /* it would be computed in fp32 */
        if (!vkft_golden_run(device, curves[i].compute, to, losses, err) || !compare(&curves[i], losses, to, err))
            return false;
    }
    return true;
}
