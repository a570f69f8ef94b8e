/* Data files of every shape, with the bundled model's tokenizer: which text becomes a sample, and which part of it is
 * trained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "formats/dataset/dataset.h"
#include "runtime/base/directory.h"
#include "tests/support/expect.h"
#include "formats/chat/model_text.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"
#include "runtime/base/utf8.h"

#define MODEL VKFT_PROJECT_DIR "/tools/bundled/model"

/* Marks where a turn begins and ends; the assistant's are generation blocks. */
static const char marked_template[] = "{% for m in messages %}{{ '[' + m.role + ']' }}{% if m.role == 'assistant' %}{% "
                                      "generation %}{{ m.content }}{{ eos_token }}"
                                      "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}{% if "
                                      "add_generation_prompt %}[assistant]{% endif %}";
/* The same without marks, and with a newline after the end of a turn. */
static const char plain_template[] =
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ '[' + m.role + ']' }}{% if m.tool_calls "
    "%}{{ m.tool_calls | tojson }}{% endif %}{{ m.content or '' }}"
    "{% if m.role == 'assistant' %}{{ eos_token + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

/* Ends the whole text once more after the last turn, as Phi 3 does. */
static const char closing_template[] =
    "{% for m in messages %}{{ '[' + m.role + ']' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% else %}{{ eos_token }}{% endif %}";
/* Writes thoughts into the last turn alone, as Qwen 3 does. */
static const char thinking_template[] =
    "{% for m in messages %}{{ '[' + m.role + ']' }}{% if m.role == 'assistant' and loop.last %}(no thought){% endif %}"
    "{{ m.content + eos_token + '\n' }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

typedef struct fixture {
    char *dir;
    vkft_model_text text, marked, plain, closing, thinking; /* without a template, and with each of those above */
} fixture;

static void write_file(const fixture *f, const char *name, const char *content, char path[600])
{
    vkft_err err;
    snprintf(path, 600, "%s/%s", f->dir, name);
    expect_ok(vkft_file_write(path, content, strlen(content), &err));
}

static int set_up(void **state)
{
    vkft_err err;
    char path[600];
    fixture *f = calloc(1, sizeof *f);
    f->dir = vkft_test_directory();
    expect_ok(vkft_model_text_open(MODEL, NULL, &f->text, &err));
    write_file(f, "marked.jinja", marked_template, path);
    expect_ok(vkft_model_text_open(MODEL, &(vkft_chat_options){.file = path}, &f->marked, &err));
    write_file(f, "plain.jinja", plain_template, path);
    expect_ok(vkft_model_text_open(MODEL, &(vkft_chat_options){.file = path}, &f->plain, &err));
    write_file(f, "closing.jinja", closing_template, path);
    expect_ok(vkft_model_text_open(MODEL, &(vkft_chat_options){.file = path}, &f->closing, &err));
    write_file(f, "thinking.jinja", thinking_template, path);
    expect_ok(vkft_model_text_open(MODEL, &(vkft_chat_options){.file = path}, &f->thinking, &err));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_model_text_free(&f->text);
    vkft_model_text_free(&f->marked);
    vkft_model_text_free(&f->plain);
    vkft_model_text_free(&f->closing);
    vkft_model_text_free(&f->thinking);
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

static vkft_dataset_options options_for(const vkft_model_text *text)
{
    return (vkft_dataset_options){.max_seq_length = 2048,
                                  .mask_prompt = true,
                                  .vocab_size = vkft_tokenizer_vocab_size(text->tokenizer),
                                  .eos_id = vkft_tokenizer_eos_id(text->tokenizer),
                                  .chat = text->chat,
                                  .context_hash = text->hash};
}

/* A sample as text, its trained parts in «», what an encoder reads in []. */
static char *show(const vkft_tokenizer *tok, const vkft_sample *s)
{
    vkft_text out = {0};
    for (uint32_t begin = 0, end; begin < s->length; begin = end) {
        bool trained = s->labels[begin] >= 0, source = begin < s->source_length;
        for (end = begin + 1;
             end < s->length && (s->labels[end] >= 0) == trained && (end < s->source_length) == source;)
            end++;
        const char *open = trained ? "«" : source ? "[" : "", *close = trained ? "»" : source ? "]" : "";
        vkft_text_append(&out, open, strlen(open), NULL);
        assert_true(vkft_tokenizer_decode(tok, s->ids + begin, end - begin, false, &out, NULL));
        vkft_text_append(&out, close, strlen(close), NULL);
    }
    return out.data;
}

/* The file's samples are these texts, in order. */
static void expect_samples(const fixture *f, const char *name, const char *content, const vkft_model_text *text,
                           const vkft_dataset_options *o, vkft_data_format format, const char *const *expected,
                           uint32_t count)
{
    char path[600];
    vkft_err err;
    vkft_dataset data;
    write_file(f, name, content, path);
    expect_ok(vkft_dataset_open(path, text->tokenizer, o, &data, &err));
    assert_string_equal(vkft_data_format_name(data.format), vkft_data_format_name(format));
    assert_int_equal(data.count, count);
    for (uint32_t i = 0; i < count; i++) {
        char *shown = show(text->tokenizer, &data.samples[i]);
        assert_string_equal(shown, expected[i]);
        free(shown);
    }
    vkft_dataset_free(&data);
}

#define EXPECT(name, content, text, options, format, ...)                                                              \
    do {                                                                                                               \
        const char *const expected_[] = {__VA_ARGS__};                                                                 \
        expect_samples(f, name, content, text, options, format, expected_, sizeof expected_ / sizeof *expected_);      \
    } while (0)

static char bos[64], eos[64];

static void test_special_tokens(void **state)
{
    const fixture *f = *state;
    vkft_text text = {0};
    int32_t id = vkft_tokenizer_bos_id(f->text.tokenizer);
    if (id >= 0)
        assert_true(vkft_tokenizer_decode(f->text.tokenizer, &id, 1, false, &text, NULL));
    snprintf(bos, sizeof bos, "%s", text.data ? text.data : "");
    text.length = 0;
    id = vkft_tokenizer_eos_id(f->text.tokenizer);
    assert_true(vkft_tokenizer_decode(f->text.tokenizer, &id, 1, false, &text, NULL));
    snprintf(eos, sizeof eos, "%s", text.data);
    vkft_text_free(&text);
}

/* Puts BOS and EOS where B and E stand. */
static const char *with(const char *pattern)
{
    static char text[8][600];
    static int turn;
    char *out = text[turn++ % 8];
    out[0] = 0;
    for (; *pattern; pattern++) {
        char one[2] = {*pattern, 0};
        strcat(out, *pattern == '<' ? bos : *pattern == '>' ? eos : one);
    }
    return out;
}

static void test_prompts(void **state)
{
    const fixture *f = *state;
    vkft_dataset_options o = options_for(&f->text);
    EXPECT("t.jsonl", "{\"text\": \"one two\"}\n\n{\"text\": \"three\"}", &f->text, &o, VKFT_DATA_TEXT,
           with("«<one two>»"), with("«<three>»"));
    EXPECT("p.jsonl", "{\"prompt\": \"ask\", \"completion\": \" it\"}\n", &f->text, &o, VKFT_DATA_COMPLETION,
           with("<ask« it>»"));
    EXPECT("p.json", "[{\"prompt\": \"a]\\\"\", \"completion\": \"b\"}, {\"completion\": \"d\", \"prompt\": \"c\"}]",
           &f->text, &o, VKFT_DATA_COMPLETION, with("<a]\"«b>»"), with("<c«d>»"));
    EXPECT("d.json", "{\"version\": {\"x\": [1]}, \"data\": [{\"text\": \"t\"}]}", &f->text, &o, VKFT_DATA_TEXT,
           with("«<t>»"));
    EXPECT("q.jsonl", "{\"question\": \"why\", \"answer\": \"so\"}\n", &f->text, &o, VKFT_DATA_QUESTION,
           with("<### Question:\nwhy\n\n### Answer:\n«so>»"));
    EXPECT("c.jsonl", "{\"question\": \"why\", \"context\": \"here\", \"answers\": {\"text\": [\"so\", \"no\"]}}\n",
           &f->text, &o, VKFT_DATA_QUESTION, with("<### Context:\nhere\n\n### Question:\nwhy\n\n### Answer:\n«so>»"));
    EXPECT("i.jsonl", "{\"instruction\": \"do\", \"input\": \"\", \"output\": \"done\"}\n", &f->text, &o,
           VKFT_DATA_INSTRUCTION,
           with("<Below is an instruction that describes a task. Write a response that appropriately completes the "
                "request.\n\n"
                "### Instruction:\ndo\n\n### Response:\n«done>»"));
    EXPECT("s.json",
           "{\"data\": [{\"title\": \"x\", \"paragraphs\": [{\"context\": \"c\", \"qas\": [{\"question\": \"q\", "
           "\"answers\": [{\"text\": \"a\"}]},"
           "{\"question\": \"r\", \"is_impossible\": true, \"answers\": []}, {\"question\": \"s\", \"answers\": "
           "[{\"text\": \"b\"}]}]}]}]}",
           &f->text, &o, VKFT_DATA_SQUAD, with("<### Context:\nc\n\n### Question:\nq\n\n### Answer:\n«a>»"),
           with("<### Context:\nc\n\n### Question:\ns\n\n### Answer:\n«b>»"));
    o.mask_prompt = false;
    EXPECT("p.jsonl", "{\"prompt\": \"ask\", \"completion\": \" it\"}\n", &f->text, &o, VKFT_DATA_COMPLETION,
           with("«<ask it>»"));
}

/* The prompt is the encoder's; the decoder begins with its own token, here BOS, and has the answer to write. */
static void test_encoder_and_decoder(void **state)
{
    const fixture *f = *state;
    vkft_dataset_options o = options_for(&f->text);
    o.encoder_decoder = true;
    o.decoder_start_id = vkft_tokenizer_bos_id(f->text.tokenizer);
    assert_true(o.decoder_start_id >= 0);
    EXPECT("p.jsonl", "{\"prompt\": \"ask\", \"completion\": \"it\"}\n", &f->text, &o, VKFT_DATA_COMPLETION,
           with("[<ask]<«<it>»"));
    o.prompt_template = "Instruction: {instruction}\\nInput: {input}{{}}";
    EXPECT("i.jsonl",
           "{\"instruction\": \"do\", \"output\": \"done\"}\n{\"instruction\": \"a\", \"input\": \"b\", \"output\": "
           "\"c\"}\n",
           &f->text, &o, VKFT_DATA_INSTRUCTION, with("[<Instruction: do\nInput: {}]<«<done>»"),
           with("[<Instruction: a\nInput: b{}]<«<c>»"));
    o.prompt_template = NULL;

    /* Either side is cut by itself, and the answer keeps its end. */
    char path[600];
    vkft_err err = {0};
    vkft_dataset data;
    o.max_seq_length = 6;
    write_file(f, "long.jsonl", "{\"prompt\": \"a b c d e f g h i\", \"completion\": \"1 2 3 4 5 6 7 8 9\"}\n", path);
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err));
    assert_int_equal(data.samples[0].source_length, 6);
    assert_int_equal(data.samples[0].length, 6 + 1 + 6);
    assert_int_equal(data.samples[0].ids[12], o.eos_id);
    assert_int_equal(data.samples[0].trained, 6);
    assert_int_equal(data.truncated, 1);
    assert_true(data.dropped_tokens > 10);
    vkft_dataset_free(&data);
    o.max_seq_length = 64;
    write_file(f, "ids.jsonl", "{\"input_ids\": [5, 6, 7], \"labels\": [8, -100, 9]}\n", path);
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err));
    const int32_t start = o.decoder_start_id, ids[] = {5, 6, 7, start, 8, start, 9};
    const int32_t labels[] = {
        VKFT_IGNORE_LABEL, VKFT_IGNORE_LABEL, VKFT_IGNORE_LABEL, VKFT_IGNORE_LABEL, 8, VKFT_IGNORE_LABEL, 9};
    assert_int_equal(data.samples[0].length, 7);
    assert_int_equal(data.samples[0].source_length, 3);
    assert_memory_equal(data.samples[0].ids, ids, sizeof ids);
    assert_memory_equal(data.samples[0].labels, labels, sizeof labels);
    assert_int_equal(data.samples[0].trained, 2);
    vkft_dataset_free(&data);
    write_file(f, "t.jsonl", "{\"text\": \"one two\"}\n", path);
    expect_failure(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err),
                   "the model has an encoder and a decoder");
    o.prompt_template = "{open";
    expect_failure(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err),
                   "prompt template: a brace without its partner");
}

