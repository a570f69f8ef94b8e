/* The YAML of a dataset's README.md; its patterns are matched against paths. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/files/card.h"
#include "formats/dataset/files/pattern.h"
#include "tests/fuzz/common/memory_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"data/train-00000-of-00002.parquet", "en/a.jsonl", "x",
                                        "aaaaaaaaaaaaaaaaaaaab"};
    static const char *const configs[] = {NULL, "a"};
    memory_file("README.md", data, size);
    for (size_t c = 0; c < 2; c++) {
        vkft_err err = {0};
        vkft_dataset_card r;
        if (!vkft_dataset_card_read("directory", configs[c], &r, &err)) {
            if (!err.message[0] || r.files)
                abort();
            continue;
        }
        for (uint32_t i = 0; i < r.count; i++)
            for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
                if (vkft_path_matches(r.files[i].pattern, paths[p]) && !*r.files[i].pattern)
                    abort(); /* nothing matches only nothing */
        vkft_dataset_card_free(&r);
    }
    memory_files_clear();
    return 0;
}
