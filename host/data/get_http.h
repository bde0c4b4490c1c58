/* get_http.h - downloads that survive a bad line. Used by get.c. */
#ifndef ASD_DATA_GET_HTTP_H
#define ASD_DATA_GET_HTTP_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* After a failure that may pass (no connection, cut connection, time-out, 408, 429, 5xx) we wait
 * wait_s, then twice as long, and so on up to a minute; `retries` failures in a row that brought no
 * new byte end it with ASD_E_IO. Other answers than 200 and 206 are ASD_E_DATA at once. */
typedef struct asd_http {
    int    retries;
    double wait_s;
} asd_http;

/* Once a process, before and after all others here. */
asd_status asd_http_begin(void);
void       asd_http_end(void);

/* The body of url, with a terminating 0 not counted in *n; caller frees. More than max_bytes is
 * ASD_E_DATA. */
asd_status asd_http_text(const asd_http *http, const char *url, size_t max_bytes, char **text,
                         size_t *n);

/* What a HEAD request says of the size of url. ASD_E_DATA when it says nothing. */
asd_status asd_http_size(const asd_http *http, const char *url, int64_t *size);

/* Downloads to `part`, going on where an earlier attempt or run stopped, until it has `size` bytes.
 * A server that ignores ranges, or says that its file has changed, makes it start over. `what`
 * names the progress bar. ASD_E_STOPPED leaves the part for the next run. */
asd_status asd_http_file(const asd_http *http, const char *url, const char *part, int64_t size,
                         const char *what);

#endif