static void test_tables_and_pairs(void **state)
{
    const fixture *f = *state;
    vkft_dataset_options o = options_for(&f->text);
    char second[600];
    EXPECT("q.csv", "\xef\xbb\xbfQ,A,label\r\n\"a, \"\"b\"\"\",\"two\nlines\",0\r\n\r\nc,d,1", &f->text, &o,
           VKFT_DATA_QUESTION, with("<### Question:\na, \"b\"\n\n### Answer:\n«two\nlines>»"),
           with("<### Question:\nc\n\n### Answer:\n«d>»"));
    o.keys = "prompt=frage,completion=antwort";
    EXPECT("k.tsv", "frage\tantwort\nwas\tdas\n", &f->text, &o, VKFT_DATA_COMPLETION, with("<was«das>»"));
    o.keys = NULL;
    o.completions = second;
    write_file(f, "second.txt", "eins\nzwei\n", second);
    EXPECT("first.txt", "one\ntwo", &f->text, &o, VKFT_DATA_COMPLETION, with("<one«eins>»"), with("<two«zwei>»"));
}

static const char chat_rows[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"hi\"}, {\"role\": "
    "\"assistant\", \"content\": \"yo\"},"
    " {\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"hi\"}]}\n";

static void test_conversations(void **state)
{
    const fixture *f = *state;
    vkft_dataset_options marked = options_for(&f->marked), plain = options_for(&f->plain);
    EXPECT("m.jsonl", chat_rows, &f->marked, &marked, VKFT_DATA_MESSAGES,
           with("[system]S[user]hi[assistant]«yo>»[user]hi[assistant]«hi>»"));
    EXPECT("m.jsonl", chat_rows, &f->plain, &plain, VKFT_DATA_MESSAGES,
           with("[system]S[user]hi[assistant]«yo>»\n[user]hi[assistant]«hi>»\n"));
    marked.train_on = plain.train_on = VKFT_TRAIN_ON_LAST;
    EXPECT("m.jsonl", chat_rows, &f->marked, &marked, VKFT_DATA_MESSAGES,
           with("[system]S[user]hi[assistant]yo>[user]hi[assistant]«hi>»"));
    EXPECT("m.jsonl", chat_rows, &f->plain, &plain, VKFT_DATA_MESSAGES,
           with("[system]S[user]hi[assistant]yo>\n[user]hi[assistant]«hi>»\n"));
    plain.train_on = VKFT_TRAIN_ON_ASSISTANT;
    EXPECT("g.jsonl",
           "{\"conversations\": [{\"from\": \"human\", \"value\": \"w\"}, {\"from\": \"function_call\", \"value\": "
           "\"{\\\"name\\\": \\\"f\\\","
           " \\\"arguments\\\": {\\\"x\\\": 1}}\"}, {\"from\": \"observation\", \"value\": \"7\"}, {\"from\": \"gpt\", "
           "\"value\": \"seven\"}],"
           " \"tools\": \"[{\\\"name\\\": \\\"f\\\"}]\"}\n",
           &f->plain, &plain, VKFT_DATA_CONVERSATIONS,
           with("[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}][user]w[assistant]«[{\"type\": "
                "\"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1}}}]>»\n[tool]7[assistant]"
                "«seven>»\n"));
    plain.apply_chat_template = true;
    EXPECT("p.jsonl", "{\"prompt\": \"ask\", \"completion\": \"it\"}\n", &f->plain, &plain, VKFT_DATA_COMPLETION,
           with("[user]ask[assistant]«it>»\n"));
    plain.mask_prompt = false;
    EXPECT("p.jsonl", "{\"prompt\": \"ask\", \"completion\": \"it\"}\n", &f->plain, &plain, VKFT_DATA_COMPLETION,
           with("«[user]ask[assistant]it>\n»"));
}

/* What a template writes only into the last turn, or only after it, hides no turn before it. */
static void test_last_turn_written_otherwise(void **state)
{
    const fixture *f = *state;
    vkft_dataset_options closing = options_for(&f->closing), thinking = options_for(&f->thinking);
    EXPECT("m.jsonl", chat_rows, &f->closing, &closing, VKFT_DATA_MESSAGES,
           with("[system]S>\n[user]hi>\n[assistant]«yo>»\n[user]hi>\n[assistant]«hi>»\n>"));
    EXPECT("m.jsonl", chat_rows, &f->thinking, &thinking, VKFT_DATA_MESSAGES,
           with("[system]S>\n[user]hi>\n[assistant]«yo>»\n[user]hi>\n[assistant]«(no thought)hi>»\n"));
}

static void copy_file(const char *name, const char *dir, const char *more, vkft_err *err)
{
    char from[600], to[600];
    size_t size;
    snprintf(from, sizeof from, "%s/%s", MODEL, name);
    snprintf(to, sizeof to, "%s/%s", dir, name);
    char *data = vkft_test_read(from, &size);
    assert_true(vkft_file_write(to, data, size, err));
    free(data);
    snprintf(to, sizeof to, "%s/chat_template.jinja", dir);
    assert_true(vkft_file_write(to, more, strlen(more), err));
}

/* A template that cannot be parsed is an error for conversations, and for nothing else. */
static void test_broken_template(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_model_text text;
    vkft_dataset data;
    char path[600], broken[600];
    snprintf(path, sizeof path, "%s/broken", f->dir);
    expect_ok(vkft_directory_create(path, &err));
    copy_file("tokenizer.json", path, "{% for m in %}", &err);
    copy_file("tokenizer_config.json", path, "{% for m in %}", &err);
    expect_ok(vkft_model_text_open(path, NULL, &text, &err));
    vkft_dataset_options o = options_for(&text);
    o.chat_error = text.chat_error;
    EXPECT("p.jsonl", "{\"prompt\": \"ask\", \"completion\": \" it\"}\n", &text, &o, VKFT_DATA_COMPLETION,
           with("<ask« it>»"));
    write_file(f, "m.jsonl", chat_rows, path);
    expect_failure(vkft_dataset_open(path, text.tokenizer, &o, &data, &err), "chat_template.jinja: line 1: ");
    vkft_model_text_free(&text);
    snprintf(broken, sizeof broken, "%s/broken/chat_template.jinja", f->dir);
    expect_failure(vkft_model_text_open(MODEL, &(vkft_chat_options){.file = broken}, &text, &err), "line 1");
}

static void test_truncation_is_counted(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    vkft_dataset data;
    char path[600];
    vkft_dataset_options o = options_for(&f->text);
    o.max_seq_length = 4;
    write_file(f, "l.jsonl",
               "{\"input_ids\": [1, 2, 3, 4, 5, 6]}\n{\"input_ids\": [1, 2]}\n{\"input_ids\": [1, 2, 3, 4, 5], "
               "\"labels\": [-100, 7, 8, 9, 10]}",
               path);
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err));
    assert_int_equal(data.count, 3);
    assert_int_equal(data.truncated, 2);
    assert_int_equal(data.dropped_tokens, 3);
    assert_int_equal(data.tokens, 10);
    assert_int_equal(data.trained, 3 + 1 + 3);
    assert_int_equal(data.samples[2].labels[3], 9);
    vkft_dataset_free(&data);
}

