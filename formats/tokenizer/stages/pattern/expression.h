/* Regular expressions of tokenizer.json. The `tokenizers` package gives them to Oniguruma, whose language looks like
 * that of PCRE2 and is not: \w, \h, \v, \b, [:alpha:], \p{Han}, ^, $, (?m) and {1,3}+ mean other things there. */
#ifndef VKFT_TOKENIZER_EXPRESSION_H
#define VKFT_TOKENIZER_EXPRESSION_H

#include "runtime/base/text.h"

/* Appends what PCRE2 (with PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE) has to be given for the expression. `where` begins
 * the error: something that PCRE2 cannot say. What neither knows is left for pcre2_compile to refuse.
 * Test: test_expressions */
bool vkft_expression_translate(const char *expression, const char *where, vkft_text *out, vkft_err *err);

#endif
