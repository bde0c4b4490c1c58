/* train_group_parts.h - what train_group.c builds and train_group_run.c runs; for these two alone.
 */
#ifndef ASD_TOOLS_TRAIN_GROUP_PARTS_H
#define ASD_TOOLS_TRAIN_GROUP_PARTS_H

#include "kernels/feed.h"
#include "tools/train_group.h"

/* FULL: batches of train.batch rows; REST: the smaller last one. */
enum { SLOTS = 2, FULL = 0, REST = 1 };

typedef struct group group;

/* The work of one batch size: enqueue(group, plan), captured. With ASD_CHECK=1 there is no graph,
 * so that each op's output can be looked at. */
typedef struct batch_graph {
    asd_ae_plan plan;
    asd_graph  *graph;
    asd_status (*enqueue)(group *g, asd_ae_plan *p);
} batch_graph;

struct group {
    const asd_cfg *cfg;
    asd_net      **net;    /* (n) */
    int64_t       *number; /* (n) of the network in the run */
    int64_t        n;
    int64_t       *first_row; /* (n) of the network's frames in the table */
    int64_t        rows;
    int64_t        steps, steps_per_epoch, n_val_batches;

    asd_gpu    *gpu;
    asd_stream *s;
    asd_params  params;
    float      *frames; /* (rows, F) on the device */
    batch_graph train[2], val[2];

    asd_adam_layout adam;
    asd_step       *step, *val_step;      /* on the device: counters */
    double         *norm;                 /* (n) on the device */
    asd_feed        feed, val_feed;       /* tables on the device */
    asd_feed_log    log, val_log;         /* on the device */
    int32_t        *table[SLOTS];         /* pinned: (steps_per_epoch, n, batch) */
    int64_t         epoch_of[SLOTS];      /* which epoch is in a slot, -1 = none */
    int64_t         fill_epoch;           /* for fill_net */
    float          *host_loss, *host_val; /* pinned, as log.loss and val_log.loss */
    double         *host_norm;            /* pinned, as log.norm */
};

struct asd_groups {
    const asd_cfg *cfg;
    asd_gpu       *gpu;
    group         *group; /* (n) */
    int64_t        n;
};

typedef enum direction { GATHER, SCATTER } direction;
/* Parameters, moments and running statistics between the networks' stores and the group's, both on
 * the host. */
void asd_group_move(group *g, direction d);
/* Makes sure that the epoch's rows are on the device before whatever is enqueued next. */
asd_status asd_group_need_epoch(group *g, int64_t epoch);
/* Plan of B rows of each network, over the group's frames. */
asd_status asd_group_plan(group *g, int64_t B, int training, asd_ae_plan *p);
/* One batch of what b was made for. */
asd_status asd_group_launch(group *g, batch_graph *b);

#endif
