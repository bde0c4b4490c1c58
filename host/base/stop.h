/* stop.h - asking a running program to stop. The handler only sets a flag.
 *
 * SIGTERM, SIGUSR1 (Slurm's --signal) and the first SIGINT ask for a stop at the next step
 * boundary, where the program saves its state and exits with 75. A second SIGINT ends the process
 * at once, as if unhandled.
 */
#ifndef ASD_BASE_STOP_H
#define ASD_BASE_STOP_H

#include "base/status.h"

asd_status  asd_stop_install(void);
int         asd_stop_wanted(void);
const char *asd_stop_signal(void); /* "SIGTERM", or "" */

#endif
