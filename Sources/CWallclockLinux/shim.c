#include "CWallclockLinux.h"
