/* get_http.c - see get_http.h. libcurl carries the bytes; ranges are asked for with our own header,
 * so that the answer (206 with a Content-Range, or 200 and the whole file) decides where they go.
 */
#include "data/get_http.h"

#include "base/file.h"
#include "base/log.h"
#include "base/stop.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONNECT_SECONDS = 30, SILENT_SECONDS = 60, MAX_WAIT_SECONDS = 60, MAX_REDIRECTS = 10 };

/* One request, and where its body goes: into memory (fd < 0) or into a file. */
typedef struct request {
    const asd_http *http;
    const char     *url;
    CURL           *curl;
    int             head_only;
    char            error[CURL_ERROR_SIZE];

    char  *text; /* memory */
    size_t n, max_bytes;

    int          fd; /* file */
    int64_t      have, size;
    asd_progress bar;

    char       etag[256]; /* of the first answer: what If-Range refers to */
    char       new_etag[256];
    int64_t    range_start; /* of this answer; -1 without Content-Range */
    int        started;     /* the body of this answer has begun */
    double     retry_after_s;
    asd_status sink; /* why the sink ended the transfer */
} request;

asd_status asd_http_begin(void)
{
    CURLcode c = curl_global_init(CURL_GLOBAL_DEFAULT);
    return c ? ASD_FAIL(ASD_E_IO, "cannot start libcurl: %s", curl_easy_strerror(c)) : ASD_OK;
}

void asd_http_end(void)
{
    curl_global_cleanup();
}

static size_t sink_memory(request *r, const char *data, size_t n)
{
    if (n > r->max_bytes - r->n) {
        r->sink =
            ASD_FAIL(ASD_E_DATA, "%s: the answer is longer than %zu bytes", r->url, r->max_bytes);
        return 0;
    }
    char *more = realloc(r->text, r->n + n + 1);
    if (!more) {
        r->sink = ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu bytes", r->url, r->n + n);
        return 0;
    }
    r->text = more;
    memcpy(more + r->n, data, n);
    more[r->n += n] = 0;
    return n;
}

static asd_status start_over(request *r)
{
    if (ftruncate(r->fd, 0))
        return ASD_FAIL(ASD_E_IO, "%s: cannot start over: %s", r->url, strerror(errno));
    r->have = 0;
    return ASD_OK;
}

/* A 206 must go on exactly where we stopped; anything else is the whole file from its start. */
static asd_status begin_body(request *r)
{
    long status = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    snprintf(r->etag, sizeof r->etag, "%s", r->new_etag);
    if (status == 206 && r->range_start == r->have)
        return ASD_OK;
    if (status == 206)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: asked for bytes from %" PRId64 ", the server sends from %" PRId64,
                        r->url, r->have, r->range_start);
    return start_over(r);
}

static size_t sink_file(request *r, const char *data, size_t n)
{
    if (!r->started) {
        r->started = 1;
        if ((r->sink = begin_body(r)))
            return 0;
    }
    if ((int64_t)n > r->size - r->have) {
        r->sink = ASD_FAIL(
            ASD_E_DATA, "%s: the server sends more than the %" PRId64 " bytes that the record says",
            r->url, r->size);
        return 0;
    }
    for (size_t done = 0; done < n;) {
        ssize_t w = pwrite(r->fd, data + done, n - done, r->have);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            r->sink = ASD_FAIL(ASD_E_IO,
                               "%s: cannot write byte %" PRId64 " of %" PRId64
                               ": %s; make room and start again to go on",
                               r->url, r->have, r->size, strerror(errno));
            return 0;
        }
        done += (size_t)w;
        r->have += w;
    }
    asd_progress_step(&r->bar, r->have / 1000000, NULL);
    return n;
}

static size_t on_body(char *data, size_t one, size_t n, void *ctx)
{
    request *r      = ctx;
    long     status = 0;
    (void)one;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206)
        return n; /* the text of an error page is of no use */
    return r->fd < 0 ? sink_memory(r, data, n) : sink_file(r, data, n);
}

