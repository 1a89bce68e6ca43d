/* The lower-case spelling. */
#include "ComputeCore.h"
