/* server.h - a small HTTP server on 127.0.0.1 that misbehaves on request. Included by test_get.c.
 *
 * One thread answers one request a connection. A route says what it serves and how: whole, by
 * ranges, cut off after some bytes, with an error status first, changed in between.
 */
#ifndef ASD_TESTS_SERVER_H
#define ASD_TESTS_SERVER_H

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct route {
    const char *path;
    const void *body;
    size_t      size;
    int         cut_times;    /* so many answers end after cut_after bytes of their body */
    size_t      cut_after;    /*                                                          */
    int         fail_times;   /* so many answers are fail_status without a body           */
    int         fail_status;  /*                                                          */
    int         retry_after;  /* seconds, sent with fail_status when > 0                  */
    int         ignore_range; /* always 200 and the whole body                            */
    int         wrong_range;  /* 206, but from byte 0                                     */
    int         stall;        /* sends half of the body, then waits for the client to go  */
    const char *etag;         /* sent, and compared with If-Range                         */
    const char *location;     /* 302 to here                                              */
    int         requests;     /* seen so far                                              */
    int64_t     last_range;   /* first byte that the latest request asked for, -1 = none  */
} route;

typedef struct server {
    int       fd, port;
    pthread_t thread;
    route    *route;
    int       n;
    char      base[64];
} server;

static void send_all(int fd, const char *p, size_t n)
{
    for (ssize_t w; n && (w = send(fd, p, n, MSG_NOSIGNAL)) > 0;) {
        p += w;
        n -= (size_t)w;
    }
}

static void send_status(int fd, int status, const char *more)
{
    char head[512];
    snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n%s\r\n",
             status, more);
    send_all(fd, head, strlen(head));
}

static void answer(int fd, route *r, const char *request)
{
    char        head[512], more[128] = "";
    const char *range    = strcasestr(request, "\r\nRange: bytes=");
    const char *if_range = strcasestr(request, "\r\nIf-Range: ");
    ++r->requests;
    r->last_range = range ? strtoll(range + 15, NULL, 10) : -1;
    if (r->location) {
        snprintf(head, sizeof head, "Location: %s\r\n", r->location);
        send_status(fd, 302, head);
        return;
    }
    if (r->fail_times > 0) {
        --r->fail_times;
        if (r->retry_after > 0)
            snprintf(more, sizeof more, "Retry-After: %d\r\n", r->retry_after);
        send_status(fd, r->fail_status, more);
        return;
    }
    size_t from = range && !r->ignore_range ? (size_t)r->last_range : 0;
    int    part = range && !r->ignore_range;
    if (part && if_range && r->etag && strncmp(if_range + 12, r->etag, strlen(r->etag)))
        part = 0, from = 0;
    if (part && from >= r->size) {
        send_status(fd, 416, "");
        return;
    }
    if (r->wrong_range)
        from = 0;
    if (r->etag)
        snprintf(more, sizeof more, "ETag: %s\r\n", r->etag);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %d OK\r\nContent-Length: %zu\r\nConnection: close\r\n%s",
                     part ? 206 : 200, r->size - from, more);
    if (part)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Range: bytes %zu-%zu/%zu\r\n",
                      from, r->size - 1, r->size);
    snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    send_all(fd, head, strlen(head));
    if (!strncmp(request, "HEAD ", 5))
        return;
    size_t count = r->size - from;
    if (r->cut_times > 0) {
        --r->cut_times;
        count = count < r->cut_after ? count : r->cut_after;
    }
    if (r->stall)
        count /= 2;
    send_all(fd, (const char *)r->body + from, count);
    if (r->stall) {
        char byte;
        while (recv(fd, &byte, 1, 0) > 0)
            ;
    }
}

static void *serve(void *ctx)
{
    server *s = ctx;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0; close(fd)) {
        char   request[8192], path[1024];
        size_t n = 0;
        for (ssize_t got; n < sizeof request - 1 &&
                          (got = recv(fd, request + n, sizeof request - 1 - n, 0)) > 0;) {
            request[n += (size_t)got] = 0;
            if (strstr(request, "\r\n\r\n"))
                break;
        }
        char method[8];
        if (n == 0 || sscanf(request, "%7s %1023s", method, path) != 2)
            continue;
        int i = 0;
        while (i < s->n && strcmp(s->route[i].path, path))
            ++i;
        if (i < s->n)
            answer(fd, s->route + i, request);
        else
            send_status(fd, 404, "");
        shutdown(fd, SHUT_WR);
    }
    return NULL;
}

static void server_start(server *s, route *routes, int n)
{
    struct sockaddr_in a   = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof a;
    *s                     = (server){.route = routes, .n = n};
    setenv("no_proxy", "127.0.0.1", 1);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    snprintf(s->base, sizeof s->base, "http://127.0.0.1:%d", s->port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(server *s)
{
    shutdown(s->fd, SHUT_RDWR); /* ends accept */
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#endif
