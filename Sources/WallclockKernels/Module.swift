// WallclockKernels
