/* score_stream.h - is an embedding file what the recipe's stream says now? */
#ifndef ASD_TOOLS_SCORE_STREAM_H
#define ASD_TOOLS_SCORE_STREAM_H

#include "data/streams.h"

/* material: of the file at `path` (embed_key.h). ASD_E_DATA names what it was made with and what
 * the recipe says: encoder, channel, layer, pool or length. Which weights an encoder had is
 * asd-embed's to compare. */
asd_status score_check_stream(const asd_embed_stream *s, const char *path, const char *material);

/* Two streams of one run: of the same sounds and, with one encoder, the same weights, precision and
 * kind of device. They are not when an asd-embed -f was stopped half way. ASD_E_DATA names both. */
asd_status score_check_pair(const asd_embed_stream *a, const char *material_a,
                            const asd_embed_stream *b, const char *material_b);

#endif
