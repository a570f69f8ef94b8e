/* A conversation with the bundled model: what is kept between messages changes no answer, the adapter comes and goes
 * as if the model had been opened so, and each command does what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/chat/talk.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/generate/loud_adapter.h"
#include "tests/support/program.h"

#define ANSWER 12 /* tokens */

static char *dir, *adapter;

static int set_up(void **state)
{
    (void)state;
    dir = vkft_test_directory();
    adapter = vkft_path_join(dir, "adapter");
    vkft_test_write_loud_adapter(adapter);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(adapter);
    vkft_test_remove_directory(dir);
    return 0;
}

/* What a listener heard. */
typedef struct heard {
    char said[2000], text[2000];
    uint32_t parts, stop_after; /* 0: never */
} heard;

static void on_message(void *context, const char *line)
{
    heard *h = context;
    snprintf(h->said + strlen(h->said), sizeof h->said - strlen(h->said), "%s\n", line);
}

static void on_text(void *context, const char *text, size_t length)
{
    heard *h = context;
    h->parts++;
    snprintf(h->text + strlen(h->text), sizeof h->text - strlen(h->text), "%.*s", (int)length, text);
}

static bool is_interrupted(void *context)
{
    const heard *h = context;
    return h->stop_after && h->parts >= h->stop_after;
}

static vkft_talk_listener listen(heard *h)
{
    return (vkft_talk_listener){.general = {.context = h, .message = on_message, .interrupted = is_interrupted},
                                .text = on_text};
}

static vkft_talk_options options_of(const char *with)
{
    vkft_talk_options o = {.generate = vkft_generate_defaults()};
    o.generate.model.path = VKFT_TEST_BUNDLED;
    o.generate.model.device = getenv("VKFT_DEVICE");
    o.generate.model.quant = VKFT_STORAGE_f32;
    o.generate.model.quant_explicit = true;
    o.generate.model.compute_dtype = VKFT_F32; /* so that sums of few and many rows agree but for their order */
    o.generate.model.compute_explicit = true;
    o.generate.model.chat.file = VKFT_TEST_TEMPLATE;
    o.generate.adapter = with;
    o.generate.temperature = 0;
    o.generate.max_new_tokens = ANSWER;
    o.generate.temperature_given = o.generate.max_new_tokens_given = o.generate.ignore_eos = true;
    return o;
}

static vkft_talk *begin(const vkft_talk_options *options)
{
    vkft_err err = {0};
    vkft_talk *talk = calloc(1, sizeof *talk);
    const vkft_observer silent = {0};
    assert_non_null(talk);
    expect_ok(vkft_talk_open(talk, options, &silent, &err));
    return talk;
}

static void end(vkft_talk *talk)
{
    vkft_talk_close(talk);
    free(talk);
}

/* A question or a command, which must do; *reply is the caller's to free. */
static void say(vkft_talk *talk, const char *line, heard *h, vkft_reply *reply)
{
    vkft_err err = {0};
    const vkft_talk_listener listener = listen(h);
    *reply = (vkft_reply){0};
    *h = (heard){.stop_after = h->stop_after};
    expect_ok(vkft_talk_is_command(line) ? vkft_talk_obey(talk, line, &listener, reply, &err)
                                         : vkft_talk_ask(talk, line, &listener, reply, &err));
}

/* The answer to a question, malloc'ed. */
static char *ask(vkft_talk *talk, const char *question)
{
    heard h = {0};
    vkft_reply reply;
    say(talk, question, &h, &reply);
    assert_int_equal(reply.count, 1);
    assert_string_equal(h.text, reply.answers[0].text.data);
    char *text = vkft_string_copy(reply.answers[0].text.data);
    vkft_reply_free(&reply);
    return text;
}

static void expect_refused(vkft_talk *talk, const char *line, const char *part)
{
    vkft_err err = {0};
    heard h = {0};
    vkft_reply reply = {0};
    const vkft_talk_listener listener = listen(&h);
    int before = cJSON_GetArraySize(talk->history.messages);
    expect_failure(vkft_talk_is_command(line) ? vkft_talk_obey(talk, line, &listener, &reply, &err)
                                              : vkft_talk_ask(talk, line, &listener, &reply, &err),
                   part);
    assert_int_equal(err.kind, VKFT_ERR_INPUT);
    assert_int_equal(cJSON_GetArraySize(talk->history.messages), before);
    vkft_reply_free(&reply);
}

