// WallclockProfiles
