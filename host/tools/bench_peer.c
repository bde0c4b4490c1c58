/* bench_peer.c - PyTorch's time of the same work, by bench/peers/kernels.py in a process of its
 * own.
 *
 * One JSON object a line each way, over a socket that is the script's standard input and output: it
 * greets with its name, then answers each request with a median, or with why it has none. It is
 * asked about a line right after ours was timed, so both see the machine in the same state, and
 * they never compute at the same time.
 */
#include "tools/bench.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 300 * 1000 }; /* for one answer; importing PyTorch from a cold disk is slow */

struct bench_peer {
    pid_t process;
    int   fd;
    FILE *in; /* the same, for getline */
    char  name[64];
    int   gone; /* said once; then it is asked nothing more */
};

/* The child's half: never returns. */
static void become(int fd, const char *python, const char *script, const bench_device *d)
{
    char threads[16];
    snprintf(threads, sizeof threads, "%d", d->threads);
    if (d->threads)
        setenv("OMP_NUM_THREADS", threads, 1);
    if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
        _exit(127);
    execlp(python, python, script, "--device", d->kind == ASD_CUDA ? "cuda" : "cpu", "--threads",
           threads, (char *)NULL);
    _exit(127);
}

static asd_status spawn(bench_peer *p, const char *python, const char *script,
                        const bench_device *d)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return ASD_FAIL(ASD_E_IO, "a socket for %s: %s", python, strerror(errno));
    p->process = fork();
    if (p->process == 0)
        become(pair[1], python, script, d);
    close(pair[1]);
    p->fd = pair[0];
    p->in = fdopen(p->fd, "r");
    if (p->process < 0 || !p->in)
        return ASD_FAIL(ASD_E_IO, "cannot start %s: %s", python, strerror(errno));
    return ASD_OK;
}

/* One line from the script; NULL when it is gone, silent, or says what is no JSON object. */
static json_t *listen_for(bench_peer *p)
{
    struct pollfd ready = {p->fd, POLLIN, 0};
    char         *line  = NULL;
    size_t        room  = 0;
    json_t       *o     = NULL;
    if (poll(&ready, 1, PATIENCE_MS) == 1 && getline(&line, &room, p->in) > 0)
        o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    free(line);
    if (o && !json_is_object(o)) {
        json_decref(o);
        o = NULL;
    }
    return o;
}

static int say(bench_peer *p, const json_t *request)
{
    char  *text = json_dumps(request, JSON_COMPACT);
    size_t sent = 0, size = text ? strlen(text) : 0;
    if (text)
        text[size++] = '\n'; /* in place of the end: sent by length */
    while (sent < size) {
        ssize_t n = send(p->fd, text + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR)
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
    free(text);
    return size && sent == size;
}

/* "skip": why, or "" */
static const char *refusal(const json_t *answer)
{
    const char *text = json_string_value(json_object_get(answer, "skip"));
    return text ? text : "";
}

asd_status bench_peer_open(const char *python, const char *script, const bench_device *d,
                           bench_peer **out, char *why, size_t size)
{
    json_t *hello = NULL;
    *out          = NULL;
    *why          = 0;
    bench_peer *p = calloc(1, sizeof *p);
    if (!p)
        return ASD_FAIL(ASD_E_OOM, "no memory for a peer");
    p->fd         = -1;
    asd_status st = spawn(p, python, script, d);
    if (!st) {
        hello            = listen_for(p);
        const char *name = json_string_value(json_object_get(hello, "peer"));
        if (name)
            snprintf(p->name, sizeof p->name, "%s", name);
        else if (*refusal(hello))
            snprintf(why, size, "%s", refusal(hello));
        else
            snprintf(why, size, "%s does not run %s", python, script);
    }
    json_decref(hello);
    if (st || *why) {
        bench_peer_close(p);
        return st;
    }
    *out = p;
    return ASD_OK;
}

void bench_peer_close(bench_peer *p)
{
    if (!p)
        return;
    if (p->in)
        fclose(p->in); /* the script ends when its input does */
    else if (p->fd >= 0)
        close(p->fd);
    if (p->process > 0) {
        kill(p->process, SIGTERM);
        while (waitpid(p->process, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    free(p);
}

const char *bench_peer_name(const bench_peer *p)
{
    return p->name;
}

static json_t *shape_json(asd_shape s)
{
    json_t *list = json_array();
    for (int i = 0; i < s.n; ++i)
        json_array_append_new(list, json_integer(s.d[i]));
    return list;
}

static json_t *request_json(const bench_subject *of, double seconds)
{
    json_t *inputs = json_array(), *dtypes = json_array(), *output = json_null();
    int     training = 1;
    if (of->node) {
        for (int k = 0; k < of->node->n_in; ++k) {
            json_array_append_new(inputs, shape_json(of->node->in[k].shape));
            json_array_append_new(dtypes, json_string(asd_dtype_name(of->node->in[k].dtype)));
        }
        output   = shape_json(of->node->y.shape);
        training = of->ready->training;
    }
    return json_pack("{ss ss ss ss sb so so so sf sf}", "op", of->line.op, "case",
                     of->line.case_name, "pass", bench_pass_name(of->line.pass), "dtype",
                     asd_dtype_name(of->line.dtype), "training", training, "inputs", inputs,
                     "input_dtypes", dtypes, "output", output, "bytes", of->line.bytes, "seconds",
                     seconds);
}

asd_status bench_peer_time(bench_peer *p, const bench_subject *of, double seconds, double *median,
                           char *why, size_t size)
{
    *median = 0;
    *why    = 0;
    if (p->gone) {
        snprintf(why, size, "it is gone");
        return ASD_OK;
    }
    json_t *request = request_json(of, seconds), *answer = NULL;
    if (!request)
        return ASD_FAIL(ASD_E_OOM, "no memory for a request");
    if (say(p, request))
        answer = listen_for(p);
    double value = json_number_value(json_object_get(answer, "median_s"));
    if (value > 0)
        *median = value;
    else
        snprintf(why, size, "%s", *refusal(answer) ? refusal(answer) : "it gave no answer");
    if (!answer) {
        p->gone = 1;
        asd_warn("%s gave no answer about %s %s: no more of its times", p->name, of->line.op,
                 of->line.case_name);
    }
    json_decref(request);
    json_decref(answer);
    return ASD_OK;
}
