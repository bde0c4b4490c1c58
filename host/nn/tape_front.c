/* tape_front.c - recording the encoders' front-ends; see tape.h. */
#include "nn/tape.h"

asd_val asd_fbank(asd_tape *t, asd_val samples, asd_fbank_attr attr)
{
    return asd_tape_op(t, &asd_op_fbank, &attr, sizeof attr, &samples, 1);
}

asd_val asd_meldb(asd_tape *t, asd_val samples, asd_meldb_attr attr)
{
    return asd_tape_op(t, &asd_op_meldb, &attr, sizeof attr, &samples, 1);
}
