/* embed_parts.h - the finished part of a file of embeddings that is being made.
 *
 * Beside e.h5 stands .e.h5.part/ with the files 000001.h5, 000002.h5 ..: each a complete file of
 * some clips (embed_h5.h), whose key is that of the method. A killed run leaves them; the next one
 * takes the clips whose audio is still the same. At the end they are joined and the folder goes.
 */
#ifndef ASD_DATA_EMBED_PARTS_H
#define ASD_DATA_EMBED_PARTS_H

#include "data/embed_h5.h"

typedef struct asd_embed_parts asd_embed_parts;

/* Makes and locks the folder (ASD_E_USAGE when another process has it), and looks at what is in it:
 * parts made by another method, and damaged ones, are removed with a note. */
asd_status asd_embed_parts_open(const char *path, const char *method, asd_embed_parts **out);
/* The audio hash under which a clip is there, NULL when it is not. */
const char *asd_embed_parts_audio(const asd_embed_parts *p, const char *clip);
/* Saves one more part, of p's method: key and key_material of e are not looked at. */
asd_status asd_embed_parts_add(asd_embed_parts *p, asd_embeddings *e);
/* Writes the whole file of these n clips, ascending, all of which must be there with this audio,
 * and removes the folder. key: of the file */
asd_status asd_embed_parts_join(asd_embed_parts *p, char *const *clip, char *const *audio,
                                int64_t n, char key[33]);
/* Removes a folder that a run left which was killed between writing the file and this; not when a
 * process has it. */
asd_status asd_embed_parts_remove(const char *path);
void       asd_embed_parts_close(asd_embed_parts *p); /* what is there stays; safe on NULL */

#endif
