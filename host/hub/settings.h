/* What the environment says of the hub, by the names that huggingface_hub has for it. */
#ifndef VKFT_HUB_SETTINGS_H
#define VKFT_HUB_SETTINGS_H

#include <stdbool.h>

#include "runtime/base/error.h"

typedef struct vkft_hub_settings {
    char *endpoint; /* "https://huggingface.co", or $HF_ENDPOINT; no '/' at its end */
    char *token;    /* $HF_TOKEN, else what the file $HF_TOKEN_PATH or $HF_HOME/token holds; NULL: none */
    char *cache;    /* $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, else huggingface/hub in the user's cache */
    /* $REQUESTS_CA_BUNDLE, $CURL_CA_BUNDLE or $SSL_CERT_FILE: a file or a directory with the certificates to trust;
     * NULL: the system's */
    char *certificates;
    bool offline;   /* $HF_HUB_OFFLINE or $TRANSFORMERS_OFFLINE */
    double backoff; /* seconds before a request that failed twice is sent again, doubled each time */
} vkft_hub_settings;

/* Error: no directory for the cache is known; a token that no header can hold. */
bool vkft_hub_settings_read(vkft_hub_settings *settings, vkft_err *err);
void vkft_hub_settings_free(vkft_hub_settings *settings);

#endif
