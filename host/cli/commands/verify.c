/* vkft verify: whether a GGUF file is the model that it was made from: tokens and log-probabilities of a text by both,
 * and by llama.cpp where it is installed. */
#include <math.h>
#include <stdlib.h>

#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/verify/verify.h"
#include "runtime/base/json/builder.h"

typedef struct verify_options {
    vkft_verify_options verify;
    bool difference_given, json;
} verify_options;

#define AT(member) .offset = offsetof(verify_options, member)

static const flag verify_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "FILE.gguf",
     .help = "the file, as 'vkft merge --gguf' or another program wrote it",
     .positional = true,
     .required = true,
     .hub = FLAG_HUB_MODEL,
     AT(verify.gguf)},
    {.kind = FLAG_TEXT,
     .name = "against",
     .value = "PATH",
     .help = "the model: a checkpoint directory, a GGUF or a .vkft file",
     .required = true,
     .hub = FLAG_HUB_MODEL,
     AT(verify.against)},
    {.kind = FLAG_TEXT,
     .name = "adapter",
     .value = "DIR",
     .help = "the adapter that was merged into the file: directory, or its name on the hub",
     .default_text = "none",
     .hub = FLAG_HUB_ADAPTER,
     AT(verify.adapter)},
    {.kind = FLAG_TEXT,
     .name = "text",
     .value = "FILE",
     .help = "text to compare with",
     .default_text = "one in several languages, with numbers and code",
     AT(verify.text)},
    {.kind = FLAG_U32,
     .name = "tokens",
     .value = "N",
     .help = "tokens of it, at most, of which log-probabilities are compared",
     .range = AT_LEAST(2),
     AT(verify.tokens)},
    {.kind = FLAG_DOUBLE,
     .name = "max-difference",
     .value = "X",
     .help = "largest difference of a log-probability that passes",
     .range = AT_LEAST(0),
     .default_text = "0.001 for f32, 0.01 for f16, 0.1 for bf16; quantized files have none",
     .given = offsetof(verify_options, difference_given),
     AT(verify.max_difference)},
    {.kind = FLAG_TEXT,
     .name = "llama-cpp",
     .value = "DIR",
     .help = "directory of llama-tokenize and llama-perplexity, by which the file is read once more",
     .default_text = "those of PATH, if any",
     AT(verify.llama_cpp)},
    {.kind = FLAG_TEXT,
     .name = "device",
     .value = "N",
     .help = "device to compute on, a number of 'vkft devices' or a part of a name",
     .default_text = "the best one",
     AT(verify.device)},
    {.kind = FLAG_SWITCH, .name = "json", .help = "print the result as a JSON object on standard output", AT(json)},
};

static const flag_table verify_table = {
    .command = "verify",
    .usage = "FILE.gguf --against PATH [--adapter DIR] [flags]",
    .about = "Compares a GGUF file with the model that it was made from: the tokens of a text, and their "
             "log-probabilities;\n"
             "and with what llama.cpp's own programs say of it, where they are installed.\n"
             "Fails when tokens differ, or log-probabilities by more than the type explains.",
    .flags = verify_flags,
    .count = FLAG_COUNT(verify_flags),
};

static int print_object(const vkft_verify_result *r)
{
    bool failed = false;
    vkft_json_node root = vkft_json_make_object(&failed);
    vkft_json_put_bool(root, "same", vkft_verify_passes(r) && vkft_verify_llama_cpp_agrees(r));
    vkft_json_put_number(root, "tokens", r->tokens);
    vkft_json_put_number(root, "first_other_token", r->other_token < 0 ? NAN : (double)r->other_token);
    vkft_json_put_number(root, "compared", r->compared);
    vkft_json_put_number(root, "max_difference", r->worst);
    vkft_json_put_number(root, "mean_difference", r->mean);
    vkft_json_put_number(root, "loss", r->loss[0]);
    vkft_json_put_number(root, "gguf_loss", r->loss[1]);
    if (r->llama) {
        vkft_json_node its = vkft_json_put_object(root, "llama_cpp");
        vkft_json_put_number(its, "tokens", r->llama_tokens);
        vkft_json_put_number(its, "first_other_token", r->llama_other_token < 0 ? NAN : (double)r->llama_other_token);
        vkft_json_put_number(its, "compared", r->llama_compared);
        vkft_json_put_number(its, "max_difference", r->llama_worst);
        vkft_json_put_number(its, "mean_difference", r->llama_mean);
    }
    return cli_print_json(vkft_json_made(root));
}