/* Only the new tokens of a conversation are computed, and the answers are those of computing all. */
static void test_what_is_kept(void **state)
{
    (void)state;
    static const char *const questions[] = {"What is crow in Korean?", "바다의 색은?", "And the sky?"};
    const vkft_talk_options o = options_of(NULL);
    vkft_talk *keeping = begin(&o), *forgetful = begin(&o);
    uint32_t before = 0;
    forgetful->speaker.generator.keeps = false;
    for (int i = 0; i < 3; i++) {
        heard a = {0}, b = {0};
        vkft_reply kept, whole;
        say(keeping, questions[i], &a, &kept);
        say(forgetful, questions[i], &b, &whole);
        const vkft_generate_result *numbers = &kept.answers[0].numbers;
        assert_string_equal(kept.answers[0].text.data, whole.answers[0].text.data);
        assert_int_equal(whole.answers[0].numbers.kept_tokens, 0);
        assert_int_equal(numbers->prompt_tokens, whole.answers[0].numbers.prompt_tokens);
        assert_true(numbers->kept_tokens >= before); /* at least the prompt before */
        assert_true(numbers->kept_tokens < numbers->prompt_tokens);
        assert_int_equal(numbers->end, VKFT_TEXT_ENDED_BY_LENGTH);
        assert_string_equal(a.said, "[the answer ends here: --max-new-tokens 12]\n");
        before = numbers->prompt_tokens;
        vkft_reply_free(&kept);
        vkft_reply_free(&whole);
    }
    /* A conversation that begins as the last one did and goes on otherwise: only the beginning is kept. */
    heard h = {0};
    vkft_reply reply;
    say(keeping, "/clear", &h, &reply);
    vkft_reply_free(&reply);
    say(forgetful, "/clear", &h, &reply);
    vkft_reply_free(&reply);
    char *kept = ask(keeping, "What is the sea?"), *whole = ask(forgetful, "What is the sea?");
    assert_string_equal(kept, whole);
    assert_true(keeping->speaker.generator.cached > 0);
    free(kept), free(whole);
    end(keeping);
    end(forgetful);
}

/* Another seed each time, in the same conversation; and the seeds are the same in the next one. */
static void test_regenerate(void **state)
{
    (void)state;
    vkft_talk_options o = options_of(NULL);
    o.generate.temperature = 1.5f;
    char *first[2], *second[2];
    for (int i = 0; i < 2; i++) {
        vkft_talk *talk = begin(&o);
        heard h = {0};
        vkft_reply reply;
        expect_refused(talk, "/regenerate", "nothing was answered yet");
        first[i] = ask(talk, "Tell me of the sea.");
        say(talk, "/regenerate", &h, &reply);
        second[i] = vkft_string_copy(reply.answers[0].text.data);
        assert_int_equal(reply.answers[0].numbers.kept_tokens + 1, reply.answers[0].numbers.prompt_tokens);
        assert_int_equal(cJSON_GetArraySize(talk->history.messages), 2);
        assert_string_not_equal(first[i], second[i]);
        vkft_reply_free(&reply);
        end(talk);
    }
    assert_string_equal(first[0], first[1]);
    assert_string_equal(second[0], second[1]);
    for (int i = 0; i < 2; i++)
        free(first[i]), free(second[i]);
    o = options_of(NULL);
    vkft_talk *greedy = begin(&o);
    heard h = {0};
    vkft_reply reply;
    char *text = ask(greedy, "Tell me of the sea.");
    say(greedy, "/regenerate", &h, &reply);
    assert_string_equal(text, reply.answers[0].text.data);
    assert_non_null(strstr(h.said, "the answer stays the same"));
    vkft_reply_free(&reply);
    free(text);
    end(greedy);
}

