/* Training runs of the program against transformers + PEFT + bitsandbytes: every step's loss, gradient norm and
 * learning rate, the log-probabilities before training, the gradient of each adapter tensor in the first step, the
 * experts that a mixture's tokens go to, and the final validation loss. The cases are made by
 * golden/make_training_golden.py; the bounds of each lie beside it in bounds.json, made by golden/make_bounds.py, which
 * says how.
 *
 * Some strategies (VKFT_STRATEGY=coop,... or dot or half) round the operands of products to f16, u = 2^-11, and the
 * bounds are wider. A rounded operand is off by 0.4 u on average, a product of two by e = 0.6 u of its size. A model
 * has n products, 7 in a layer (10 where a decoder attends to an encoder), whose errors are independent and meet in the
 * last hidden state: logits are off by sqrt(n) e of their deviation s, and the largest of some hundred errors is 4
 * times that; with a margin of 3 for what attention and norms add, log-probabilities are within 8 sqrt(n) u s.
 * Gradients of adapters pass n products more, and are within 8 sqrt(2 n) u of their size, and so are gradient norms in
 * the first step; in 20 steps of AdamW, which divides gradients by their size, rounded and exact weights drift apart,
 * by steps that each are off as gradients are: sqrt(20) times that. A loss is the mean of some hundred tokens, and off
 * by a tenth of that. Where a unit of ReLU is as near to 0 as e of its deviation, which 0.8 e of them are, rounding may
 * open or close it, and its gradient comes or goes: of m layers the gradient as a whole is off by sqrt(0.8 e m), of few
 * units by several times that. It falls on some tensors and not on others: in case opt one unit of one token, at 0.0002
 * of a deviation of 0.9, is a quarter of the gradient of a small tensor (and so it is where PyTorch rounds as we do).
 *
 * One case for each directory, and one more where the configuration is there in the spelling of transformers 4; and
 * one for each of its variants, the same model and data trained with another optimizer: CASE/VARIANT in
 * expected_VARIANT.json, losses and norms alone. Arguments: the names of the cases to run; VKFT_GOLDEN_PART=1/2 is half
 * of them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "formats/tensors/safetensors.h"

#define GOLDEN VKFT_TEST_DATA "/golden"

typedef struct golden {
    char name[64];                               /* of the directory */
    char variant[32];                            /* "", or "_adafactor" for expected_adafactor.json */
    bool v4;                                     /* config_v4.json instead of config.json */
    double logprobs, gradients, loss, grad_norm; /* bounds */
    bool kinks; /* rounding may open or close a unit of ReLU: the bound is of all gradients together */
} golden;

static bool is_forced(const char *strategy)
{
    const char *names = getenv("VKFT_STRATEGY");
    return names && strncmp(names, strategy, strlen(strategy)) == 0;
}

static bool in_f16(void)
{
    return is_forced("coop") || is_forced("dot") || is_forced("half");
}

/* A card with matrix cores computes in f16 unless it is told otherwise. */
static const char *compute_flag(void)
{
    return in_f16() ? " --compute-dtype fp16" : " --compute-dtype fp32";
}

static double relative(double got, double want)
{
    return fabs(got - want) / fmax(fabs(want), 1e-12);
}

static double number(const cJSON *array, int index)
{
    return cJSON_GetNumberValue(cJSON_GetArrayItem(array, index));
}

static cJSON *read_case(const char *name, const char *file)
{
    char path[512];
    snprintf(path, sizeof path, GOLDEN "/%s/%s", name, file);
    return vkft_test_read_json(path);
}

static cJSON *read_variant(const golden *g, const char *file)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s.json", file, g->variant);
    return read_case(g->name, name);
}

/* "--init-adapter PATH", or nothing where all weights are trained. */
static void choose_adapter(const golden *g, const char *flags, char *adapter, size_t size)
{
    char path[600];
    adapter[0] = 0;
    snprintf(path, sizeof path, GOLDEN "/%s/adapter%s", g->name, g->variant);
    if (!*g->variant || !vkft_directory_exists(path))
        snprintf(path, sizeof path, GOLDEN "/%s/adapter_init", g->name);
    if (vkft_directory_exists(path) && !strstr(flags, "--fine-tune-type full"))
        snprintf(adapter, size, "--init-adapter %s", path);
}

