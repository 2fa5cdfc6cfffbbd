// WallclockRuntime
