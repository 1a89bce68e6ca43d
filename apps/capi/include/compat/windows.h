/* For sources that say <windows.h>: what the Host Compute System API needs of it. */
#include "../HcsPlatform.h"
