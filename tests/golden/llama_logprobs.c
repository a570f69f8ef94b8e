/* Log-probabilities of a text's tokens by llama.cpp's library: keys and values in f32, no flash attention, one thread.
 *
 *     llama_logprobs FILE.gguf LORA.gguf|- cpu|blas < IDS        prints a number a line, second token to last
 *
 * cpu: llama.cpp's own products, which round the other operand where weights are not f32.
 * blas: its BLAS backend (Debian: libggml0-backend-blas), which decodes weights of any type to f32 and multiplies in
 * f32; experts' products and narrow ones, as of a LoRA, are still its own.
 *
 * IDS: numbers, separated by white space. check_llama_cpp.py compiles it.
 */
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS 2048

static void quiet(enum ggml_log_level level, const char *text, void *context)
{
    (void)context;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static void fail(const char *what)
{
    fprintf(stderr, "llama_logprobs: %s\n", what);
    exit(1);
}

static double logprob(const float *logits, int count, llama_token id)
{
    double highest = logits[0], sum = 0;
    for (int i = 1; i < count; i++)
        highest = fmax(highest, (double)logits[i]);
    for (int i = 0; i < count; i++)
        sum += exp((double)logits[i] - highest);
    return (double)logits[id] - highest - log(sum);
}

int main(int argc, char **argv)
{
    llama_token ids[MAX_TOKENS];
    int count = 0;
    if (argc != 4 || (strcmp(argv[3], "cpu") != 0 && strcmp(argv[3], "blas") != 0))
        fail("expected FILE.gguf LORA.gguf|- cpu|blas");
    const int by_blas = strcmp(argv[3], "blas") == 0;
    while (count < MAX_TOKENS && scanf("%d", &ids[count]) == 1)
        count++;
    llama_log_set(quiet, NULL);
    ggml_backend_load_all();
    ggml_backend_reg_t blas = ggml_backend_reg_by_name("BLAS");
    if (by_blas && !blas)
        fail("llama.cpp's BLAS backend is not installed");
    if (!by_blas && blas)
        ggml_backend_unload(blas);
    struct llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    if (by_blas)
        model_params.use_extra_bufts = false; // weights that are laid out for the CPU's products are not for BLAS
    struct llama_model *model = llama_model_load_from_file(argv[1], model_params);
    if (!model)
        fail("the model does not load");
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = MAX_TOKENS;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *context = llama_init_from_model(model, params);
    if (!context)
        fail("no context");
    if (strcmp(argv[2], "-") != 0) {
        struct llama_adapter_lora *adapter = llama_adapter_lora_init(model, argv[2]);
        float scale = 1;
        if (!adapter || llama_set_adapters_lora(context, &adapter, 1, &scale) != 0)
            fail("the adapter does not load");
    }
    struct llama_batch batch = llama_batch_init(count, 0, 1);
    batch.n_tokens = count;
    for (int i = 0; i < count; i++) {
        batch.token[i] = ids[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    if (llama_decode(context, batch) != 0)
        fail("the text cannot be decoded");
    const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int i = 1; i < count; i++)
        printf("%.9g\n", logprob(llama_get_logits_ith(context, i - 1), vocabulary, ids[i]));
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
    return 0;
}
