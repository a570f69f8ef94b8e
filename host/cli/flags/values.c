/* The values of flags as text: for help, and for what a run was started with. See flags.h. */
#include "host/cli/flags/flags.h"

#include <stdlib.h>
#include <string.h>

static const char *choice_name(const flag *f, const void *member)
{
    int value;
    memcpy(&value, member, sizeof value);
    for (const flag_choice *c = f->choices; c->name; c++)
        if (c->value == value)
            return c->name;
    return "";
}

/* The shortest text that reads back as x; single: as a float. */
static void number_text(double x, bool single, char *text, size_t size)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, x);
        double back = strtod(text, NULL);
        if (back == x || (single && (float)back == (float)x))
            return;
    }
}

void flag_value_text(const flag *f, const void *options, char *text, size_t size)
{
    const void *member = (const char *)options + f->offset;
    text[0] = 0;
    switch (f->kind) {
    case FLAG_SWITCH: snprintf(text, size, "%s", *(const bool *)member ? "on" : "off"); break;
    case FLAG_U32: snprintf(text, size, "%u", *(const uint32_t *)member); break;
    case FLAG_U64: snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)member); break;
    case FLAG_I64: snprintf(text, size, "%lld", (long long)*(const int64_t *)member); break;
    case FLAG_FLOAT: number_text((double)*(const float *)member, true, text, size); break;
    case FLAG_DOUBLE: number_text(*(const double *)member, false, text, size); break;
    case FLAG_TEXT: {
        const char *value = *(const char *const *)member;
        snprintf(text, size, "%s", value ? value : "none");
        break;
    }
    case FLAG_CHOICE: snprintf(text, size, "%s", choice_name(f, member)); break;
    case FLAG_HEADING: break;
    }
}

bool flags_settings(const flag_table *table, const void *options, vkft_settings *settings, vkft_err *err)
{
    *settings = (vkft_settings){.list = calloc(table->count + 1u, sizeof *settings->list)};
    for (uint32_t i = 0; settings->list && i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (f->kind == FLAG_HEADING)
            continue;
        char number[64];
        const char *text = number;
        flag_value_text(f, options, number, sizeof number);
        if (f->kind == FLAG_TEXT) /* of any length */
            text = *(const char *const *)(const void *)((const char *)options + f->offset);
        vkft_setting *s = &settings->list[settings->count++];
        *s = (vkft_setting){f->name, strdup(text ? text : number), f->same_run};
        if (!s->value)
            break;
    }
    if (settings->list && (!settings->count || settings->list[settings->count - 1].value))
        return true;
    flags_settings_free(settings);
    return vkft_fail_memory(err, "for the settings of the run");
}

void flags_settings_free(vkft_settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++)
        free(settings->list[i].value);
    free(settings->list);
    *settings = (vkft_settings){0};
}
