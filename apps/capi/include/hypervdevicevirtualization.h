/* The lower-case spelling. */
#include "HyperVDeviceVirtualization.h"
