/* Making JSON values that are to be printed. Out of memory is remembered and asked for once, at the end:
 *
 *     bool failed = false;
 *     vkft_json_node o = vkft_json_make_object(&failed);
 *     vkft_json_put_number(o, "steps", 3);
 *     cJSON *value = vkft_json_made(o); NULL when anything failed
 */
#ifndef VKFT_JSON_BUILDER_H
#define VKFT_JSON_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

/* An object or a list in the making. */
typedef struct vkft_json_node {
    cJSON *value; /* NULL after a failure */
    bool *failed;
} vkft_json_node;

vkft_json_node vkft_json_make_object(bool *failed);
vkft_json_node vkft_json_make_array(bool *failed);
/* The finished root, free with cJSON_Delete; NULL: something failed, and all is freed. */
cJSON *vkft_json_made(vkft_json_node root);

/* Into an object under a name, or at the end of a list, where name is NULL. */
vkft_json_node vkft_json_put_object(vkft_json_node to, const char *name);
vkft_json_node vkft_json_put_array(vkft_json_node to, const char *name);
void vkft_json_put_number(vkft_json_node to, const char *name, double value);     /* null for what is not finite */
void vkft_json_put_string(vkft_json_node to, const char *name, const char *text); /* bytes that are no UTF-8: U+FFFD */
void vkft_json_put_bool(vkft_json_node to, const char *name, bool value);
void vkft_json_put_null(vkft_json_node to, const char *name);
void vkft_json_put_integers(vkft_json_node to, const char *name, const int32_t *values, uint32_t count);
void vkft_json_put_copy(vkft_json_node to, const char *name, const cJSON *value);
void vkft_json_put_item(vkft_json_node to, const char *name, cJSON *item); /* takes it over; NULL is a failure */

#endif