static void print_llama_cpp(const vkft_verify_result *r)
{
    if (!r->llama) {
        printf("llama.cpp: not asked, since no directory of PATH has its llama-tokenize and llama-perplexity "
               "(--llama-cpp names one)\n");
        return;
    }
    if (r->llama_other_token < 0)
        printf("llama.cpp: all %u tokens are the same", r->llama_tokens);
    else
        printf("llama.cpp: tokens differ from number %lld on", (long long)r->llama_other_token + 1);
    if (r->llama_compared)
        printf("; log-probabilities of %u differ by at most %.2g, on average by %.2g\n", r->llama_compared,
               r->llama_worst, r->llama_mean);
    else
        printf("; too few for log-probabilities\n");
}

static void print_error(const vkft_verify_result *r)
{
    static const char head[] = "vkft verify: error:";
    if (r->other_token >= 0)
        fprintf(stderr, "%s the tokenizers differ\n", head);
    else if (isnan(r->worst) || isnan(r->llama_worst))
        fprintf(stderr, "%s a log-probability is not a number: the weights overflow, or are damaged\n", head);
    else if (!vkft_verify_passes(r))
        fprintf(stderr, "%s log-probabilities differ by %.2g; expected at most %g (--max-difference)\n", head, r->worst,
                r->allowed);
    else if (r->llama_other_token >= 0)
        fprintf(stderr, "%s llama.cpp's tokens differ\n", head);
    else
        fprintf(stderr, "%s llama.cpp's log-probabilities differ by %.2g; expected at most %.2g (--max-difference)\n",
                head, r->llama_worst, r->llama_allowed);
}

static int report(const vkft_verify_result *r, bool json)
{
    const int verdict = vkft_verify_passes(r) && vkft_verify_llama_cpp_agrees(r) ? EXIT_SUCCESS : EXIT_WORK_FAILED;
    if (json) {
        int code = print_object(r);
        return code ? code : verdict;
    }
    if (r->other_token < 0)
        printf("tokens: all %u are the same\n", r->tokens);
    else
        printf("tokens: they differ from number %lld on\n", (long long)r->other_token + 1);
    printf("log-probabilities of %u tokens: differ by at most %.2g, on average by %.2g\n", r->compared, r->worst,
           r->mean);
    printf("loss: %.5f, of the file %.5f (perplexity %.3f and %.3f)\n", r->loss[0], r->loss[1], exp(r->loss[0]),
           exp(r->loss[1]));
    print_llama_cpp(r);
    if (verdict)
        print_error(r);
    return verdict;
}

int cmd_verify(int argc, char **argv)
{
    verify_options options = {.verify.tokens = 200};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&verify_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    vkft_err err = {0};
    progress display = progress_new(&verify_table);
    vkft_observer observer = progress_observer(&display);
    observer.message = NULL; /* what an evaluation says of data is of no use here */
    vkft_verify_result result;
    if (!options.difference_given)
        options.verify.max_difference = NAN;
    bool ok = cli_fetch(&verify_table, &options, false, &recipe, &err) &&
              vkft_verify(&options.verify, &observer, &result, &err);
    progress_close(&display);
    code = ok ? report(&result, options.json) : cli_fail(&verify_table, &err);
    recipe_free(&recipe);
    return code;
}
