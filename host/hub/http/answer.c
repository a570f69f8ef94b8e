/* The hub's refusals in words. */
#include "host/hub/http/answer.h"

#include <string.h>

static bool has_code(const vkft_hub_answer *a, const char *code)
{
    return strcmp(a->code, code) == 0;
}

static bool fail_access(const vkft_hub_settings *settings, const char *what, const vkft_hub_answer *a, vkft_err *err)
{
    const char *token = settings->token
                            ? "the token that is set (HF_TOKEN, or by 'hf auth login') does not give access to it"
                            : "no token is set: log in with 'hf auth login', or set HF_TOKEN";
    if (has_code(a, "GatedRepo"))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: access to it has to be asked for on its page at %s; %s", what,
                         settings->endpoint, token);
    if (has_code(a, "DisabledRepo"))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: the hub has disabled access to it", what);
    if (has_code(a, "RepoNotFound") || a->status == 401)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: %s has nothing of this name, or it is private; look at the spelling, and for a private "
                         "one, %s",
                         what, settings->endpoint, token);
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: access is forbidden%s%s; %s", what, *a->words ? ": " : "", a->words,
                     token);
}

bool vkft_hub_fail_answer(const vkft_hub_settings *settings, const char *what, const vkft_hub_answer *answer,
                          vkft_err *err)
{
    const vkft_hub_answer *a = answer;
    if (a->status == 401 || a->status == 403 || has_code(a, "RepoNotFound"))
        return fail_access(settings, what, a, err);
    if (has_code(a, "RevisionNotFound"))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: it has no revision of this name; without @REVISION it is 'main'",
                         what);
    if (a->status == 404)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s has no such %s", what, settings->endpoint,
                         has_code(a, "EntryNotFound") ? "file" : "page");
    if (a->status == 429)
        return vkft_fail(err, VKFT_ERR_IO,
                         "%s: the hub takes no more requests for now (429)%s; try again later, or with a token "
                         "(HF_TOKEN), which has a higher limit",
                         what, a->retry_after > 0 ? ", and asks to wait longer than this program does" : "");
    return vkft_fail(err, VKFT_ERR_IO, "%s: the server answers %ld%s%s", what, a->status, *a->words ? ": " : "",
                     a->words);
}
