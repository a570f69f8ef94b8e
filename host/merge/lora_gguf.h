/* A LoRA adapter as the file that llama.cpp's --lora takes.
 *
 * llama.cpp scales every product by alpha / rank with one alpha for the file; where a module's scale is another one
 * (rank_pattern, alpha_pattern, rsLoRA), B is multiplied by the quotient. Source: convert_lora_to_gguf.py and
 * src/llama-adapter.cpp of llama.cpp. Test: test_merge
 */
#ifndef VKFT_MERGE_LORA_GGUF_H
#define VKFT_MERGE_LORA_GGUF_H

#include "formats/config/config.h"
#include "runtime/base/error.h"

/* config: of the model that the adapter was trained on. Error: an architecture, or a kind of adapter, that llama.cpp
 * has no form for. */
bool vkft_write_lora_gguf(const char *adapter_dir, const vkft_config *config, const char *path, vkft_err *err);

#endif