/* A corpus is one stream, in blocks or not: no token is lost, all pieces but the last have the full length. */
static void test_corpus(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    vkft_dataset data;
    vkft_text text = {0}, back = {0};
    char path[600];
    while (text.length < (5u << 20) / 2) { /* more than two blocks */
        char line[80];
        int n = snprintf(line, sizeof line, "%sline %zu of a story\n", text.length % 7 ? "" : "\n  ", text.length);
        vkft_text_append(&text, line, (size_t)n, &err);
    }
    write_file(f, "corpus.txt", text.data, path);
    vkft_dataset_options o = options_for(&f->text);
    o.max_seq_length = 100;
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err));
    for (uint32_t i = 0; i < data.count; i++) {
        assert_true(data.samples[i].length == 100 || i + 1 == data.count);
        assert_true(
            vkft_tokenizer_decode(f->text.tokenizer, data.samples[i].ids, data.samples[i].length, true, &back, &err));
    }
    assert_int_equal(back.length, text.length);
    assert_memory_equal(back.data, text.data, text.length);
    vkft_dataset_free(&data);
    uint32_t lines = 1;
    for (size_t i = 0; i < text.length; i++)
        lines += text.data[i] == '\n';
    expect_ok(vkft_text_append(&text, "na\xefve", 5, &err));
    write_file(f, "corpus.txt", text.data, path);
    char place[80];
    snprintf(place, sizeof place, "line %u: byte 0xef at offset %zu of the file", lines, text.length - 3);
    expect_failure(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err), place);
    vkft_text_free(&text);
    vkft_text_free(&back);
}

