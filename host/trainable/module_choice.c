/* Flags that name modules, as the members of adapter_config.json that formats/peft/modules.c reads. */
#include "host/trainable/module_choice.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"

#define MAX_RANK 65536

/* Modules of checkpoints that have no adapters here: tables of positions, and what two stacks share, which in
 * transformers neither reads by this name. */
static const char *const others[] = {"shared", "transformer.wpe", "model.decoder.embed_positions"};
#define OTHERS (sizeof others / sizeof *others)

const char *vkft_module_kind(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* Whether names are asked for, and no expression. */
static bool is_list(const char *text)
{
    return text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-, ")] == 0;
}

/* A JSON array or object, as settings are pasted from Python or a configuration; NULL: the text is none. */
static cJSON *parse_json(const char *text, char first)
{
    cJSON *value = *text == first ? cJSON_Parse(text) : NULL;
    if (value && (first == '[' ? cJSON_IsArray(value) : cJSON_IsObject(value)))
        return value;
    cJSON_Delete(value);
    return NULL;
}

/* The next item of "a, b" without the spaces around it; false: there is none left. */
static bool next_item(const char **at, const char **item, size_t *length)
{
    *at += strspn(*at, ", ");
    *item = *at;
    size_t n = strcspn(*at, ",");
    *at += n;
    while (n && (*item)[n - 1] == ' ')
        n--;
    *length = n;
    return n > 0;
}

static cJSON *string_of(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    cJSON *string = NULL;
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = 0;
        string = cJSON_CreateString(copy);
    }
    free(copy);
    return string;
}

static cJSON *list_of(const char *text)
{
    const char *item;
    size_t length;
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;
    while (ok && next_item(&text, &item, &length))
        ok = cJSON_AddItemToArray(list, string_of(item, length));
    if (ok)
        return list;
    cJSON_Delete(list);
    return NULL;
}

/* Adds a member made of the text: a list of names, or an expression. */
static bool add_names(cJSON *config, const char *key, const char *text, vkft_err *err)
{
    cJSON *value = parse_json(text, '[');
    if (!value)
        value = is_list(text) ? list_of(text) : cJSON_CreateString(text);
    return cJSON_AddItemToObject(config, key, value) || vkft_fail_memory(err, "for the adapter's modules");
}

/* The kinds of modules that all-linear includes, as a list of names. */
static bool add_all_linear(cJSON *config, const vkft_model *model, vkft_err *err)
{
    cJSON *list = cJSON_AddArrayToObject(config, "target_modules");
    bool ok = list != NULL;
    for (uint32_t i = 0; ok && i < model->module_count; i++) {
        const char *kind = vkft_module_kind(model->modules[i].name);
        bool known = model->modules[i].explicit_only;
        for (const cJSON *item = list->child; item && !known; item = item->next)
            known = strcmp(item->valuestring, kind) == 0;
        ok = known || cJSON_AddItemToArray(list, cJSON_CreateString(kind));
    }
    return ok || vkft_fail_memory(err, "for the adapter's modules");
}

static bool add_layers(cJSON *config, const char *text, const vkft_model *model, vkft_err *err)
{
    uint32_t count = model->decoder.count > model->encoder.count ? model->decoder.count : model->encoder.count;
    const char *item;
    size_t length;
    cJSON *list = cJSON_AddArrayToObject(config, "layers_to_transform");
    if (*text == '[' && text[strlen(text) - 1] == ']')
        text++;
    while (next_item(&text, &item, &length)) {
        char *end;
        length -= length && item[length - 1] == ']';
        double number = strtod(item, &end);
        if (end != item + length || !(number >= 0 && number < count) || number != floor(number))
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "--layers-to-transform: found '%.*s'; this model's layers have the numbers 0 to %u; expected "
                "some of them, separated by commas",
                (int)length, item, count - 1);
        if (!cJSON_AddItemToArray(list, cJSON_CreateNumber(number)))
            return vkft_fail_memory(err, "for the adapter's modules");
    }
    return list->child || vkft_fail(err, VKFT_ERR_INPUT, "--layers-to-transform names no layer");
}

/* Whether the list ", a, b" has this name. */
static bool listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at++)
        if (at[-1] == ' ' && (at[length] == ',' || !at[length]))
            return true;
    return false;
}

/* The last parts of the model's module names, each once: ", q_proj, k_proj". */
static void list_kinds(const vkft_model *model, char *list, size_t size)
{
    list[0] = 0;
    for (uint32_t i = 0; i < model->module_count; i++) {
        const char *kind = vkft_module_kind(model->modules[i].name);
        if (!listed(list, kind))
            snprintf(list + strlen(list), size - strlen(list), ", %s", kind);
    }
}

/* PEFT's rule: the whole name, or its end after a dot. */
static bool is_end(const char *module, const char *name)
{
    size_t n = strlen(module), k = strlen(name);
    return k && k <= n && strcmp(module + n - k, name) == 0 && (k == n || module[n - k - 1] == '.');
}

