/* stop.c - see stop.h. */
#include "base/stop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
    if (sig == SIGINT && stop_signal == SIGINT) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    stop_signal = sig;
}

asd_status asd_stop_install(void)
{
    static const int signals[] = {SIGTERM, SIGUSR1, SIGINT};
    struct sigaction a         = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; ++i)
        if (sigaction(signals[i], &a, NULL))
            return ASD_FAIL(ASD_E_IO, "cannot catch %s: %s", strsignal(signals[i]),
                            strerror(errno));
    return ASD_OK;
}

int asd_stop_wanted(void)
{
    return stop_signal != 0;
}

const char *asd_stop_signal(void)
{
    switch (stop_signal) {
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    case SIGINT: return "SIGINT";
    default: return "";
    }
}
