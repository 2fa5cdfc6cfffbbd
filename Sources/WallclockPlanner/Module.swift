// WallclockPlanner