/* The flags of expected.json as one command line; *quant receives what follows --quant. */
static void join_flags(const cJSON *expected, char *flags, size_t size)
{
    const cJSON *flag;
    flags[0] = 0;
    cJSON_ArrayForEach(flag, cJSON_GetObjectItem(expected, "flags"))
        snprintf(flags + strlen(flags), size - strlen(flags), " %s", flag->valuestring);
}

/* The model goes through `convert`, so that no cache is written beside the test data. */
static void convert(const golden *g, const char *flags, const char *dir)
{
    char from[600], to[600];
    snprintf(from, sizeof from, GOLDEN "/%s/model/model.safetensors", g->name);
    snprintf(to, sizeof to, "%s/model/model.safetensors", dir);
    vkft_test_copy(from, to);
    snprintf(from, sizeof from, GOLDEN "/%s/model/config%s.json", g->name, g->v4 ? "_v4" : "");
    snprintf(to, sizeof to, "%s/model/config.json", dir);
    vkft_test_copy(from, to);
    const char *quant = strstr(flags, "--quant nf4") ? "nf4" : "none";
    const char *twice = strstr(flags, "--double-quant") ? "--double-quant" : "--no-double-quant";
    vkft_test_program_ok("convert %s/model -o %s/model.vkft --quant %s %s", dir, dir, quant, twice);
}

/* Removes "--quant X", "--double-quant" and "--no-double-quant": the file says what it is. */
static void without_quant(char *flags)
{
    static const char *const words[] = {" --quant nf4",  " --quant fp32",      " --quant none",
                                        " --quant bf16", " --no-double-quant", " --double-quant"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char *at = strstr(flags, words[i]);
        if (at)
            memmove(at, at + strlen(words[i]), strlen(at + strlen(words[i])) + 1);
    }
}

/* Prints what was measured in the form that golden/make_bounds.py reads, and fails above the bound. */
static void check(const golden *g, const char *what, double measured, double bound)
{
    const char *slash = *g->variant ? "/" : "", *variant = g->variant + (*g->variant == '_');
    print_message("measured %s%s%s %s %.3e, bound %.3e\n", g->name, slash, variant, what, measured, bound);
    if (!(measured <= bound))
        fail_msg("%s%s%s: %s is off by %.3e, more than %.3e", g->name, slash, variant, what, measured, bound);
}

static void check_steps(const golden *g, const cJSON *expected, const cJSON *log)
{
    const cJSON *losses = cJSON_GetObjectItem(expected, "losses"), *norms = cJSON_GetObjectItem(expected, "grad_norms");
    const cJSON *rates = cJSON_GetObjectItem(expected, "learning_rates"), *row;
    int step = 0;
    double worst_loss = 0, worst_norm = 0, eval = NAN;
    cJSON_ArrayForEach(row, log)
    {
        const cJSON *eval_loss = cJSON_GetObjectItem(row, "eval_loss");
        if (eval_loss) {
            eval = eval_loss->valuedouble;
            continue;
        }
        double loss = cJSON_GetNumberValue(cJSON_GetObjectItem(row, "loss"));
        double norm = cJSON_GetNumberValue(cJSON_GetObjectItem(row, "grad_norm"));
        double rate = cJSON_GetNumberValue(cJSON_GetObjectItem(row, "learning_rate"));
        worst_loss = fmax(worst_loss, relative(loss, number(losses, step)));
        worst_norm = fmax(worst_norm, relative(norm, number(norms, step)));
        if (fabs(rate - number(rates, step)) > 1e-12)
            fail_msg("%s: step %d: learning rate %.12g, expected %.12g", g->name, step + 1, rate, number(rates, step));
        step++;
    }
    double eval_error = relative(eval, cJSON_GetNumberValue(cJSON_GetObjectItem(expected, "eval_loss")));
    assert_int_equal(step, cJSON_GetArraySize(losses));
    assert_true(step >= 20);
    check(g, "loss", fmax(worst_loss, isnan(eval_error) ? INFINITY : eval_error), g->loss);
    check(g, "grad_norm", worst_norm, g->grad_norm);
}