/* Switched off, the model answers as without the adapter; on again, as with it. */
static void test_adapter(void **state)
{
    (void)state;
    static const char question[] = "What is crow in Korean?";
    const vkft_talk_options without = options_of(NULL), with = options_of(adapter);
    vkft_talk *base = begin(&without), *adapted = begin(&with);
    heard h = {0};
    vkft_reply reply;
    char *plain = ask(base, question), *loud = ask(adapted, question);
    assert_string_not_equal(plain, loud);
    for (int i = 0; i < 2; i++) { /* whichever is in use */
        say(adapted, "/compare", &h, &reply);
        assert_int_equal(reply.count, 2);
        assert_false(reply.answers[0].adapted);
        assert_true(reply.answers[1].adapted);
        assert_string_equal(reply.answers[0].text.data, plain);
        assert_string_equal(reply.answers[1].text.data, loud);
        assert_int_equal(cJSON_GetArraySize(adapted->history.messages), 2);
        vkft_reply_free(&reply);
        say(adapted, "/adapter", &h, &reply);
        assert_string_equal(reply.said.data, i ? "with the adapter from now on" : "without the adapter from now on");
        vkft_reply_free(&reply);
    }
    say(adapted, "/adapter off", &h, &reply);
    vkft_reply_free(&reply);
    say(adapted, "/clear", &h, &reply);
    vkft_reply_free(&reply);
    char *off = ask(adapted, question);
    assert_string_equal(off, plain);
    say(adapted, "/adapter on", &h, &reply);
    vkft_reply_free(&reply);
    say(adapted, "/regenerate", &h, &reply);
    assert_string_equal(reply.answers[0].text.data, loud);
    vkft_reply_free(&reply);
    expect_refused(adapted, "/adapter maybe", "expected on, off or nothing, found 'maybe'");
    expect_refused(base, "/adapter", "there is no adapter");
    expect_refused(base, "/compare", "there is no adapter");
    free(plain), free(loud), free(off);
    end(base);
    end(adapted);
}

/* The oldest questions are forgotten, which is said; one that never fits is refused and changes nothing. */
static void test_full_context(void **state)
{
    (void)state;
    vkft_talk_options o = options_of(NULL);
    o.context = 64;
    o.system = "Be brief.";
    vkft_talk *talk = begin(&o);
    heard h = {0};
    vkft_reply reply;
    char long_question[600] = "";
    for (int i = 0; i < 4; i++) {
        say(talk, "What is the capital of Spain?", &h, &reply);
        assert_true(reply.answers[0].numbers.prompt_tokens + ANSWER <= 64);
        assert_int_equal(talk->history.forgotten > 0, strstr(h.said, "the context of 64 tokens is full") != NULL);
        vkft_reply_free(&reply);
    }
    assert_true(talk->history.forgotten > 0);
    assert_int_equal(cJSON_GetArraySize(talk->history.messages), 9);
    uint32_t forgotten = talk->history.forgotten;
    for (int i = 0; i < 100; i++)
        strcat(long_question, "word ");
    expect_refused(talk, long_question, "and the context has 64");
    assert_int_equal(talk->history.forgotten, forgotten);
    free(ask(talk, "Hi")); /* goes on */
    end(talk);
    o.generate.max_new_tokens_given = false;
    talk = begin(&o);
    say(talk, "What is the capital of Spain?", &h, &reply);
    assert_int_equal(reply.answers[0].numbers.end, VKFT_TEXT_ENDED_BY_ROOM);
    assert_non_null(strstr(h.said, "[the answer ends here: the context of 64 tokens is full]"));
    vkft_reply_free(&reply);
    end(talk);
}

