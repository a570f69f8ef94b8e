/* README.md of a result. See card.h. */
#include "host/train/report/card.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/utf8.h"

static bool VKFT_PRINTF(3, 4) append(vkft_text *card, vkft_err *err, const char *format, ...)
{
    char text[1000];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return vkft_text_append(card, text, n < 0 ? 0 : strlen(text), err);
}

/* A name as a cell of a table shows it: no markup, valid UTF-8, one line. */
static bool append_cell(vkft_text *card, const char *name, vkft_err *err)
{
    vkft_text valid = {0};
    bool ok = vkft_text_append_valid(&valid, name, strlen(name), err);
    for (size_t i = 0; ok && i < valid.length; i++) {
        char c = valid.data[i], escaped[3] = {'\\', c, 0};
        if ((unsigned char)c < ' ')
            ok = vkft_text_append(card, " ", 1, err);
        else if (strchr("|<>[]`*_\\", c))
            ok = vkft_text_append(card, escaped, 2, err);
        else
            ok = vkft_text_append(card, &c, 1, err);
    }
    vkft_text_free(&valid);
    return ok;
}

/* What a model file says of its source is a path, or "OWNER/NAME" where it lay in the hub's cache. */
static bool is_hub_name(const char *source)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strspn(source, letters);
    n += source[n] == '/' && n ? 1 + strspn(source + n + 1, letters) : 0;
    return n && !source[n];
}

typedef struct card {
    const vkft_trainer *t;
    const char *base; /* on the hub; NULL: not known */
    bool full, encoder;
    const char *method; /* "lora" */
    vkft_text *text;
    vkft_err *err;
} card;

static bool append_metadata(const card *c)
{
    vkft_text *text = c->text;
    const char *objective = vkft_objective_of(c->t->options->data.objective)->name;
    bool ok = append(text, c->err, "---\n");
    if (c->base)
        ok = ok && append(text, c->err, "base_model: %.200s\nbase_model_relation: %s\n", c->base,
                          c->full ? "finetune" : "adapter");
    ok = ok && append(text, c->err, "library_name: %s\npipeline_tag: %s\ntags:\n", c->full ? "transformers" : "peft",
                      c->encoder ? "text2text-generation" : "text-generation");
    if (!c->full)
        ok = ok && append(text, c->err, "- %s\n", c->method);
    return ok && append(text, c->err, "- %s\n- vkft\n---\n\n", objective);
}

static bool append_table(const card *c, const vkft_run_summary *summary)
{
    bool ok = append(c->text, c->err, "| | |\n|---|---|\n");
    for (uint32_t i = 0; ok && i < summary->count; i++)
        ok = append(c->text, c->err, "| %s | ", summary->lines[i].name) &&
             append_cell(c->text, summary->lines[i].text, c->err) && append(c->text, c->err, " |\n");
    return ok;
}

/* Commands that run in the directory of the result. */
static bool append_use(const card *c)
{
    const char *class = c->encoder ? "AutoModelForSeq2SeqLM" : "AutoModelForCausalLM",
               *base = c->base ? c->base : "BASE";
    bool ok = append(c->text, c->err, "\n## Use\n\n");
    if (c->full)
        return ok && append(c->text, c->err,
                            "    vkft generate --model . --prompt \"...\"\n\n```python\nfrom transformers import %s\n\n"
                            "model = %s.from_pretrained(\".\")\n```\n",
                            class, class);
    return ok &&
           append(
               c->text, c->err,
               "BASE is the directory of the model that was trained.\n\n"
               "    vkft generate --model BASE --adapter . --prompt \"...\"\n\n```python\nfrom peft import PeftModel\n"
               "from transformers import %s\n\n"
               "model = PeftModel.from_pretrained(%s.from_pretrained(\"%s\"), \".\")\n```\n",
               class, class, base);
}

bool vkft_card_write(const vkft_trainer *t, const vkft_run_summary *summary, vkft_text *text, vkft_err *err)
{
    const char *source = vkft_session_model_name(&t->session);
    bool full = vkft_trains_all_weights(&t->session.trained);
    const vkft_adapter_method *method = t->session.trained.adapters.method;
    char tag[32] = "";
    if (!full)
        snprintf(tag, sizeof tag, "%s", method == &vkft_method_dora ? "lora\n- dora" : method->format.peft_type);
    for (char *p = tag; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
    const char *base = is_hub_name(source) ? source : NULL;
    const card c = {t, base, full, t->session.config->encoder_layers > 0, tag, text, err};
    bool ok = append_metadata(&c) && append(text, err, full ? "# Fine-tuned " : "# Adapter for ") &&
              append_cell(text, base ? base : vkft_path_base(source), err) &&
              append(text, err,
                     "\n\nTrained with vkft. This page was written at the end of the run; once edited, it is never "
                     "written over.\n\n") &&
              append_table(&c, summary) &&
              append(text, err, "\nAll settings are in `vkft.json`, the course of the run in `trainer_log.jsonl`.\n") &&
              append_use(&c);
    return ok;
}
