// WallclockFormats
