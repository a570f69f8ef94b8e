/* Markdown as far as the tutorial uses it: fences start at the first column, tables with '|', headings with '#'. */
#include "tests/docs/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/text.h"
#include "tests/support/program.h"

static void append(vkft_text *to, const char *data, size_t length)
{
    vkft_err err = {0};
    assert_true(vkft_text_append(to, data, length, &err));
}

static void open_block(page *p, const char *line, size_t length, uint32_t number)
{
    page_block *block;
    p->blocks = realloc(p->blocks, (p->block_count + 1) * sizeof *p->blocks);
    assert_non_null(p->blocks);
    block = &p->blocks[p->block_count++];
    *block = (page_block){.line = number};
    if (length - 3 >= sizeof block->kind)
        fail_msg("%s:%u: unknown kind of block", p->name, number);
    memcpy(block->kind, line + 3, length - 3);
}

/* '#'s of a heading, or '|' and the numbers of a table's row. */
static void append_form(vkft_text *form, const char *line, size_t length)
{
    if (line[0] == '#') {
        append(form, line, strspn(line, "#"));
    } else if (line[0] == '|') {
        append(form, "|", 1);
        for (size_t i = 0; i < length; i++)
            if (line[i] >= '0' && line[i] <= '9')
                append(form, line + i, 1);
    } else {
        return;
    }
    append(form, "\n", 1);
}

page page_read(const char *name)
{
    page p = {.name = name};
    vkft_text inner = {0}, prose = {0}, form = {0};
    bool open = false;
    uint32_t number = 0;
    char path[512];
    snprintf(path, sizeof path, VKFT_PROJECT_DIR "/%s", name);
    p.text = vkft_test_read(path, NULL);
    for (const char *line = p.text; *line;) {
        size_t length = strcspn(line, "\n");
        const char *next = line + length + (line[length] == '\n');
        number++;
        if (strncmp(line, "```", 3) == 0) {
            open = !open;
            if (open) {
                open_block(&p, line, length, number);
                append(&form, line, (size_t)(next - line));
            } else {
                append(&inner, "", 0);
                p.blocks[p.block_count - 1].text = inner.data;
                inner = (vkft_text){0};
            }
        } else if (open) {
            append(&inner, line, (size_t)(next - line));
        } else {
            if (strncmp(line, "    ", 4) == 0 || line[0] == '\t')
                fail_msg("%s:%u: indented code; fence it, so that its kind is known", name, number);
            append(&prose, line, (size_t)(next - line));
            append_form(&form, line, length);
        }
        line = next;
    }
    if (open)
        fail_msg("%s: a fence is not closed", name);
    p.prose = prose.data;
    p.form = form.data;
    return p;
}

void page_free(page *p)
{
    for (uint32_t i = 0; i < p->block_count; i++)
        free(p->blocks[i].text);
    free(p->blocks);
    free(p->text);
    free(p->prose);
    free(p->form);
}
