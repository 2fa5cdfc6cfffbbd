// WallclockModels