/* The experts of the first sample's tokens. */
static void check_experts(const cJSON *expected, const cJSON *row)
{
    const cJSON *want = cJSON_GetObjectItem(expected, "experts");
    if (!want)
        return;
    char *wanted = cJSON_PrintUnformatted(want), *made = cJSON_PrintUnformatted(cJSON_GetObjectItem(row, "experts"));
    assert_string_equal(made, wanted);
    cJSON_free(wanted);
    cJSON_free(made);
}

static void open_tensors(const char *dir, const char *file, vkft_tensor_file *tensors)
{
    char path[1200];
    vkft_err err;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (!vkft_safetensors_open(path, tensors, &err))
        fail_msg("%s", err.message);
}

static const float *values(const vkft_tensor_file *file, const vkft_file_tensor *tensor)
{
    assert_int_equal(tensor->dtype, VKFT_F32);
    return (const float *)(const void *)vkft_tensor_file_data(file, tensor);
}

/* Squares of a gradient's distance from the golden one, and of the golden one's norm. */
typedef struct distance {
    double error, size;
} distance;

/* Of the first step's gradient of a tensor. */
static distance gradient_distance(const float *before, const float *after, const float *want, uint64_t n, double scale)
{
    distance d = {0, 0};
    for (uint64_t i = 0; i < n; i++) {
        double got = ((double)before[i] - (double)after[i]) / scale;
        d.error += pow(got - (double)want[i], 2);
        d.size += pow((double)want[i], 2);
    }
    return d;
}

static double relative_distance(distance d)
{
    return sqrt(d.error / fmax(d.size, 1e-30));
}

/* AdamW moves a parameter by lr g / (|g| + epsilon) in its first step: by lr / epsilon * g when epsilon is large. */
static void check_gradients(const golden *g, const char *dir, const char *adapter, const char *flags)
{
    const double scale = in_f16() ? 30 : 1000; /* what it moves to must be in f16's range there */
    char wanted[600], made[600];
    double worst = 0;
    distance whole = {0, 0};
    vkft_test_program_ok("train --model %s/model.vkft --data " GOLDEN
                         "/%s %s %s --output-dir %s/one%s --no-shuffle --eval-batches 0 --no-load-best-model-at-end "
                         "--save-steps 0 --max-steps 1 --max-grad-norm 0 --weight-decay 0 --adam-epsilon 1e7 "
                         "--learning-rate %g --warmup-steps 0 --lr-scheduler-type constant",
                         dir, g->name, adapter, flags, dir, compute_flag(), scale * 1e7);
    vkft_tensor_file before, after, want;
    snprintf(wanted, sizeof wanted, GOLDEN "/%s", g->name);
    snprintf(made, sizeof made, "%s/one", dir);
    open_tensors(wanted, "gradients.safetensors", &want);
    open_tensors(wanted, "adapter_init/adapter_model.safetensors", &before);
    open_tensors(made, "adapter_model.safetensors", &after);
    assert_int_equal(after.count, want.count);
    for (uint32_t i = 0; i < want.count; i++) {
        const vkft_file_tensor *w = &want.tensors[i], *b = vkft_tensor_file_find(&before, w->name),
                               *a = vkft_tensor_file_find(&after, w->name);
        if (!b || !a || a->elements != w->elements || b->elements != w->elements)
            fail_msg("%s: %s is not in all three files", g->name, w->name);
        distance d = gradient_distance(values(&before, b), values(&after, a), values(&want, w), w->elements, scale);
        double error = relative_distance(d);
        worst = error <= worst ? worst : error; /* keeps NaN */
        whole.error += d.error;
        whole.size += d.size;
    }
    vkft_tensor_file_close(&want);
    vkft_tensor_file_close(&before);
    vkft_tensor_file_close(&after);
    check(g, "gradients", g->kinks ? relative_distance(whole) : worst, g->gradients);
}

/* The first training sample's log-probabilities, and what follows it, before training: the model itself, without an
 * optimizer. Log-probabilities are differences of logits, so a bound on them bounds logits. */