static void same_data(const vkft_dataset *a, const vkft_dataset *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->tokens, b->tokens);
    assert_int_equal(a->trained, b->trained);
    assert_int_equal(a->max_length, b->max_length);
    assert_memory_equal(&a->bad, &b->bad, sizeof a->bad);
    assert_string_equal(a->unused, b->unused);
    for (uint32_t i = 0; i < a->count; i++) {
        const vkft_sample *x = &a->samples[i], *y = &b->samples[i];
        assert_int_equal(x->length, y->length);
        assert_int_equal(x->source_length, y->source_length);
        assert_int_equal(x->trained, y->trained);
        assert_memory_equal(x->ids, y->ids, x->length * sizeof *x->ids);
        assert_memory_equal(x->labels, y->labels, x->length * sizeof *x->labels);
    }
}

static bool find_tokens(void *context, const char *name)
{
    if (strncmp(name, "tokens-", 7) == 0)
        snprintf(context, 300, "%s", name);
    return true;
}

/* The path of a file of tokens in this cache directory. */
static void find_cached(const char *cache, char file[1100])
{
    vkft_err err;
    char name[300] = "";
    expect_ok(vkft_directory_list(cache, find_tokens, name, &err));
    snprintf(file, 1100, "%s/%s", cache, name);
}

