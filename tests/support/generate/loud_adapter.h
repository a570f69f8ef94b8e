/* A LoRA adapter with which the bundled model says something else. */
#ifndef VKFT_TEST_LOUD_ADAPTER_H
#define VKFT_TEST_LOUD_ADAPTER_H

#define VKFT_TEST_BUNDLED VKFT_PROJECT_DIR "/tools/bundled/model"
#define VKFT_TEST_TEMPLATE VKFT_PROJECT_DIR "/recipes/data/chat.jinja"

/* Creates the directory and writes the adapter there; fails the test on any error. */
void vkft_test_write_loud_adapter(const char *dir);

#endif