static void check_model(const golden *g, const cJSON *expected, const char *dir)
{
    const cJSON *logprobs = cJSON_GetObjectItem(expected, "logprobs"),
                *greedy = cJSON_GetObjectItem(expected, "greedy");
    char path[600], first[600], adapter[700] = "";
    snprintf(path, sizeof path, GOLDEN "/%s/adapter_init", g->name);
    if (vkft_directory_exists(path))
        snprintf(adapter, sizeof adapter, "--adapter %s", path);
    snprintf(path, sizeof path, GOLDEN "/%s/train.jsonl", g->name);
    snprintf(first, sizeof first, "%s/first.jsonl", dir);
    char *rows_text = vkft_test_read(path, NULL);
    vkft_test_copy_part(path, first, strcspn(rows_text, "\n") + 1);
    free(rows_text);
    vkft_test_program_ok("eval --model %s/model.vkft %s --data %s/first.jsonl --per-token %s/tokens.jsonl%s", dir,
                         adapter, dir, dir, compute_flag());
    snprintf(path, sizeof path, "%s/tokens.jsonl", dir);
    cJSON *rows = vkft_test_read_jsonl(path);
    const cJSON *got = cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "logprobs");
    int count = cJSON_GetArraySize(logprobs),
        offset = cJSON_GetArraySize(got) - count; /* an encoder's tokens have none */
    double worst = 0;
    for (int i = 0; i < count; i++)
        if (cJSON_IsNumber(cJSON_GetArrayItem(logprobs, i)))
            worst = fmax(worst, fabs(number(got, i + offset) - number(logprobs, i)));
    check_experts(expected, cJSON_GetArrayItem(rows, 0));
    cJSON_Delete(rows);
    check(g, "logprobs", worst, g->logprobs);
    if (!greedy)
        return;
    rows = vkft_test_read_jsonl(first);
    const cJSON *id, *ids = cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "input_ids");
    char prompt[2048] = "";
    cJSON_ArrayForEach(id, ids)
        snprintf(prompt + strlen(prompt), sizeof prompt - strlen(prompt), "%s%d", prompt[0] ? "," : "", id->valueint);
    cJSON_Delete(rows);
    vkft_test_result run = vkft_test_program("generate --model %s/model.vkft %s --prompt-ids %s --max-new-tokens %d "
                                             "--temperature 0 --ignore-eos --json%s",
                                             dir, adapter, prompt, cJSON_GetArraySize(greedy), compute_flag());
    assert_int_equal(run.exit_code, 0);
    cJSON *result = cJSON_Parse(run.out);
    vkft_test_result_free(&run);
    char *want = cJSON_PrintUnformatted(greedy), *made = cJSON_PrintUnformatted(cJSON_GetObjectItem(result, "ids"));
    assert_string_equal(made, want);
    cJSON_free(want);
    cJSON_free(made);
    cJSON_Delete(result);
}

static double bound_of(const cJSON *bounds, const char *what)
{
    const cJSON *bound = cJSON_GetObjectItem(bounds, what);
    return cJSON_IsNumber(bound) ? bound->valuedouble : NAN; /* which nothing keeps */
}

static double deviation(const cJSON *array)
{
    double n = 0, sum = 0, squares = 0;
    const cJSON *x;
    cJSON_ArrayForEach(x, array)
    {
        if (cJSON_IsNumber(x)) {
            n++;
            sum += x->valuedouble;
            squares += x->valuedouble * x->valuedouble;
        }
    }
    return sqrt(fmax(0, squares / n - sum / n * (sum / n)));
}

static bool is_relu(const cJSON *config, const char *key)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(config, key));
    return name && strcmp(name, "relu") == 0;
}

