/* <windows.h> as many Windows sources spell it. */
#include "windows.h"
