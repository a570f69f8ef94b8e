#include "tests/support/generate/loud_adapter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/trainable/method.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"

#define C 128 /* of the bundled model */
#define F 256

/* B A of the last block's down_proj adds so much of one direction that it decides. */
void vkft_test_write_loud_adapter(const char *dir)
{
    vkft_err err = {0};
    static float a[F], b[C];
    for (int i = 0; i < F; i++)
        a[i] = (float)(i % 7) - 3;
    for (int i = 0; i < C; i++)
        b[i] = (float)(i % 5) - 2;
    char *targets[] = {(char[]){"down_proj"}, NULL};
    vkft_adapter_tensor tensors[] = {{.key = (char[]){"base_model.model.model.layers.3.mlp.down_proj.lora_A.weight"},
                                      .rows = 1,
                                      .cols = F,
                                      .data = a},
                                     {.key = (char[]){"base_model.model.model.layers.3.mlp.down_proj.lora_B.weight"},
                                      .rows = C,
                                      .cols = 1,
                                      .data = b}};
    const vkft_adapter adapter = {.config = {.format = &vkft_method_lora.format,
                                             .r = 1,
                                             .lora_alpha = 4,
                                             .base_model_name_or_path = (char[]){"bundled"},
                                             .target_modules = targets},
                                  .tensors = tensors,
                                  .count = 2};
    expect_ok(vkft_directory_create(dir, &err));
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
}