/* The bounds of products in f16, and that these are what was computed. */
static void widen_bounds(golden *g, const cJSON *expected)
{
    static const char *const layers[] = {"num_hidden_layers", "n_layer", "num_layers"};
    cJSON *config = read_case(g->name, g->v4 ? "model/config_v4.json" : "model/config.json");
    const cJSON *text = cJSON_GetObjectItem(config, "text_config"), *number = NULL;
    double u = 0x1p-11;
    for (size_t i = 0; i < sizeof layers / sizeof *layers && !number; i++)
        number = cJSON_GetObjectItem(text ? text : config, layers[i]);
    double count = cJSON_IsNumber(number) ? number->valuedouble : 0;
    bool encoder = cJSON_IsTrue(cJSON_GetObjectItem(config, "is_encoder_decoder")),
         relu = is_relu(config, "activation_function") || is_relu(config, "feed_forward_proj");
    double n = (encoder ? 17 : 7) * count + 1, s = deviation(cJSON_GetObjectItem(expected, "logprobs"));
    cJSON_Delete(config);
    assert_true(count > 0);
    g->kinks = relu;
    g->logprobs += 8 * sqrt(n) * u * s;
    g->gradients += 8 * sqrt(2 * n) * u + (relu ? 4 * sqrt(0.8 * 0.6 * u * (encoder ? 2 : 1) * count) : 0);
    g->loss += 0.8 * sqrt(20 * 2 * n) * u;
    g->grad_norm += 8 * sqrt(20 * 2 * n) * u;
}

static void expect_f16(const char *dir)
{
    char path[600];
    snprintf(path, sizeof path, "%s/out/vkft.json", dir);
    cJSON *record = vkft_test_read_json(path);
    const cJSON *dtype = cJSON_GetObjectItem(cJSON_GetObjectItem(record, "run"), "--compute-dtype");
    assert_string_equal(cJSON_GetStringValue(dtype), "fp16");
    cJSON_Delete(record);
}

static void run_case(void **state)
{
    golden *g = *state;
    char flags[2048], path[600], adapter[700];
    char *dir = vkft_test_directory();
    cJSON *expected = read_variant(g, "expected"), *bounds = read_variant(g, "bounds");
    g->logprobs = bound_of(bounds, "logprobs");
    g->gradients = bound_of(bounds, "gradients");
    g->loss = bound_of(bounds, "loss");
    g->grad_norm = bound_of(bounds, "grad_norm");
    if (in_f16())
        widen_bounds(g, expected);
    cJSON_Delete(bounds);
    join_flags(expected, flags, sizeof flags);
    convert(g, flags, dir);
    bool original = strstr(flags, "--init-lora-weights loftq") != NULL; /* it looks at the weights of the checkpoint */
    if (!original)
        without_quant(flags);
    if (!*g->variant)
        check_model(g, expected, dir);
    choose_adapter(g, flags, adapter, sizeof adapter);
    vkft_test_program_ok("train --model %s/model%s --data " GOLDEN
                         "/%s %s --output-dir %s/out --no-shuffle --save-steps 0 --eval-batches 0 "
                         "--no-load-best-model-at-end%s%s",
                         dir, original ? "" : ".vkft", g->name, adapter, dir, flags, compute_flag());
    if (in_f16())
        expect_f16(dir);
    snprintf(path, sizeof path, "%s/out/trainer_log.jsonl", dir);
    cJSON *log = vkft_test_read_jsonl(path);
    if (adapter[0] && !g->v4 && !*g->variant)
        check_gradients(g, dir, adapter, flags);
    check_steps(g, expected, log);
    cJSON_Delete(log);
    cJSON_Delete(expected);
    vkft_test_remove_directory(dir);
}

typedef struct cases {
    golden *list;
    size_t count;
} cases;

static void add_case(cases *all, const golden *g)
{
    all->list = realloc(all->list, (all->count + 1) * sizeof *all->list);
    assert_non_null(all->list);
    all->list[all->count++] = *g;
}

typedef struct directory {
    cases *all;
    const char *name;
} directory;

static bool add_variant(void *context, const char *file)
{
    const directory *d = context;
    static const char first[] = "expected_", last[] = ".json";
    size_t length = strlen(file), prefix = sizeof first - 1, suffix = sizeof last - 1;
    if (length < prefix + suffix || strncmp(file, first, prefix) != 0 || strcmp(file + length - suffix, last) != 0)
        return true;
    golden g = {.v4 = false};
    snprintf(g.name, sizeof g.name, "%s", d->name);
    snprintf(g.variant, sizeof g.variant, "%.*s", (int)(length - prefix - suffix + 1), file + prefix - 1);
    add_case(d->all, &g);
    return true;
}

