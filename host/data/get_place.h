/* get_place.h - moving unpacked folders into the data set, and the marker that says it is done. */
#ifndef ASD_DATA_GET_PLACE_H
#define ASD_DATA_GET_PLACE_H

#include "data/zip_extract.h"

/* Moves all of `from` into `to` (same disk) by renaming: whole folders where `to` has none of that
 * name, else entry by entry. A file that is there with the same content is left; with other content
 * a .wav is ASD_E_DATA unless `replace`, anything else (the attribute tables that two archives of a
 * machine may both hold) is replaced with a note. */
asd_status asd_place(const char *from, const char *to, int replace);

/* Marker: "asd.get/1 MD5", then "SIZE NAME" for each .wav, paths relative to `dest`. Writes the
 * data to disk first. */
asd_status asd_marker_write(const char *marker, const char *dest, const char md5[33],
                            const asd_zip_list *list);
/* *complete: the marker is there, is for this MD5, and every clip has its size. */
asd_status asd_marker_check(const char *marker, const char *dest, const char md5[33],
                            int *complete);

#endif
