/* The data of runs that come one after another (vkft train --sweep): a run takes what the one before it has left, where
 * it would open the same, and leaves it again when it is closed. So files are read and tokenized once.
 */
#ifndef VKFT_SHARED_DATA_H
#define VKFT_SHARED_DATA_H

#include "formats/dataset/dataset.h"
#include "host/train/options.h"

typedef enum vkft_shared_part {
    VKFT_SHARED_TRAIN,
    VKFT_SHARED_VALID,
    VKFT_SHARED_RETAINED,
    VKFT_SHARED_PARTS
} vkft_shared_part;

/* All zero: nothing was opened yet. Strings of options are borrowed until the end. */
typedef struct vkft_shared_data {
    struct {
        vkft_data_options options;
        uint64_t text_hash; /* of tokenizer and template */
        vkft_dataset data;  /* nothing while a run has it */
        bool there, lent;
    } part[VKFT_SHARED_PARTS];
} vkft_shared_data;

/* Whether there is what these options would open, which is then the caller's. */
bool vkft_shared_data_take(vkft_shared_data *shared, vkft_shared_part part, const vkft_data_options *options,
                           uint64_t text_hash, vkft_dataset *data);
/* What the caller has opened instead; anything else there is freed. */
void vkft_shared_data_opened(vkft_shared_data *shared, vkft_shared_part part, const vkft_data_options *options,
                             uint64_t text_hash);
/* Takes back what was taken or opened, without what training has written into it, and leaves *data empty. Where neither
 * was, nothing happens. */
void vkft_shared_data_leave(vkft_shared_data *shared, vkft_shared_part part, vkft_dataset *data);
void vkft_shared_data_close(vkft_shared_data *shared);

#endif
