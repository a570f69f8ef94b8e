/* llama2.c's tokenizer.bin as tokenizer.json, so that its checkpoints can be tested with their own tokens. */
#ifndef VKFT_LLAMA2C_TOKENIZER_H
#define VKFT_LLAMA2C_TOKENIZER_H

/* Reads i32 longest, then per token f32 score, i32 length, bytes; writes a SentencePiece-style BPE tokenizer.json with
 * byte fallback whose merges are ranked by score. Ids 0, 1, 2 are <unk>, <s>, </s>. Fails the test on any error. */
void vkft_llama2c_tokenizer(const char *bin_path, const char *json_path);

#endif