/* Sets the cache directory; NULL: none. Returns the one before, malloc'ed. */
static char *set_cache(const char *cache)
{
    char *before = getenv("VKFT_CACHE_DIR");
    before = before ? strdup(before) : NULL;
    if (cache)
        vkft_test_environment("VKFT_CACHE_DIR", cache);
    else
        vkft_test_environment("VKFT_CACHE_DIR", NULL);
    return before;
}

/* Tokens from the cache are those from the text; another option, or damage, and they are made again. */
static void test_cache(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    vkft_text text = {0};
    vkft_dataset fresh, cached;
    char path[600], cache[600];
    snprintf(cache, sizeof cache, "%s/cache", f->dir);
    char *before = set_cache(cache);
    for (int i = 0; i < 3000; i++) {
        char row[120];
        int n = snprintf(row, sizeof row,
                         "{\"prompt\": \"question %d\", \"completion\": \"answer %d of many\", \"id\": 1}\n", i, i * i);
        vkft_text_append(&text, row, (size_t)n, &err);
    }
    static const char bad[] = "{\"prompt\": \"q\", \"completion\": null}\n";
    vkft_text_append(&text, bad, sizeof bad - 1, &err);
    write_file(f, "many.jsonl", text.data, path);
    vkft_text_free(&text);
    vkft_dataset_options o = options_for(&f->text);
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &fresh, &err));
    assert_int_equal(fresh.count, 3000);
    assert_int_equal(fresh.bad.count[VKFT_BAD_NULL], 1);
    assert_int_equal(fresh.bad.place[VKFT_BAD_NULL][0], 3001);
    assert_string_equal(fresh.unused, "id");
    o.cache_from_bytes = 1;
    for (int run = 0; run < 2; run++) {
        expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &cached, &err));
        assert_int_equal(cached.from_cache, run > 0);
        same_data(&fresh, &cached);
        vkft_dataset_free(&cached);
    }
    o.mask_prompt = false;
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &cached, &err));
    assert_false(cached.from_cache);
    assert_true(cached.trained > fresh.trained);
    vkft_dataset_free(&cached);
    o.mask_prompt = true;

    char file[1100];
    find_cached(cache, file);
    size_t size;
    char *bytes = vkft_test_read(file, &size);
    bytes[size / 2] ^= 1;
    expect_ok(vkft_file_write(file, bytes, size, &err));
    free(bytes);
    for (int mask = 0; mask < 2; mask++) { /* one of the two files is the damaged one */
        o.mask_prompt = mask;
        expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &cached, &err));
        if (mask)
            same_data(&fresh, &cached);
        vkft_dataset_free(&cached);
    }
    free(set_cache(before));
    free(before);
    vkft_dataset_free(&fresh);
}

