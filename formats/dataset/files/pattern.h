/* Patterns of paths, as shells and the datasets package have them. */
#ifndef VKFT_DATASET_PATTERN_H
#define VKFT_DATASET_PATTERN_H

#include <stdbool.h>

/* Whether a path matches: ? and * stand for characters other than '/', ** for any, [a-c] and [!a-c] for one of these or
 * of the others. A path inside a directory that matches does, too. Test: test_data_files */
bool vkft_path_matches(const char *pattern, const char *path);
/* Whether anything in it stands for something else. */
bool vkft_path_is_pattern(const char *text);

#endif