/* If the line is the named header, its value without blanks around it goes into out. */
static int take_header(const char *line, size_t n, const char *name, char *out, size_t size)
{
    size_t k = strlen(name);
    if (n <= k || strncasecmp(line, name, k) || line[k] != ':')
        return 0;
    for (++k; k < n && (line[k] == ' ' || line[k] == '\t'); ++k)
        ;
    while (n > k && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
        --n;
    snprintf(out, size, "%.*s", (int)(n - k), line + k);
    return 1;
}

static size_t on_header(char *line, size_t one, size_t n, void *ctx)
{
    request *r = ctx;
    char     value[256];
    (void)one;
    if (n > 5 && !strncmp(line, "HTTP/", 5)) { /* a new answer, perhaps after a redirect */
        r->range_start   = -1;
        r->new_etag[0]   = 0;
        r->retry_after_s = 0;
    } else if (take_header(line, n, "Content-Range", value, sizeof value)) {
        if (sscanf(value, "bytes %" SCNd64, &r->range_start) != 1)
            r->range_start = -1;
    } else if (take_header(line, n, "ETag", value, sizeof value)) {
        if (value[0] == '"' && strlen(value) < sizeof value - 1) /* weak tags cannot be used */
            snprintf(r->new_etag, sizeof r->new_etag, "%s", value);
    } else if (take_header(line, n, "Retry-After", value, sizeof value)) {
        r->retry_after_s = strtod(value, NULL); /* a date reads as 0: our own wait then */
    }
    return n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)ctx, (void)a, (void)b, (void)c, (void)d;
    return asd_stop_wanted();
}

static struct curl_slist *range_headers(const request *r)
{
    struct curl_slist *list = NULL;
    char               line[320];
    if (r->fd < 0 || r->have == 0)
        return NULL;
    snprintf(line, sizeof line, "Range: bytes=%" PRId64 "-", r->have);
    list = curl_slist_append(list, line);
    if (*r->etag) {
        snprintf(line, sizeof line, "If-Range: %s", r->etag);
        list = curl_slist_append(list, line);
    }
    return list;
}

static void set_options(request *r, struct curl_slist *headers)
{
    CURL       *c    = r->curl;
    const char *only = strncmp(r->url, "https:", 6) ? "http,https" : "https";
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, r->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, only);
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, only);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "asd/" ASD_VERSION);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (r->head_only)
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS);
}

/* One attempt. *again: it failed in a way that may pass. */
static asd_status attempt(request *r, int *again)
{
    struct curl_slist *headers = range_headers(r);
    long               status  = 0;
    *again                     = 0;
    r->started                 = 0;
    r->error[0]                = 0;
    r->sink                    = ASD_OK;
    r->n                       = 0;
    set_options(r, headers);
    CURLcode c = curl_easy_perform(r->curl);
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    if (asd_stop_wanted())
        return ASD_FAIL(ASD_E_STOPPED, "%s: stopped by %s; start again to go on", r->url,
                        asd_stop_signal());
    if (r->sink)
        return r->sink;
    if (c == CURLE_OK && (status == 200 || status == 206)) {
        if (r->fd < 0 || r->have == r->size)
            return ASD_OK;
        *again = 1;
        return ASD_FAIL(ASD_E_IO, "%s: ended after %" PRId64 " of %" PRId64 " bytes", r->url,
                        r->have, r->size);
    }
    if (c != CURLE_OK) {
        *again = c != CURLE_UNSUPPORTED_PROTOCOL && c != CURLE_URL_MALFORMAT &&
                 c != CURLE_PEER_FAILED_VERIFICATION && c != CURLE_TOO_MANY_REDIRECTS;
        return ASD_FAIL(ASD_E_IO, "%s: %s", r->url, *r->error ? r->error : curl_easy_strerror(c));
    }
    if (status == 416)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: the server's file ends at or before byte %" PRId64
                        ", the record says %" PRId64 " bytes",
                        r->url, r->have, r->size);
    *again = status == 408 || status == 429 || status >= 500;
    return ASD_FAIL(*again ? ASD_E_IO : ASD_E_DATA, "%s: the server answers %ld%s", r->url, status,
                    status == 404   ? " (not found)"
                    : status == 403 ? " (forbidden)"
                                    : "");
}