/* Each name of a list must be that of some module; what is left out may be any. */
static bool check_names(const cJSON *names, bool leaves_out, const vkft_model *model, vkft_err *err)
{
    for (const cJSON *item = cJSON_IsArray(names) ? names->child : NULL; item; item = item->next) {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        bool found = false;
        for (uint32_t i = 0; i < model->module_count && !found; i++)
            found = is_end(model->modules[i].name, name);
        for (size_t i = 0; i < OTHERS && leaves_out && !found; i++)
            found = is_end(others[i], name);
        char known[256];
        list_kinds(model, known, sizeof known);
        if (!found)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: \"%s\" matches no linear layer of this model; expected %s%s",
                             leaves_out ? "--exclude-modules" : "--lora-target-modules", name,
                             leaves_out ? "" : "all-linear", leaves_out ? known + 2 : known);
    }
    return true;
}

static bool add_members(const vkft_module_choice *c, const vkft_model *model, cJSON *config, bool all_linear,
                        vkft_err *err)
{
    if (!(all_linear ? add_all_linear(config, model, err) : add_names(config, "target_modules", c->target, err)) ||
        (c->exclude && !add_names(config, "exclude_modules", c->exclude, err)) ||
        (c->layers && !add_layers(config, c->layers, model, err)) ||
        (c->layers_pattern && !add_names(config, "layers_pattern", c->layers_pattern, err)))
        return false;
    if (c->layers_pattern && !c->layers)
        return vkft_fail(err, VKFT_ERR_INPUT, "--layers-pattern is for --layers-to-transform, which is not given");
    if (c->layers && cJSON_IsString(cJSON_GetObjectItem(config, "target_modules")))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--layers-to-transform is for a list of names, and --lora-target-modules '%.100s' is an "
                         "expression; write the numbers of the layers into it",
                         c->target);
    return check_names(cJSON_GetObjectItem(config, "target_modules"), false, model, err) &&
           check_names(cJSON_GetObjectItem(config, "exclude_modules"), true, model, err);
}

/* "q_proj=8,k_proj=4" as {"q_proj": 8, "k_proj": 4}. */
static cJSON *object_of(const char *flag, const char *text, vkft_err *err)
{
    cJSON *object = parse_json(text, '{');
    const char *item;
    size_t length;
    if (object)
        return object;
    if (!(object = cJSON_CreateObject())) {
        vkft_fail_memory(err, "for the adapter's modules");
        return NULL;
    }
    while (next_item(&text, &item, &length)) {
        const char *equals = item + length;
        char *end = NULL, name[256];
        while (equals > item && equals[-1] != '=')
            equals--;
        double value = strtod(equals, &end);
        if (equals - 1 <= item || end != item + length || (size_t)(equals - item) > sizeof name) {
            vkft_fail(err, VKFT_ERR_INPUT, "%s: found '%.*s', expected NAME=N, or a JSON object", flag, (int)length,
                      item);
            cJSON_Delete(object);
            return NULL;
        }
        snprintf(name, sizeof name, "%.*s", (int)(equals - 1 - item), item);
        cJSON_AddNumberToObject(object, name, value);
    }
    return object;
}

static bool read_pattern(const char *flag, const char *key, const char *text, vkft_module_patterns *patterns,
                         vkft_err *err)
{
    cJSON *root = text ? cJSON_CreateObject() : NULL, *object = root ? object_of(flag, text, err) : NULL;
    if (!text)
        return true;
    if (!root)
        return vkft_fail_memory(err, "for the adapter's modules");
    bool ok =
        object && cJSON_AddItemToObject(root, key, object) && vkft_module_patterns_read(patterns, root, key, flag, err);
    cJSON_Delete(root);
    return ok;
}

static bool check_values(const vkft_module_patterns *patterns, const char *flag, bool ranks, vkft_err *err)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        const vkft_module_pattern *p = &patterns->items[i];
        if (ranks ? !(p->value >= 1 && p->value <= MAX_RANK && p->value == floor(p->value)) : !(p->value > 0))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%.100s' is %g, expected %s", flag, p->key, p->value,
                             ranks ? "a whole number from 1 to 65536" : "a number above 0");
    }
    return true;
}

static bool read_tokens(const char *text, vkft_token_indices *tokens, vkft_err *err)
{
    static const char flag[] = "--trainable-token-indices";
    if (!text || strcmp(text, "none") == 0)
        return true;
    cJSON *value = parse_json(text, *text == '{' ? '{' : '[');
    char list[4096];
    snprintf(list, sizeof list, "[%s]", text);
    if (!value)
        value = strlen(text) < sizeof list - 2 ? parse_json(list, '[') : NULL;
    bool ok = value
                  ? vkft_token_indices_read(tokens, value, flag, err)
                  : vkft_fail(err, VKFT_ERR_INPUT,
                              "%s: found '%.100s', expected numbers of tokens separated by commas, or a JSON list, or "
                              "an object such as {\"embed_tokens\": [1, 2]}",
                              flag, text);
    cJSON_Delete(value);
    return ok;
}

