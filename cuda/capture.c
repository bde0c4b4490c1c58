/* capture.c - recording a graph whose failures cannot be lost. */
#include "cuda/gpu.h"

#include <stdio.h>

asd_status asd_capture(asd_stream *s, asd_status (*record)(void *ctx), void *ctx, asd_graph **out)
{
    asd_graph *graph = NULL;
    *out             = NULL;
    ASD_TRY(asd_capture_begin(s));
    asd_status st = record(ctx);
    if (st) { /* the capture is ended all the same; the reason told is the first */
        char text[1024];
        snprintf(text, sizeof text, "%s", asd_error_text());
        if (!asd_capture_end(s, &graph))
            asd_graph_free(graph);
        return ASD_FAIL(st, "%s", text);
    }
    return asd_capture_end(s, out);
}