/* The directory's case, that of the other spelling, and its variants. */
static bool add_cases(void *context, const char *name)
{
    cases *all = context;
    char path[600];
    vkft_err err;
    golden g = {.v4 = false};
    snprintf(g.name, sizeof g.name, "%s", name);
    snprintf(path, sizeof path, GOLDEN "/%s/expected.json", name);
    if (!vkft_file_exists(path))
        return true;
    add_case(all, &g);
    g.v4 = true;
    snprintf(path, sizeof path, GOLDEN "/%s/model/config_v4.json", name);
    if (vkft_file_exists(path))
        add_case(all, &g);
    snprintf(path, sizeof path, GOLDEN "/%s", name);
    directory d = {.all = all, .name = name};
    return vkft_directory_list(path, add_variant, &d, &err);
}

static int by_name(const void *a, const void *b)
{
    const golden *x = a, *y = b;
    int order = strcmp(x->name, y->name), variant = strcmp(x->variant, y->variant);
    return order ? order : variant ? variant : x->v4 - y->v4;
}

/* Every architecture has a case in f32 and one in 4 bits, so that none is lost unseen. */
static void test_architectures(void **state)
{
    const cases *all = *state;
#define ARCH(name) #name,
    static const char *const architectures[] = {
#include "formats/config/arch.def"
    };
#undef ARCH
    enum { COUNT = sizeof architectures / sizeof *architectures };
    bool plain[COUNT] = {0}, nf4[COUNT] = {0};
    for (size_t k = 0; k < all->count; k++) {
        char flags[2048];
        cJSON *expected = read_variant(&all->list[k], "expected");
        cJSON *config = read_case(all->list[k].name, "model/config.json");
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(config, "model_type"));
        join_flags(expected, flags, sizeof flags);
        for (size_t i = 0; i < COUNT; i++) {
            size_t length = strlen(architectures[i]);
            if (strncmp(type, architectures[i], length) == 0 && (!type[length] || strcmp(type + length, "_text") == 0))
                *(strstr(flags, "--quant nf4") ? &nf4[i] : &plain[i]) = true;
        }
        cJSON_Delete(expected);
        cJSON_Delete(config);
    }
    for (size_t i = 0; i < COUNT; i++)
        if (!plain[i] || !nf4[i])
            fail_msg("%s: no golden case %s", architectures[i], plain[i] ? "in 4 bits" : "in f32");
}

/* VKFT_GOLDEN_PART=1/2: every second case from the first on, 2/2: the others. */
static bool in_part(size_t number)
{
    const char *part = getenv("VKFT_GOLDEN_PART");
    unsigned k = 1, of = 1;
    if (part && (sscanf(part, "%u/%u", &k, &of) != 2 || k < 1 || k > of)) {
        fprintf(stderr, "VKFT_GOLDEN_PART is %s; expected 1/2 or the like\n", part);
        exit(1);
    }
    return number % of == k - 1;
}

int main(int argc, char **argv)
{
    cases all = {0};
    vkft_err err;
    if (!vkft_directory_list(GOLDEN, add_cases, &all, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    qsort(all.list, all.count, sizeof *all.list, by_name);
    struct CMUnitTest *tests = calloc(all.count + 1, sizeof *tests);
    char(*names)[96] = calloc(all.count, sizeof *names);
    size_t count = 0;
    if (argc == 1)
        tests[count++] = (struct CMUnitTest){"architectures", test_architectures, NULL, NULL, &all};
    for (size_t i = 0; i < all.count; i++) {
        const golden *g = &all.list[i];
        bool wanted = argc == 1 && in_part(i);
        snprintf(names[i], sizeof *names, "%s%s%s", g->name, *g->variant ? "/" : "", g->variant + (*g->variant == '_'));
        for (int k = 1; k < argc; k++)
            wanted |= strcmp(argv[k], g->name) == 0 || strcmp(argv[k], names[i]) == 0;
        if (g->v4)
            snprintf(names[i] + strlen(names[i]), sizeof *names - strlen(names[i]), " (transformers 4)");
        if (wanted)
            tests[count++] = (struct CMUnitTest){names[i], run_case, NULL, NULL, &all.list[i]};
    }
    int failed = count ? _cmocka_run_group_tests("golden", tests, count, NULL, NULL) : 1;
    free(tests);
    free(names);
    free(all.list);
    return failed;
}
