/* asd.h - the public face of libasd: include this, link with `pkg-config --cflags --libs asd` or
 * with find_package(asd) and asd::asd. C11, and C++ through its extern "C" guards.
 *
 * What every header says holds for all: a function that can fail returns asd_status and leaves its
 * text in asd_error_text() of this thread; who creates frees; nothing exits or prints except where
 * it says so. Before 1.0 a new minor version may change any of it.
 */
#ifndef ASD_H
#define ASD_H

#include "base/status.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/log.h"
#include "base/cfg.h"
#include "audio/wav.h"
#include "data/dataset.h"
#include "data/embed_h5.h"
#include "score/scores.h"
#include "score/truth.h"
#include "score/omega.h"
#include "score/threshold.h"

#endif