/* Each key must be that of a chosen module. */
static bool check_keys(const vkft_chosen_modules *chosen, const vkft_module_patterns *patterns, const char *flag,
                       const vkft_model *model, vkft_err *err)
{
    for (uint32_t k = 0; k < patterns->count; k++) {
        const vkft_module_patterns one = {.items = &patterns->items[k], .count = 1};
        bool found = false;
        for (uint32_t i = 0; i < model->module_count && !found; i++) {
            double value = NAN;
            if (!vkft_chosen_modules_have(chosen, &model->modules[i], &found, err) ||
                (found && !vkft_module_patterns_find(&one, model->modules[i].name, &value, err)))
                return false;
            found = !isnan(value);
        }
        if (!found)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: \"%s\" matches none of the modules that get an adapter", flag,
                             patterns->items[k].key);
    }
    return true;
}

/* An expression must not match what PEFT would adapt and vkft cannot. */
static bool check_expression(const vkft_module_targets *targets, vkft_err *err)
{
    for (size_t i = 0; targets->target && i < OTHERS; i++) {
        bool named;
        if (!vkft_module_targets_find(targets, others[i], &named, err))
            return false;
        if (named)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "--lora-target-modules: the expression matches %s too, which cannot have an adapter; "
                             "expected one for linear layers, and embed_tokens or lm_head, alone",
                             others[i]);
    }
    return true;
}

/* Something is left, and what is left out would have been there. */
static bool check_effect(const vkft_module_choice *choice, const vkft_chosen_modules *chosen, const vkft_model *model,
                         vkft_err *err)
{
    vkft_chosen_modules whole = {.all_linear = chosen->all_linear};
    cJSON *config = cJSON_Duplicate(chosen->targets.config, true);
    if (!config)
        return vkft_fail_memory(err, "for the adapter's modules");
    cJSON_DeleteItemFromObject(config, "exclude_modules");
    bool ok = vkft_module_targets_read(&whole.targets, config, "--lora-target-modules", err);
    uint32_t left = 0, all = 0;
    for (uint32_t i = 0; ok && i < model->module_count; i++) {
        bool in = false, before = false;
        ok = vkft_chosen_modules_have(chosen, &model->modules[i], &in, err) &&
             vkft_chosen_modules_have(&whole, &model->modules[i], &before, err);
        left += in;
        all += before;
    }
    cJSON_Delete(config);
    vkft_chosen_modules_free(&whole);
    if (ok && chosen->targets.exclude && all && left == all)
        ok =
            vkft_fail(err, VKFT_ERR_INPUT,
                      "--exclude-modules %.100s: the expression matches none of the modules that would get an adapter; "
                      "leave it out, or write one for all of a name, such as that of %s",
                      choice->exclude, model->modules[0].name);
    if (ok && !left)
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "--lora-target-modules %.100s%s: no linear layer of this model gets an adapter; their names are "
                       "like %s",
                       choice->target, choice->exclude || choice->layers ? " with what leaves modules out" : "",
                       model->modules[0].name);
    return ok;
}

bool vkft_module_choice_read(const vkft_module_choice *choice, const vkft_model *model, vkft_chosen_modules *chosen,
                             vkft_err *err)
{
    static const char rank[] = "--rank-pattern", alpha[] = "--alpha-pattern";
    cJSON *config = cJSON_CreateObject();
    *chosen = (vkft_chosen_modules){.all_linear = strcmp(choice->target, "all-linear") == 0};
    bool ok = config || vkft_fail_memory(err, "for the adapter's modules");
    ok = ok && add_members(choice, model, config, chosen->all_linear, err) &&
         vkft_module_targets_read(&chosen->targets, config, "flags", err) && check_expression(&chosen->targets, err) &&
         check_effect(choice, chosen, model, err) && read_tokens(choice->tokens, &chosen->tokens, err) &&
         read_pattern(rank, "rank_pattern", choice->rank_pattern, &chosen->ranks, err) &&
         read_pattern(alpha, "alpha_pattern", choice->alpha_pattern, &chosen->alphas, err) &&
         check_values(&chosen->ranks, rank, true, err) && check_values(&chosen->alphas, alpha, false, err) &&
         check_keys(chosen, &chosen->ranks, rank, model, err) && check_keys(chosen, &chosen->alphas, alpha, model, err);
    cJSON_Delete(config);
    return ok;
}

bool vkft_chosen_modules_have(const vkft_chosen_modules *chosen, const vkft_module *module, bool *has, vkft_err *err)
{
    *has = false;
    return (chosen->all_linear && module->explicit_only) ||
           vkft_module_targets_find(&chosen->targets, module->name, has, err);
}

void vkft_chosen_modules_free(vkft_chosen_modules *chosen)
{
    vkft_module_targets_free(&chosen->targets);
    vkft_token_indices_free(&chosen->tokens);
    vkft_module_patterns_free(&chosen->ranks);
    vkft_module_patterns_free(&chosen->alphas);
}