static void write_rows(const fixture *f, const char *name, int rows, char path[600])
{
    vkft_text text = {0};
    for (int i = 0; i < rows; i++) {
        char row[120];
        int n = snprintf(row, sizeof row, "{\"prompt\": \"question %d\", \"completion\": \"answer %d of many\"}\n", i,
                         i * i);
        vkft_text_append(&text, row, (size_t)n, NULL);
    }
    write_file(f, name, text.data, path);
    vkft_text_free(&text);
}

/* A cache directory without room, at any moment, costs time and nothing else; nothing stays there. */
static void test_full_cache(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_dataset fresh, data;
    char path[600], cache[600];
    snprintf(cache, sizeof cache, "%s/full", f->dir);
    char *before = set_cache(cache);
    write_rows(f, "full.jsonl", 30000, path);
    vkft_dataset_options o = options_for(&f->text);
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &fresh, &err));
    o.cache_from_bytes = 1;
    static const uint64_t room[] = {1, 50, 100000, 4300000};
    for (size_t i = 0; i < sizeof room / sizeof *room; i++) {
        if (!vkft_test_limit_file_size(room[i]))
            break;
        bool ok = vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err);
        vkft_test_limit_file_size(0);
        expect_ok(ok);
        assert_false(data.from_cache);
        same_data(&fresh, &data);
        vkft_dataset_free(&data);
        char name[600] = "";
        expect_ok(vkft_directory_list(cache, find_tokens, name, &err));
        assert_string_equal(name, "");
    }
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err));
    char file[1100];
    find_cached(cache, file);
    assert_true(vkft_file_exists(file));
    vkft_dataset_free(&data);
    vkft_dataset_free(&fresh);
    free(set_cache(before));
    free(before);
}

