/* The lower-case spelling. */
#include "ComputeStorage.h"
