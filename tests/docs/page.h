/* A page of documentation as a test sees it: its fenced blocks, and its form without its words. */
#ifndef VKFT_TEST_PAGE_H
#define VKFT_TEST_PAGE_H

#include <stddef.h>
#include <stdint.h>

typedef struct page_block {
    char kind[16]; /* what follows the opening fence */
    uint32_t line; /* of the fence, from 1 */
    char *text;    /* its lines */
} page_block;

typedef struct page {
    const char *name; /* from the top of the tree; borrowed */
    char *text;
    page_block *blocks;
    uint32_t block_count;
    /* The page's own lines, without the blocks. */
    char *prose;
    /* Levels of headings, rows of tables with their numbers, and kinds of blocks, in order: equal in translations. */
    char *form;
} page;

/* Fails the test when the page cannot be read, a fence is not closed, or code is indented instead of fenced. */
page page_read(const char *name);
void page_free(page *p);

#endif