/* Sleeps in short steps, so that a signal is heard. */
static asd_status wait_for(const request *r, double seconds)
{
    const double end = asd_now() + seconds;
    while (asd_now() < end) {
        if (asd_stop_wanted())
            return ASD_FAIL(ASD_E_STOPPED, "%s: stopped by %s; start again to go on", r->url,
                            asd_stop_signal());
        double left = end - asd_now();
        usleep((useconds_t)(1e6 * (left > 0.1 ? 0.1 : left > 0 ? left : 0)));
    }
    return ASD_OK;
}

static asd_status persist(request *r)
{
    int    failures = 0, again;
    double wait_s   = r->http->wait_s;
    for (;;) {
        const int64_t before = r->have;
        asd_status    st     = attempt(r, &again);
        if (!st || !again)
            return st;
        if (r->fd >= 0 && r->have > before) {
            failures = 0;
            wait_s   = r->http->wait_s;
        }
        if (++failures > r->http->retries)
            return st;
        double pause = r->retry_after_s > wait_s ? r->retry_after_s : wait_s;
        if (pause > MAX_WAIT_SECONDS)
            pause = MAX_WAIT_SECONDS;
        asd_note("%s; trying again in %.3g s", asd_error_text(), pause);
        ASD_TRY(wait_for(r, pause));
        wait_s *= 2;
    }
}

asd_status asd_http_text(const asd_http *http, const char *url, size_t max_bytes, char **text,
                         size_t *n)
{
    request r = {.http = http, .url = url, .fd = -1, .max_bytes = max_bytes};
    *text     = NULL;
    *n        = 0;
    if (!(r.curl = curl_easy_init()))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a request", url);
    asd_status st = persist(&r);
    curl_easy_cleanup(r.curl);
    if (!st && !r.text)
        st = ASD_FAIL(ASD_E_DATA, "%s: the answer is empty", url);
    if (st) {
        free(r.text);
        return st;
    }
    *text = r.text;
    *n    = r.n;
    return ASD_OK;
}

asd_status asd_http_size(const asd_http *http, const char *url, int64_t *size)
{
    request    r    = {.http = http, .url = url, .fd = -1, .head_only = 1};
    curl_off_t told = -1;
    *size           = 0;
    if (!(r.curl = curl_easy_init()))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a request", url);
    asd_status st = persist(&r);
    if (!st)
        curl_easy_getinfo(r.curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &told);
    curl_easy_cleanup(r.curl);
    if (!st && told < 1)
        st = ASD_FAIL(ASD_E_DATA, "%s: the server does not say how long the file is", url);
    if (!st)
        *size = told;
    return st;
}

asd_status asd_http_file(const asd_http *http, const char *url, const char *part, int64_t size,
                         const char *what)
{
    asd_status  st = ASD_OK;
    struct stat s;
    request     r = {.http = http, .url = url, .size = size};
    r.fd          = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (r.fd < 0 || fstat(r.fd, &s)) {
        st = ASD_FAIL(ASD_E_IO, "%s: cannot write: %s", part, strerror(errno));
        goto done;
    }
    r.have = s.st_size;
    if (r.have > size)
        ASD_GO(done, st, start_over(&r));
    if (r.have < size) {
        if (!(r.curl = curl_easy_init())) {
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for a request", url);
            goto done;
        }
        asd_progress_init(&r.bar, what, "MB", size / 1000000, r.have / 1000000);
        st = persist(&r);
        asd_progress_done(&r.bar);
    }
    if (!st && fsync(r.fd))
        st = ASD_FAIL(ASD_E_IO, "%s: cannot write: %s", part, strerror(errno));
done:
    if (r.curl)
        curl_easy_cleanup(r.curl);
    if (r.fd >= 0)
        close(r.fd);
    return st;
}
