/* The page of a training run while it goes on, with buttons that ask the run to pause, go on, save or stop. */
#ifndef VKFT_WATCH_H
#define VKFT_WATCH_H

#include "host/plot/curve.h"
#include "host/watch/server.h"

typedef struct vkft_watch {
    const char *run; /* its output directory */
    vkft_plot_x x;
    bool before_it_begins; /* the directory and its log may come later */
} vkft_watch;

/* `watch` must outlive the server. Error: the directory is missing, and those of vkft_watch_server_start. */
vkft_watch_server *vkft_watch_start(const vkft_watch *watch, uint16_t port, vkft_err *err);

#endif
