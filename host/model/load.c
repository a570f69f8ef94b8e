/* Loading of a model's frozen tensors, and the tables by which kernels find its experts. */
#include "host/model/model.h"
#include "runtime/base/size.h"

#include <stdlib.h>

bool vkft_model_load(vkft_model *model, vkft_device *dev, const vkft_model_file *file, bool stream,
                     const vkft_in_place *in_place,
                     bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                     vkft_err *err)
{
    model->dev = dev;
    if (model->trained)
        return true;
    const vkft_weights_are are = stream            ? VKFT_WEIGHTS_STREAMED
                                 : in_place->count ? VKFT_WEIGHTS_IN_PLACE
                                                   : VKFT_WEIGHTS_RESIDENT;
    uint64_t limit = min_u64(vkft_buffer_max_bytes(vkft_device_get_info(dev)), VKFT_BUFFER_BYTES);
    vkft_residency planned;
    if (!vkft_residency_plan(&planned, model->tensors, model->tensor_count, limit, are, err))
        return false;
    bool there = vkft_residency_serves(&model->residency, &planned);
    vkft_residency_free(there ? &planned : &model->residency, dev);
    if (there)
        vkft_residency_point(&model->residency, model->tensors, file, in_place);
    else
        model->residency = planned;
    if (!there && !vkft_residency_load(&model->residency, model->tensors, dev, file, in_place, progress, context, err))
        return false;
    uint32_t block = 1; /* as in the tensors: the encoder's first */
    for (uint32_t l = 0; l < model->encoder.count; l++)
        model->encoder.layers[l].upload = vkft_residency_upload(&model->residency, block++);
    for (uint32_t l = 0; l < model->decoder.count; l++)
        model->decoder.layers[l].upload = vkft_residency_upload(&model->residency, block++);
    vkft_model_set_head(model);
    return true;
}

uint64_t vkft_model_expert_table_bytes(const vkft_model *model)
{
    uint64_t bytes = 0;
    for (uint32_t l = 0; l < model->decoder.count; l++)
        bytes += VKFT_EXPERT_SLOTS * vkft_grouped_table_bytes(model->decoder.layers[l].experts[0].groups);
    return bytes;
}

bool vkft_model_write_expert_tables(vkft_model *model, vkft_device *dev, vkft_err *err)
{
    uint64_t bytes = vkft_model_expert_table_bytes(model), at = 0;
    if (!bytes)
        return true;
    char *tables = malloc(bytes);
    bool ok = tables ? vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "experts' tables", &model->expert_tables, err)
                     : vkft_fail_memory(err, "while placing the experts");
    for (uint32_t l = 0; ok && l < model->decoder.count; l++)
        for (uint32_t s = 0; s < VKFT_EXPERT_SLOTS; s++) {
            vkft_grouped_linear *experts = &model->decoder.layers[l].experts[s];
            if (!experts->groups)
                continue;
            vkft_grouped_tables(experts, tables + at);
            experts->tables = model->expert_tables.address + at;
            at += vkft_grouped_table_bytes(experts->groups);
        }
    ok = ok && vkft_buffer_write(dev, &model->expert_tables, 0, tables, bytes, err);
    free(tables);
    return ok;
}
