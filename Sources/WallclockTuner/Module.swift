// WallclockTuner
