/* embed_key.h - what an embedding was made from and how: equal keys, equal embeddings.
 *
 * A method is a JSON object of everything but the audio: encoder, weights, front-end, channel,
 * layers, pool, length, precision, kind of device and, on the CPU, what its products are made of
 * (written by whoever computes). The material of a file is its
 * method and, under "audio", the number of clips and one hash over all names and their samples.
 * The key is the hash of the material's text, which is canonical: keys sorted, no spaces.
 */
#ifndef ASD_DATA_EMBED_KEY_H
#define ASD_DATA_EMBED_KEY_H

#include "data/embed_h5.h"

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The canonical text of a JSON object, "format" = ASD_EMBED_FORMAT set in it; caller frees. */
asd_status asd_embed_method_text(json_t *method, char **text);
/* *material, *key: of the clips and audio hashes of e; caller frees. */
asd_status asd_embed_key_make(const char *method, const asd_embeddings *e, char **material,
                              char **key);
/* The method inside a file's material; caller frees. ASD_E_DATA: not such a text. path: the file,
 * for messages. */
asd_status asd_embed_key_method(const char *path, const char *material, char **method);
/* "pool: was mean, now meanstd; encoder.weights: was 0f3a.., now 77b1.." of two methods; "" when
 * equal. Returns out. */
const char *asd_embed_difference(const char *was, const char *now, char *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
