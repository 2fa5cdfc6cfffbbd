// WallclockThreads
