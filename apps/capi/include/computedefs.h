/* The lower-case spelling. */
#include "ComputeDefs.h"
