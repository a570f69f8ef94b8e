/* The one error type of vkft, shared by runtime, formats and host.
 *
 * A fallible function returns bool (or NULL) and fills a vkft_err. The message is one line:
 * what failed, on what, what was found, what was expected, what to try. Libraries never print or exit.
 */
#ifndef VKFT_ERROR_H
#define VKFT_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__MINGW32__)
#define VKFT_PRINTF(fmt, args) __attribute__((format(gnu_printf, fmt, args)))
#elif defined(__GNUC__)
#define VKFT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define VKFT_PRINTF(fmt, args)
#endif

typedef enum vkft_err_kind {
    VKFT_ERR_NONE = 0,
    VKFT_ERR_INPUT,       /* a file, flag value or data row is wrong */
    VKFT_ERR_USAGE,       /* the command line is wrong: exit code 2 */
    VKFT_ERR_IO,          /* the operating system refused: missing, unreadable, disk full */
    VKFT_ERR_MEMORY,      /* host or device memory is exhausted */
    VKFT_ERR_DEVICE,      /* no usable Vulkan device, or a Vulkan call failed */
    VKFT_ERR_DEVICE_LOST, /* VK_ERROR_DEVICE_LOST: the driver reset the GPU */
    VKFT_ERR_INTERRUPTED, /* Ctrl-C, after saving: exit code 130 */
} vkft_err_kind;

/* What the user could do, where that is more than the message can say: the flags for it are the program's. */
typedef enum vkft_advice {
    VKFT_ADVICE_NONE,
    VKFT_ADVICE_LESS_MEMORY,       /* take less device memory, or a device that has more */
    VKFT_ADVICE_LESS_FOR_A_SAMPLE, /* the same where one sample is computed at a time */
    VKFT_ADVICE_LONGER_SAMPLES,    /* allow samples to be longer */
    VKFT_ADVICE_WHOLE_SAMPLES,     /* train on all of a sample, so that its parts need not be told apart */
    VKFT_ADVICE_GIVE_TEMPLATE,     /* give the chat template that the model lacks */
    VKFT_ADVICE_NAME_KEYS,         /* say by which names the data calls its keys */
    VKFT_ADVICE_CHOSEN_ANSWERS,    /* say that chosen answers are the answers */
    VKFT_ADVICE_SKIP_ROWS,         /* leave out rows that cannot be trained on */
    VKFT_ADVICE_KEEP_QUANTIZATION, /* ask for the quantization that the checkpoint has */
    VKFT_ADVICE_GIVE_ADAPTER,      /* give the base model as the model, and the adapter as an adapter */
} vkft_advice;

typedef struct vkft_err {
    vkft_err_kind kind;
    vkft_advice advice;
    bool said; /* a person has been told */
    char message[2048];
} vkft_err;

/* Fills err (which may be NULL) and returns false, so that `return vkft_fail(...)` reads well. */
bool vkft_fail(vkft_err *err, vkft_err_kind kind, const char *format, ...) VKFT_PRINTF(3, 4);

/* Adds advice to the error just filled; returns false. */
bool vkft_advise(vkft_err *err, vkft_advice advice);

/* Puts "context: " before the message already in err; keeps its kind and advice; returns false. */
bool vkft_fail_context(vkft_err *err, const char *format, ...) VKFT_PRINTF(2, 3);

/* "out of host memory <doing>", as in vkft_fail_memory(err, "while reading %s", path). Returns false. */
bool vkft_fail_memory(vkft_err *err, const char *doing, ...) VKFT_PRINTF(2, 3);

/* As vkft_fail with VKFT_ERR_IO, ending in ": " and the text of errno. ENOSPC, EROFS and EACCES also say what to try.
 */
bool vkft_fail_errno(vkft_err *err, const char *format, ...) VKFT_PRINTF(2, 3);

#endif
