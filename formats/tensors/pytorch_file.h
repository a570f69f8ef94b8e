/* A state dict that torch.save wrote: pytorch_model.bin, in today's format (a ZIP archive) or that before PyTorch 1.6.
 */
#ifndef VKFT_PYTORCH_FILE_H
#define VKFT_PYTORCH_FILE_H

#include "formats/tensors/tensor_file.h"

/* Lists the tensors of a file; their data stays where it is. Nothing in the file is run (see pickle.h). Tensors may
 * share storage. Error: a Git-LFS pointer or a web page, a damaged archive or pickle, a name that the pickle has no
 * business with, no tensors, a tensor beyond its storage, strides that are neither of rows nor of columns. */
bool vkft_pytorch_open(const char *path, vkft_tensor_file *file, vkft_err *err);
/* The same when path and mapping are there already. */
bool vkft_pytorch_read(vkft_tensor_file *file, vkft_err *err);

#endif