/* The string that ends an answer is not part of it, nor of the conversation. */
static void test_stop_strings(void **state)
{
    (void)state;
    vkft_talk_options o = options_of(NULL);
    vkft_talk *talk = begin(&o);
    char *whole = ask(talk, "What is crow in Korean?"), stop[4] = "";
    end(talk);
    assert_true(strlen(whole) > 10);
    snprintf(stop, sizeof stop, "%.3s", whole + 6);
    o.generate.stop[0] = stop;
    talk = begin(&o);
    heard h = {0};
    vkft_reply reply;
    say(talk, "What is crow in Korean?", &h, &reply);
    assert_int_equal(reply.answers[0].numbers.end, VKFT_TEXT_ENDED_BY_STRING);
    size_t length = (size_t)(strstr(whole, stop) - whole);
    assert_int_equal(reply.answers[0].text.length, length);
    assert_memory_equal(reply.answers[0].text.data, whole, length);
    assert_string_equal(h.text, reply.answers[0].text.data);
    vkft_reply_free(&reply);
    free(whole);
    end(talk);
}

/* What was said until then is part of the conversation, which goes on. */
static void test_interrupted(void **state)
{
    (void)state;
    const vkft_talk_options o = options_of(NULL);
    vkft_talk *talk = begin(&o);
    heard h = {.stop_after = 3};
    vkft_reply reply;
    say(talk, "What is crow in Korean?", &h, &reply);
    assert_int_equal(reply.answers[0].numbers.end, VKFT_TEXT_INTERRUPTED);
    assert_in_range(reply.answers[0].numbers.new_tokens, 3, ANSWER - 1);
    assert_string_equal(h.said, "[stopped]\n");
    assert_true(vkft_history_ends_with(&talk->history, "assistant"));
    vkft_reply_free(&reply);
    free(ask(talk, "And now?"));
    end(talk);
}

static void test_other_commands(void **state)
{
    (void)state;
    const vkft_talk_options o = options_of(NULL);
    vkft_talk *talk = begin(&o);
    heard h = {0};
    vkft_reply reply;
    char line[700], *path = vkft_path_join(dir, "saved.jsonl");
    say(talk, "/system Speak Korean.", &h, &reply);
    vkft_reply_free(&reply);
    say(talk, "/system", &h, &reply);
    assert_string_equal(reply.said.data, "Speak Korean.");
    vkft_reply_free(&reply);
    free(ask(talk, "안녕"));
    snprintf(line, sizeof line, "/save %s", path);
    say(talk, line, &h, &reply);
    vkft_reply_free(&reply);
    expect_refused(talk, line, "already");
    cJSON *rows = vkft_test_read_jsonl(path), *messages = cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "messages");
    assert_int_equal(cJSON_GetArraySize(messages), 3);
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(messages, 1), "content")->valuestring, "안녕");
    cJSON_Delete(rows);
    say(talk, "/clear", &h, &reply);
    vkft_reply_free(&reply);
    assert_int_equal(cJSON_GetArraySize(talk->history.messages), 1);
    say(talk, "/system \"\"", &h, &reply);
    vkft_reply_free(&reply);
    assert_int_equal(cJSON_GetArraySize(talk->history.messages), 0);
    say(talk, "/help", &h, &reply);
    assert_non_null(strstr(reply.said.data, "/compare"));
    vkft_reply_free(&reply);
    say(talk, "/exit", &h, &reply);
    assert_true(reply.end);
    vkft_reply_free(&reply);
    expect_refused(talk, "/regenrate", "unknown command '/regenrate', did you mean /regenerate; /help lists all");
    expect_refused(talk, "/save", "expected the name of a file");
    free(path);
    end(talk);
}

/* Before anything is asked. */
static void test_refusals(void **state)
{
    (void)state;
    vkft_err err = {0};
    const vkft_observer silent = {0};
    vkft_talk *talk = calloc(1, sizeof *talk);
    vkft_talk_options o = options_of(NULL);
    o.context = 1000;
    expect_failure(vkft_talk_open(talk, &o, &silent, &err), "--context: the model has 512 positions, found 1000");
    vkft_talk_close(talk);
    o = options_of(NULL);
    o.generate.model.chat.file = NULL;
    expect_failure(vkft_talk_open(talk, &o, &silent, &err),
                   "the model has no chat template; give the one that it was trained with as --chat-template FILE");
    end(talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_kept),   cmocka_unit_test(test_regenerate),   cmocka_unit_test(test_adapter),
        cmocka_unit_test(test_full_context),   cmocka_unit_test(test_stop_strings), cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_other_commands), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("talk", tests, set_up, tear_down);
}
