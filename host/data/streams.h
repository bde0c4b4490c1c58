/* streams.h - `NAME = ENCODER(channel=near, layer=12, pool=mean)`: what a recipe has embedded.
 *
 * A stream is one embedding file: which signal of a clip, through which encoder, which of its
 * layers and how they become vectors. `NAME = level()` needs no encoder: level differences between
 * the channels (audio/level.h). One table of typed parameters makes the parser, its messages and
 * the list for people; asd-embed's options --channel, --layer .. are the same rows.
 */
#ifndef ASD_DATA_STREAMS_H
#define ASD_DATA_STREAMS_H

#include "base/opt.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ASD_SIGNAL_NEAR,
    ASD_SIGNAL_FAR,
    ASD_SIGNAL_BOTH,
    ASD_SIGNAL_DIFFERENCE,
    ASD_SIGNAL_SUBTRACTED
};
enum { ASD_GAIN_NONE, ASD_GAIN_MEDIAN };
enum { ASD_LENGTH_FIRST, ASD_LENGTH_WHOLE };
enum { ASD_LAYER_LAST = -1, ASD_LAYER_ALL = -2 };
enum { ASD_FIRST_SECONDS = 10 }; /* of ASD_LENGTH_FIRST */

typedef struct asd_embed_how {
    int     channel; /* ASD_SIGNAL_ */
    int     pool;    /* row of the choices of `pool` in asd_embed_how_opts */
    int     length;  /* ASD_LENGTH_ */
    int     gain;    /* of `subtracted` */
    double  alpha, floor;
    char   *layer_text;
    int64_t layer; /* 1 .., or ASD_LAYER_; from layer_text */
} asd_embed_how;

/* channel, layer, pool, length, alpha, floor, gain; ends with {0}. Offsets are into asd_embed_how.
 */
extern const asd_opt asd_embed_how_opts[];
/* layer from layer_text, and what one row cannot say. where begins the message. */
asd_status  asd_embed_how_check(asd_embed_how *how, const char *where, asd_status code);
void        asd_embed_how_clear(asd_embed_how *how);
const char *asd_embed_how_choice(const char *key, int value, char *buf, size_t size);

typedef struct asd_embed_stream {
    char          name[64];
    char          encoder[64]; /* as written: "beats", "tiny_beats", "level" */
    asd_embed_how how;
} asd_embed_stream;

#define ASD_STREAM_LEVEL "level"

/* text: (n) as in embed.streams. length: ASD_LENGTH_ where a stream names none. encoders: the valid
 * names, ends with NULL; "level" is one more. *out: (n), freed with asd_embed_streams_free.
 * ASD_E_CONFIG shows the text and what was wanted at which character, the nearest valid name, or
 * which two streams have one name. */
asd_status asd_embed_streams_parse(char *const *text, int64_t n, int length,
                                   const char *const *encoders, asd_embed_stream **out);
void       asd_embed_streams_free(asd_embed_stream *s, int64_t n);
void       asd_embed_how_list(FILE *out); /* the parameters, for --list-encoders */

#ifdef __cplusplus
}
#endif
#endif