static bool stop_after(void *context)
{
    return __atomic_sub_fetch((int *)context, 1, __ATOMIC_RELAXED) < 0;
}

/* Ctrl-C while rows are tokenized is seen within a few rows. */
static void test_interruption(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_dataset data;
    char path[600];
    write_rows(f, "stop.jsonl", 3000, path);
    vkft_dataset_options o = options_for(&f->text);
    for (int rows = 0; rows < 3000; rows += 1400) {
        int left = rows;
        o.interrupted = stop_after;
        o.progress_context = &left;
        expect_failure(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err), "interrupted while");
        assert_int_equal(err.kind, VKFT_ERR_INTERRUPTED);
        assert_null(data.samples);
    }
    int left = 1 << 30;
    o.progress_context = &left;
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err));
    assert_int_equal(data.count, 3000);
    vkft_dataset_free(&data);
}

/* Opens the data, and expects the samples of `fresh`. */
static void expect_cached(const char *path, const vkft_model_text *text, const vkft_dataset_options *o,
                          const vkft_dataset *fresh, bool from_cache)
{
    vkft_err err;
    vkft_dataset data;
    expect_ok(vkft_dataset_open(path, text->tokenizer, o, &data, &err));
    assert_int_equal(data.from_cache, from_cache);
    same_data(fresh, &data);
    vkft_dataset_free(&data);
}

/* What the encoder reads comes back from the cache as it was. A file of another version of the format is made again;
 * so is one whose encoder's part is longer than its sample, though its hashes are right. */
