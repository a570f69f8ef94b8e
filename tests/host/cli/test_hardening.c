/* The built program has what tools/hardening.cmake asks for, as far as it can be read from an ELF file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/program.h"

#ifdef __linux__
#include <elf.h>
#include <link.h>

typedef struct program {
    char *data;
    size_t size;
    const ElfW(Ehdr) * header;
} program;

static void *at(const program *p, size_t offset, size_t size)
{
    assert_true(offset <= p->size && size <= p->size - offset);
    return p->data + offset;
}

static program open_program(void)
{
    program p = {0};
    p.data = vkft_test_read(VKFT_PROGRAM, &p.size);
    p.header = at(&p, 0, sizeof *p.header);
    assert_memory_equal(p.header->e_ident, ELFMAG, SELFMAG);
    return p;
}

static const ElfW(Phdr) * segment(const program *p, uint32_t type)
{
    const ElfW(Phdr) *segments = at(p, p->header->e_phoff, p->header->e_phnum * sizeof *segments);
    for (unsigned i = 0; i < p->header->e_phnum; i++)
        if (segments[i].p_type == type)
            return &segments[i];
    return NULL;
}

static uint64_t dynamic(const program *p, int64_t tag)
{
    const ElfW(Phdr) *s = segment(p, PT_DYNAMIC);
    assert_non_null(s);
    const ElfW(Dyn) *entries = at(p, s->p_offset, s->p_filesz);
    for (size_t i = 0; i < s->p_filesz / sizeof *entries; i++)
        if (entries[i].d_tag == tag)
            return entries[i].d_un.d_val;
    return 0;
}

static void test_segments(void **state)
{
    (void)state;
    program p = open_program();
    assert_int_equal(p.header->e_type, ET_DYN); /* loaded anywhere */
    assert_true(dynamic(&p, DT_FLAGS_1) & DF_1_PIE);
    assert_non_null(segment(&p, PT_GNU_RELRO)); /* its tables are read-only once they are filled ... */
    assert_true(dynamic(&p, DT_FLAGS) & DF_BIND_NOW || dynamic(&p, DT_FLAGS_1) & DF_1_NOW); /* ... at the start */
    assert_non_null(segment(&p, PT_GNU_STACK));
    assert_int_equal(segment(&p, PT_GNU_STACK)->p_flags & PF_X, 0);
    const ElfW(Phdr) *segments = at(&p, p.header->e_phoff, p.header->e_phnum * sizeof *segments);
    for (unsigned i = 0; i < p.header->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD)
            assert_true((segments[i].p_flags & (PF_W | PF_X)) != (PF_W | PF_X));
    free(p.data);
}

static void test_checked_functions(void **state)
{
    (void)state;
    program p = open_program();
    bool guard = false, fortified = false;
    for (size_t i = 0; i + 20 < p.size; i++) {
        guard = guard || strcmp(p.data + i, "__stack_chk_fail") == 0;
        fortified = fortified || strcmp(p.data + i, "__snprintf_chk") == 0 || strcmp(p.data + i, "__memcpy_chk") == 0;
    }
    assert_true(guard);
#if defined __GLIBC__ && defined __OPTIMIZE__ && !defined __SANITIZE_ADDRESS__
    assert_true(fortified);
#else
    print_message("fortified functions are not looked for: not glibc, not optimized, or with sanitizers\n");
#endif
    free(p.data);
}
#else
static void test_segments(void **state)
{
    (void)state;
    print_message("skipped: the program is no ELF file of Linux\n");
    skip();
}
#define test_checked_functions test_segments
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_segments), cmocka_unit_test(test_checked_functions)};
    return cmocka_run_group_tests_name("hardening", tests, NULL, NULL);
}
