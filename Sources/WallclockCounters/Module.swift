// WallclockCounters