static void test_cache_of_sources(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    vkft_dataset fresh;
    char path[600], cache[600], file[1100];
    snprintf(cache, sizeof cache, "%s/sources", f->dir);
    char *before = set_cache(cache);
    vkft_dataset_options o = options_for(&f->text);
    o.encoder_decoder = true;
    o.decoder_start_id = 1;
    write_file(f, "sources.jsonl",
               "{\"input_ids\": [5, 6, 7], \"labels\": [8, 9]}\n{\"input_ids\": [2], \"labels\": [3, 4]}\n", path);
    expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &fresh, &err));
    assert_int_equal(fresh.samples[0].source_length, 3);
    assert_int_equal(fresh.samples[1].source_length, 1);
    o.cache_from_bytes = 1;
    expect_cached(path, &f->text, &o, &fresh, false);
    expect_cached(path, &f->text, &o, &fresh, true);

    find_cached(cache, file);
    size_t size, index_bytes = 2 * 9 * sizeof(uint32_t), hash_end = 80;
    char *bytes = vkft_test_read(file, &size);
    assert_memory_equal(bytes, "VKFTTOK7", 8);
    assert_true(size > hash_end + 2 * fresh.tokens * sizeof(int32_t) + index_bytes);
    bytes[7] = '2';
    expect_ok(vkft_file_write(file, bytes, size, &err));
    expect_cached(path, &f->text, &o, &fresh, false);
    expect_cached(path, &f->text, &o, &fresh, true);

    bytes[7] = '7';
    char *index = bytes + size - index_bytes;
    for (uint32_t source_length = 3; source_length < 8; source_length += 4) { /* what it is; more than the sample */
        memcpy(index + sizeof(uint32_t), &source_length, sizeof source_length);
        uint64_t hash = XXH3_64bits(index, index_bytes);
        memcpy(bytes + hash_end - sizeof hash, &hash, sizeof hash);
        expect_ok(vkft_file_write(file, bytes, size, &err));
        expect_cached(path, &f->text, &o, &fresh, source_length == 3);
    }
    free(bytes);
    free(set_cache(before));
    free(before);
    vkft_dataset_free(&fresh);
}

static void test_refusals(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *name, *content, *error;
    } cases[] = {
        {"a.csv", "Q,A\nx,y\nx,y,z\n", "line 3: 3 fields, the header has 2"},
        {"b.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", "no chat template"},
        {"c.jsonl", "{\"prompt\": {}, \"completion\": \"a\"}\n", "line 1: prompt is an object; expected a string"},
        {"d.jsonl", "{\"question\": \"q\", \"answers\": []}\n", "nothing is left to train on: 1 of 1 rows"},
        {"e.json", "[{\"text\": \"a\"},\n 5]", "row 2 (line 2): "},
        {"f.jsonl", "{\"text\": \"a\"}\n[1]\n", "line 2: a list found"},
    };
    vkft_dataset_options o = options_for(&f->text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[600];
        vkft_err err;
        vkft_dataset data;
        write_file(f, cases[i].name, cases[i].content, path);
        expect_failure(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err), cases[i].error);
    }
    vkft_dataset_options chat = options_for(&f->plain);
    static const struct {
        const char *content, *error;
    } chats[] = {
        {"{\"messages\": []}", "messages is an empty list"},
        {"{\"messages\": [{\"content\": \"a\"}]}", "messages[0] has no \"role\""},
        {"{\"conversations\": [{\"from\": \"nobody\", \"value\": \"a\"}]}", "conversations[0] is from 'nobody'"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tools\": 5}", "tools is no list of tools"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
         "no message has the role assistant; roles found: user"},
    };
    for (size_t i = 0; i < sizeof chats / sizeof *chats; i++) {
        char path[600];
        vkft_err err;
        vkft_dataset data;
        write_file(f, "chat.jsonl", chats[i].content, path);
        expect_failure(vkft_dataset_open(path, f->plain.tokenizer, &chat, &data, &err), chats[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_tokens),   cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_tables_and_pairs), cmocka_unit_test(test_encoder_and_decoder),
        cmocka_unit_test(test_conversations),    cmocka_unit_test(test_last_turn_written_otherwise),
        cmocka_unit_test(test_broken_template),  cmocka_unit_test(test_truncation_is_counted),
        cmocka_unit_test(test_corpus),           cmocka_unit_test(test_cache),
        cmocka_unit_test(test_full_cache),       cmocka_unit_test(test_interruption),
        cmocka_unit_test(test_cache_of_sources), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("dataset", tests, set_up, tear_down);
}
