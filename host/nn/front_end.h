/* front_end.h - names and versions of the encoders' front-ends: part of the key of every cached
 * embedding. What is done to channels before has its own, audio/channels.h.
 *
 * A version belongs to the arithmetic and is raised with every change of it that moves a result by
 * more than rounding to another order of sums on another device; tests/test_front_end.c pins the
 * numbers that each version gives. Parameters are part of the text, so changing those needs no
 * version.
 */
#ifndef ASD_NN_FRONT_END_H
#define ASD_NN_FRONT_END_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Canonical JSON texts: keys sorted, no spaces, numbers in the fewest digits that give them back,
 * "front_end" the arithmetic's name and version: {"divisor":13.11164,"frames":0,
 * "front_end":"kaldi-fbank/1",..}. buf: ASD_FRONT_END_TEXT bytes; returned. */
enum { ASD_FRONT_END_TEXT = 320 };
const char *asd_front_end_fbank(const asd_fbank_attr *a, char *buf);
const char *asd_front_end_meldb(const asd_meldb_attr *a, char *buf);

/* The encoders' own settings by name: kaldi-fbank-beats, kaldi-fbank-eat (also SSLAM's) and
 * dasheng-mel-db. frames is 0 there: the length rule is the encoder's. */
typedef struct asd_front_end {
    const char           *name;  /* "kaldi-fbank-beats/1" */
    const asd_fbank_attr *fbank; /* one of the two is NULL */
    const asd_meldb_attr *meldb;
} asd_front_end;

extern const asd_front_end asd_front_ends[]; /* ended by name NULL */
/* name: with its version ("kaldi-fbank-beats/1"), or without one for the present version. NULL for
 * an unknown name and for a version that this program does not compute. */
const asd_front_end *asd_front_end_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
