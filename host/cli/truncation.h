/* Input files that are cut off while they are mapped: an error in words, and no temporary file left. */
#ifndef VKFT_TRUNCATION_H
#define VKFT_TRUNCATION_H

void truncation_install(void);

#endif
